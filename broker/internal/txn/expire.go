package txn

import (
	"slices"

	"github.com/millrace/millrace/log/record"
)

// tombstonesPerBatch bounds the batches that clean-ups write.
const tombstonesPerBatch = 1000

// expire forgets transactional ids that nobody has used for long. What cannot be written is tried again at the next
// check.
func (s *State) expire() {
	var idle []string
	for _, id := range s.ids() {
		if s.expired(s.transactions[id]) {
			idle = append(idle, id)
		}
	}
	for batch := range slices.Chunk(idle, tombstonesPerBatch) {
		tombstones := make([]record.Record, len(batch))
		for i, id := range batch {
			tombstones[i] = tombstone(id)
		}
		if err := s.environment.Append(s.wallMs, tombstones); err != nil {
			s.logger.Warn("transactional ids not removed", "ids", len(batch), "err", err)
			return
		}
		for _, id := range batch {
			delete(s.transactions, id)
		}
		s.logger.Info("transactional ids expired", "ids", len(batch))
	}
}

// expired says whether an id is idle and was for longer than ids are kept.
func (s *State) expired(t *transaction) bool {
	return t.phase != Ongoing && !t.phase.decided() && s.wallMs-t.updatedMs >= s.config.IDExpirationMs
}
