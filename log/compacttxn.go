package log

import (
	"fmt"
	"math"

	"github.com/millrace/millrace/log/record"
)

// outcomes says what became of the transactions in a part of a log, by its markers. A record of an aborted transaction
// supersedes nothing and goes; compaction ends before the first transaction that is open. The log has no transactions of its
// own yet, but a directory that was copied from Kafka may have some.
//
// Markers themselves stay: to let them go, a pass would have to know that no record of theirs is left (KIP-534).
type outcomes struct {
	aborted map[int64][]transaction // by producer id, ascending
	open    int64                   // where the first transaction without a marker begins; MaxInt64: there is none
}

// readOutcomes reads the headers of all batches in [from, before) of the segments, and the markers among them.
func readOutcomes(segments []*segment, from, before int64) (*outcomes, error) {
	o := &outcomes{aborted: map[int64][]transaction{}, open: math.MaxInt64}
	begun := map[int64]int64{} // first offset of each producer's open transaction
	for _, s := range segments {
		file, err := s.open()
		if err != nil {
			return nil, err
		}
		var markerErr error
		err = walkHeaders(file, 0, s.size.Load(), func(header headerView, position, size int64) bool {
			if header.LastOffset() < from || !header.IsTransactional() && !header.IsControl() {
				return true
			}
			id := header.ProducerID()
			first, open := begun[id]
			switch {
			case header.BaseOffset() >= before:
				return false
			case !header.IsControl() && !open:
				begun[id] = header.BaseOffset()
			case header.IsControl() && header.Count() > 0:
				to := header.BaseOffset()
				marker := make(record.Batch, size)
				if n, err := file.ReadAt(marker, position); n < len(marker) {
					markerErr = fmt.Errorf("read %s at %d: %w", file.Name(), position, err)
					return false
				}
				kind, err := marker.ControlType()
				if err != nil {
					markerErr = &CorruptError{Path: file.Name(), Position: position, Err: err}
					return false
				}
				if open && kind == record.ControlAbort {
					o.aborted[id] = append(o.aborted[id], transaction{first, to})
				}
				delete(begun, id)
			}
			return true
		})
		if err == nil {
			err = markerErr
		}
		if err != nil {
			return nil, err
		}
	}
	for _, first := range begun {
		o.open = min(o.open, first)
	}
	return o, nil
}

// voids says whether b belongs to an aborted transaction.
func (o *outcomes) voids(b record.Batch) bool {
	if o == nil || !b.IsTransactional() {
		return false
	}
	for _, t := range o.aborted[b.ProducerID()] {
		if b.BaseOffset() >= t.from && b.BaseOffset() < t.to {
			return true
		}
	}
	return false
}
