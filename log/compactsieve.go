package log

import (
	"math"

	"github.com/millrace/millrace/log/record"
)

// sieve returns what is left of a batch: b itself, a smaller one, one without records, or nil. last says that it is the last
// one of the segment that is being written. room is by how much the segment may still grow beyond its sources.
func (c *compaction) sieve(b record.Batch, last bool, room *int64) (record.Batch, error) {
	c.told.RecordsIn += int64(b.Count())
	left, err := c.sieved(b, last, c.markers.follow(b), *room)
	if err != nil {
		return nil, err
	}
	*room -= int64(len(left) - len(b))
	if left == nil {
		return nil, nil
	}
	c.told.RecordsOut += int64(left.Count())
	// One that has passed already is of interest only if it is new: what stayed in spite of an old one does not go next time.
	if horizonMs := left.BaseTimestampMs(); left.HasDeleteHorizon() && (horizonMs > c.options.NowMs || !b.HasDeleteHorizon()) &&
		(c.dueMs < 0 || horizonMs < c.dueMs) {
		c.dueMs = horizonMs
	}
	return left, nil
}

func (c *compaction) sieved(b record.Batch, last, spent bool, room int64) (record.Batch, error) {
	switch {
	case b.BaseOffset() >= c.end:
		return b, nil
	case b.IsControl():
		return c.sievedMarker(b, last, spent, room)
	}
	kept, tombstones := 0, false
	if b.Count() > 0 && !c.outcomes.voids(b) {
		var err error
		kept, err = c.rewriter.Sieve(b, compactDecompressedMax, func(r *record.Reader) bool {
			keep := c.keeps(b, r)
			tombstones = tombstones || keep && r.Record().Value == nil
			return keep
		})
		if err != nil {
			return nil, err
		}
	}
	switch {
	case kept == 0 && !last && !c.isNewestOfProducer(b):
		return nil, nil
	case kept == 0 && b.Count() == 0:
		return b, nil
	case kept == 0:
		return c.rewriter.Empty(b), nil
	}
	horizonMs := int64(record.NoTimestamp)
	if tombstones && !b.HasDeleteHorizon() {
		horizonMs = c.horizonMs()
	}
	return c.rebuilt(b, kept, horizonMs, room)
}

// horizonMs is the delete horizon of what this pass is the first to find deletable.
func (c *compaction) horizonMs() int64 {
	return c.options.NowMs + min(c.config.DeleteRetentionMs, math.MaxInt64-c.options.NowMs)
}

// rebuilt is the batch of what the rewriter has kept, with a delete horizon if it fits: it makes every record longer, and the
// segment must not become too large for its indexes.
func (c *compaction) rebuilt(b record.Batch, kept int, horizonMs, room int64) (record.Batch, error) {
	for _, horizonMs := range []int64{horizonMs, record.NoTimestamp} {
		if kept == int(b.Count()) && horizonMs == record.NoTimestamp {
			return b, nil
		}
		left, err := c.rewriter.Build(horizonMs)
		if err != nil || int64(len(left)-len(b)) <= room {
			return left, err
		}
	}
	// Compressed anew it is longer than it was. It stays, and the log is not clean from here on: what goes before a tombstone
	// must be gone before that.
	c.end = min(c.end, b.BaseOffset())
	return b, nil
}

// keeps says whether a record stays. One without a key cannot be in a compacted log, and goes, as in Kafka.
func (c *compaction) keeps(b record.Batch, r *record.Reader) bool {
	offset := r.Offset()
	if offset >= c.end || offset == c.lastEver {
		return true
	}
	key := r.Record().Key
	if key == nil || c.keys.last(key) > offset {
		return false
	}
	return r.Record().Value != nil || !b.HasDeleteHorizon() || c.options.NowMs < b.BaseTimestampMs()
}

// isNewestOfProducer says whether the state of b's producer rests on it.
func (c *compaction) isNewestOfProducer(b record.Batch) bool {
	newest, known := c.newest[b.ProducerID()]
	return known && newest == b.LastOffset()
}
