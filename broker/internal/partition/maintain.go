package partition

import (
	"errors"

	"github.com/millrace/millrace/log"
)

// Maintain does what is due at nowMs: removes segments by retention, forgets idle producers, and starts a sync with
// flush=interval. It returns how many bytes retention freed. As in Kafka a segment that is too old is rolled when the
// next batch comes, and one that is the last is rolled here only when retention takes all of it.
func (p *Partition) Maintain(nowMs int64) (deletedBytes int64, err error) {
	if p.Err() != nil {
		return 0, nil
	}
	p.FlushDue(nowMs)
	p.log.ExpireProducers(nowMs)
	p.expireVerifications(nowMs)
	deletedBytes, err = p.log.Retain(nowMs, p.Offsets().HighWatermark)
	p.startMoved()
	if err != nil {
		return deletedBytes, p.errorf("retain", err)
	}
	return deletedBytes, nil
}

// Roll begins a new segment, unless the last one is empty.
func (p *Partition) Roll(nowMs int64) error {
	if err := p.Err(); err != nil {
		return err
	}
	p.append.Lock()
	err := p.log.Roll(nowMs)
	p.append.Unlock()
	if errors.Is(err, log.ErrFailed) {
		p.mu.Lock()
		p.failLocked(err)
		p.mu.Unlock()
	}
	if err != nil {
		return p.errorf("roll", err)
	}
	return nil
}

// DeleteSegmentsBefore moves the log start to offset, which must be committed, and deletes the segments that end there
// or before. The cleanup policy is not asked. The log start is durable before the first segment goes.
func (p *Partition) DeleteSegmentsBefore(nowMs, offset int64) error {
	if err := p.Err(); err != nil {
		return err
	}
	if _, err := p.deleteBefore(offset); err != nil {
		return err
	}
	if _, err := p.log.Retain(nowMs, offset); err != nil {
		return p.errorf("retain", err)
	}
	return nil
}

// FlushDue starts a sync if flush=interval asks for one at nowMs. It does not wait.
func (p *Partition) FlushDue(nowMs int64) {
	config := p.config.Load()
	if config.Flush != FlushInterval || p.log == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.logEnd == p.mu.durable {
		p.mu.lastSyncMs = nowMs
		return
	}
	// A clock that jumped back must not stop the syncs.
	if passedMs := nowMs - p.mu.lastSyncMs; passedMs >= config.FlushEveryMs() || passedMs < 0 {
		p.mu.lastSyncMs = nowMs
		p.wakeCommitterLocked()
	}
}

// Flush starts a sync if anything is not durable, whatever the flush setting. It does not wait.
func (p *Partition) Flush() {
	if p.log == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.logEnd > p.mu.durable {
		p.wakeCommitterLocked()
	}
}

// Configure makes the partition work by config from now on. One that the log refuses changes nothing, and is logged.
func (p *Partition) Configure(config Config) {
	if p.log == nil {
		p.config.Store(&config)
		return
	}
	if err := p.log.Configure(config.Log); err != nil {
		p.options.Logger.Error("settings not taken over", "topic", p.options.Topic, "partition", p.options.Index, "err", err)
		return
	}
	before := p.config.Swap(&config)
	if before.Flush != config.Flush {
		p.warnAboutFlush(config.Flush)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.advanceLocked()
	if p.syncDueLocked() {
		p.wakeCommitterLocked()
	}
}
