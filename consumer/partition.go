package consumer

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Partition is a partition that is assigned to this member, until Revoked was called for it. Its methods are safe for
// concurrent use.
type Partition struct {
	TopicPartition

	group    *Group
	worker   *worker
	produced atomic.Int64 // records, by Produce
	failures failures     // owned by the worker's goroutine

	// Owned by the goroutine of Run.
	paused    bool      // fetching is
	fullSince time.Time // zero: the queue is not full

	// What follows is guarded by worker.mu, but for the processor, which belongs to whoever may call it: the worker, or the
	// goroutine of Run while the worker is halted.
	processor Processor
	fresh     bool      // Assigned is to be called
	held      bool      // by Pause
	holdUntil time.Time // after a failure: no record is processed, nor tick called, before that
	tickAt    time.Time // when a Ticker is to be called next
	queue     []batchOfRecords
	bytes     int // what is in queue
	progress  progress
	ctx       context.Context // ends when the partition is taken away, or its work undone
	cancel    context.CancelFunc
}

// batchOfRecords is what one fetch brought of a partition, or what is left of it.
type batchOfRecords struct {
	records       []*kgo.Record // may be empty: markers of transactions only
	next          int64
	leaderEpoch   int32
	highWatermark int64
	stableEnd     int64
	bytes         int
}

// Committed returns what is committed: At is -1 if nothing is.
func (p *Partition) Committed() Offset {
	p.worker.mu.Lock()
	defer p.worker.mu.Unlock()
	return p.progress.committed
}

// Position returns the offset behind what is processed, and behind what nobody sees after it; -1: nothing was processed yet.
func (p *Partition) Position() int64 { return p.position().At }

// Produce sends records whose fate is that of the work: they are part of the transaction that commits the offsets of what
// Process was given, or, without transactions, are acknowledged before those are committed. It is called within Process and
// Prepare, and does not wait for an answer; records that do not arrive fail the commit. It waits while too many are under
// way, and returns why an earlier one failed. ctx has to live until the records are sent.
func (p *Partition) Produce(ctx context.Context, records ...*kgo.Record) error {
	if p.worker.isStuck() {
		return ErrStuck // nobody commits what a goroutine does that was left behind
	}
	p.produced.Add(int64(len(records)))
	return p.group.outlet.Produce(ctx, records...)
}

// Running returns a context that ends when the group waits for the partition's worker, as for a commit. A Process that takes long,
// and keeps what is left of its records, can return then, and go on in [Ticker].Tick when the wait is over; its [Committer]
// lowers the offset meanwhile.
func (p *Partition) Running() context.Context {
	p.worker.mu.Lock()
	defer p.worker.mu.Unlock()
	return p.worker.mu.running
}

// CommitSoon asks for a commit before the next one is due.
func (p *Partition) CommitSoon() { offer(p.group.due, struct{}{}) }

// Pause stops fetching, and giving batches to Process once the present one is done. Offsets are still committed.
func (p *Partition) Pause() { p.hold(true) }

// Resume ends Pause.
func (p *Partition) Resume() { p.hold(false) }

func (p *Partition) hold(held bool) {
	p.worker.mu.Lock()
	p.held = held
	p.worker.mu.Unlock()
	p.worker.poke()
	p.group.poke()
}

// push queues records that were fetched.
func (p *Partition) push(records []*kgo.Record, highWatermark, stableEnd int64) {
	last := records[len(records)-1]
	b := batchOfRecords{
		next: last.Offset + 1, leaderEpoch: last.LeaderEpoch, highWatermark: highWatermark, stableEnd: stableEnd, records: records[:0],
	}
	first := records[0].Offset
	b.bytes = sizeOf(records) // with the markers, which stay in memory too
	for _, record := range records {
		if !record.Attrs.IsControl() {
			b.records = append(b.records, record)
		}
	}
	p.worker.mu.Lock()
	p.progress.take(first)
	p.queue = append(p.queue, b)
	p.bytes += b.bytes
	p.worker.mu.Unlock()
	p.worker.poke()
}

// pressure returns whether Pause is in force, and whether so much is queued that fetching is to wait.
func (p *Partition) pressure(queueBytes int) (held, full bool) {
	p.worker.mu.Lock()
	defer p.worker.mu.Unlock()
	return p.held, p.bytes >= queueBytes
}

// cutLocked takes the next batch, of at most recordsMax records.
func (p *Partition) cutLocked(recordsMax int) *Batch {
	head := &p.queue[0]
	batch := &Batch{Partition: p, HighWatermark: head.highWatermark, StableEnd: head.stableEnd, Next: head.next, leaderEpoch: head.leaderEpoch}
	if len(head.records) <= recordsMax {
		batch.Records = head.records
		p.bytes -= head.bytes
		p.queue[0] = batchOfRecords{}
		p.queue = p.queue[1:]
		return batch
	}
	batch.Records = head.records[:recordsMax:recordsMax]
	head.records = head.records[recordsMax:]
	last := batch.Records[recordsMax-1]
	batch.Next, batch.leaderEpoch = last.Offset+1, last.LeaderEpoch
	bytes := sizeOf(batch.Records)
	head.bytes -= bytes
	p.bytes -= bytes
	return batch
}

// putBackLocked undoes cutLocked but for the records that are done.
func (p *Partition) putBackLocked(batch *Batch) {
	rest := batchOfRecords{
		records: batch.Records[batch.done:], next: batch.Next, leaderEpoch: batch.leaderEpoch,
		highWatermark: batch.HighWatermark, stableEnd: batch.StableEnd,
	}
	rest.bytes = sizeOf(rest.records)
	p.queue = append([]batchOfRecords{rest}, p.queue...)
	p.bytes += rest.bytes
}

func sizeOf(records []*kgo.Record) (bytes int) {
	for _, record := range records {
		bytes += len(record.Key) + len(record.Value) + recordOverheadBytes
		for _, header := range record.Headers {
			bytes += len(header.Key) + len(header.Value) + headerOverheadBytes
		}
	}
	return bytes
}

// position returns how far the partition is processed.
func (p *Partition) position() Offset {
	p.worker.mu.Lock()
	defer p.worker.mu.Unlock()
	return p.progress.processed
}

// toCommit returns what a commit says of the partition: what is committed already if nothing was processed since it was assigned.
func (p *Partition) toCommit() Offset {
	p.worker.mu.Lock()
	defer p.worker.mu.Unlock()
	if p.progress.processed.At < 0 {
		return p.progress.committed
	}
	return p.progress.processed
}

// committer returns the processor if it takes part in commits.
func (p *Partition) committer() (Committer, bool) {
	p.worker.mu.Lock()
	defer p.worker.mu.Unlock()
	committer, is := p.processor.(Committer)
	return committer, is
}

// release returns the processor, which is the partition's no longer.
func (p *Partition) release() Processor {
	p.worker.mu.Lock()
	defer p.worker.mu.Unlock()
	processor := p.processor
	p.processor = nil
	return processor
}

// commit notes what the broker has.
func (p *Partition) commit(offset Offset) {
	p.worker.mu.Lock()
	defer p.worker.mu.Unlock()
	p.progress.committed = offset
}

// restart makes the partition, of which nothing runs, begin anew at what is committed. It returns where to read; -1: where it is.
// The pause before a retry goes on: with a transaction, this is how the retry begins.
func (p *Partition) restart(committed Offset) int64 {
	p.worker.mu.Lock()
	defer p.worker.mu.Unlock()
	p.progress.restart(committed)
	p.fresh, p.queue, p.bytes = true, nil, 0
	p.ctx, p.cancel = context.WithCancel(p.group.work)
	return p.progress.again()
}
