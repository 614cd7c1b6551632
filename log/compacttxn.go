package log

import (
	"math"
	"sort"

	"github.com/millrace/millrace/log/record"
)

// outcomes says what became of the transactions in a part of a log, by its markers. A record of an aborted transaction
// supersedes nothing and goes; compaction ends before the first transaction whose marker does not lie in that part.
type outcomes struct {
	aborted map[int64][]transaction // by producer id, ascending
	open    int64                   // where the first transaction without a marker begins; MaxInt64: there is none
}

// readOutcomes reads the headers of all batches in [from, before) of the segments, and the markers among them.
func readOutcomes(segments []*segment, from, before int64) (*outcomes, error) {
	o := &outcomes{aborted: map[int64][]transaction{}, open: math.MaxInt64}
	begun := newProducers()
	for _, s := range segments {
		if s.base >= before {
			break
		}
		file, err := s.open()
		if err != nil {
			return nil, err
		}
		err = walkNoted(file, s.size.Load(), func(b record.Batch) bool {
			if b.BaseOffset() >= before {
				return false
			}
			if b.LastOffset() < from {
				return true
			}
			if aborted, ok := begun.applyTransactional(b); ok {
				t := transaction{aborted.FirstOffset, aborted.LastOffset}
				o.aborted[aborted.ProducerID] = append(o.aborted[aborted.ProducerID], t)
			}
			return true
		})
		if err != nil {
			return nil, err
		}
	}
	for _, e := range begun.entries {
		if e.open() {
			o.open = min(o.open, e.txnFirst)
		}
	}
	return o, nil
}

// voids says whether b belongs to an aborted transaction.
func (o *outcomes) voids(b record.Batch) bool {
	if o == nil || !b.IsTransactional() {
		return false
	}
	aborted := o.aborted[b.ProducerID()]
	i := sort.Search(len(aborted), func(i int) bool { return aborted[i].to > b.BaseOffset() })
	return i < len(aborted) && aborted[i].from <= b.BaseOffset()
}

// markers follows the transactions of the batches that a compaction reads, from the first one of the log on. A marker stays as
// long as a batch of its transaction is left, be it one without records: without the marker that would be open again.
type markers struct {
	begun   *producers
	aborted []abortedEntry // of the group of segments that is written
}

// follow takes note of the next batch. spent: it is a marker, and no batch of its transaction was left before this pass.
func (m *markers) follow(b record.Batch) (spent bool) {
	if b.IsControl() && b.Count() > 0 {
		_, err := b.ParseEndTxnMarker()
		e := m.begun.entries[b.ProducerID()]
		spent = err == nil && (e == nil || !e.open())
	}
	if aborted, ok := m.begun.applyTransactional(b); ok {
		m.aborted = append(m.aborted, aborted)
	}
	return spent
}

// applyTransactional is apply for whoever asks for outcomes only: of other batches it takes no note, and all that is decided is
// taken for committed.
func (p *producers) applyTransactional(b record.Batch) (aborted abortedEntry, ok bool) {
	if !b.IsTransactional() && !b.IsControl() {
		return aborted, false
	}
	aborted, ok = p.apply(b, 0)
	p.unstable.first(math.MaxInt64)
	return aborted, ok
}

// sievedMarker is sieved for a control batch. A spent marker goes once its delete horizon has passed, as in Kafka (KIP-534):
// until then whoever reads a transaction from its beginning finds the end.
func (c *compaction) sievedMarker(b record.Batch, last, spent bool, room int64) (record.Batch, error) {
	switch {
	case b.Count() == 0 && !last && !c.holdsEpoch(b):
		return nil, nil
	case b.Count() == 0 || !spent || b.LastOffset() == c.lastEver:
		return b, nil
	case !b.HasDeleteHorizon():
		kept, err := c.rewriter.Sieve(b, compactDecompressedMax, func(*record.Reader) bool { return true })
		if err != nil {
			return nil, err
		}
		return c.rebuilt(b, kept, c.horizonMs(), room)
	case c.options.NowMs < b.BaseTimestampMs():
		return b, nil
	case last || c.holdsEpoch(b):
		return c.rewriter.Empty(b), nil
	}
	return nil, nil
}

// holdsEpoch says whether nothing but the marker b tells the epoch of its producer.
func (c *compaction) holdsEpoch(b record.Batch) bool {
	epoch, known := c.epochs[b.ProducerID()]
	return known && epoch == b.ProducerEpoch()
}
