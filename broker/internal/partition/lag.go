package partition

import "github.com/millrace/millrace/log"

// Lag is how far behind whoever has committed an offset is. It is one number for both isolations, since nobody knows that of a
// group: records of transactions that are open count, as there they are, though a read_committed consumer has to wait for
// them; records of aborted ones count until they are passed, as a read_committed consumer fetches them and leaves them out.
// Markers are no records and never count.
type Lag struct {
	Offsets          int64 // up to the high watermark
	Records          int64 // of them data records
	FirstTimestampMs int64 // of the first of those; -1: there is none, or it is not known
	Estimated        bool  // Records may be wrong: see log.Backlog
}

// Lag says how far behind the committed offset is. It reads no more than effort allows. Of a partition that is offline
// nothing is known, and the lag is 0. Clients may commit any number: one below 0 is taken for 0.
func (p *Partition) Lag(committed int64, effort *log.Effort) Lag {
	committed = max(committed, 0)
	end := p.Offsets().HighWatermark
	lag := Lag{Offsets: max(end-committed, 0), FirstTimestampMs: -1}
	if lag.Offsets == 0 || p.readable() != nil {
		return lag
	}
	backlog, err := p.log.Backlog(committed, end, effort)
	if err != nil {
		p.options.Logger.Debug("lag not counted", "topic", p.options.Topic, "partition", p.options.Index, "err", err)
	}
	lag.Records, lag.FirstTimestampMs = backlog.Records, backlog.FirstTimestampMs
	lag.Estimated = backlog.Estimated
	return lag
}

// ProducerCount is how many idempotent producers the partition keeps the state of.
func (p *Partition) ProducerCount() int {
	if p.log == nil {
		return 0
	}
	return p.log.ProducerCount()
}
