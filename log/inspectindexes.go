package log

import (
	"encoding/binary"
	"fmt"

	"github.com/millrace/millrace/internal/disk"
	"github.com/millrace/millrace/log/record"
)

// indexInspection holds the entries of a segment's index files against its batches, which come in the same order.
type indexInspection struct {
	base                     int64 // of the segment
	torn                     bool  // some of the batches cannot be read
	offsets, times           []offsetOrTime
	offsetsKnown, timesKnown bool
	nextOffset, nextTime     int   // the first entry that no batch has confirmed yet
	maxTimestampMs           int64 // of the batches with records
	maxOfAllMs               int64 // Kafka counts those that compaction has emptied
	problems                 []indexProblem
}

// offsetOrTime is an entry of either file.
type offsetOrTime struct {
	at          int64 // byte in the index file
	relative    int32
	position    int32 // .index
	timestampMs int64 // .timeindex
}

const indexMissing = "missing"

type indexProblem struct {
	suffix  string
	at      int64
	problem string
}

func (x *indexInspection) offsetCount() int { return known(x.offsetsKnown, len(x.offsets)) }
func (x *indexInspection) timeCount() int   { return known(x.timesKnown, len(x.times)) }

func known(is bool, count int) int {
	if !is {
		return -1
	}
	return count
}

func (w *segmentInspection) openIndexes() error {
	x := &w.indexes
	x.base, x.maxTimestampMs, x.maxOfAllMs = w.segment.base, record.NoTimestamp, record.NoTimestamp
	for _, index := range []struct {
		suffix  string
		size    int
		known   *bool
		entries *[]offsetOrTime
	}{
		{indexSuffix, offsetEntrySize, &x.offsetsKnown, &x.offsets},
		{timeIndexSuffix, timeEntrySize, &x.timesKnown, &x.times},
	} {
		data, err := disk.ReadFile(w.options.FS, w.segment.path(index.suffix))
		if vanished(err) {
			if !w.last {
				x.complain(index.suffix, -1, indexMissing)
			}
			continue
		}
		if err != nil {
			return err
		}
		*index.known = true
		if len(data)%index.size != 0 && !w.last {
			x.complain(index.suffix, int64(len(data)-len(data)%index.size), "%d bytes are no whole entry", len(data)%index.size)
		}
		*index.entries = splitEntries(data, index.size)
	}
	return w.openTxnIndex()
}

// splitEntries cuts an index file into entries, without the zeros that Kafka's preallocation leaves at the end.
func splitEntries(data []byte, size int) (entries []offsetOrTime) {
	for at := 0; at+size <= len(data); at += size {
		e := offsetOrTime{at: int64(at), relative: int32(binary.BigEndian.Uint32(data[at+size-4:]))}
		if size == offsetEntrySize {
			e.relative, e.position = int32(binary.BigEndian.Uint32(data[at:])), e.relative
		} else {
			e.timestampMs = int64(binary.BigEndian.Uint64(data[at:]))
		}
		if at > 0 && e.relative == 0 && e.position == 0 && e.timestampMs == 0 {
			break
		}
		entries = append(entries, e)
	}
	return entries
}

func (x *indexInspection) complain(suffix string, at int64, format string, args ...any) {
	x.problems = append(x.problems, indexProblem{suffix, at, fmt.Sprintf(format, args...)})
}

// batch confirms the entries that name the batch at position and refutes those that it has passed by.
func (x *indexInspection) batch(b record.Batch, position int64) {
	for ; x.nextOffset < len(x.offsets) && int64(x.offsets[x.nextOffset].position) <= position; x.nextOffset++ {
		e := x.offsets[x.nextOffset]
		if int64(e.position) < position {
			x.complain(indexSuffix, e.at, "the entry points to byte %d, where no batch begins", e.position)
		} else if x.base+int64(e.relative) != b.LastOffset() {
			x.complain(indexSuffix, e.at, "the entry says that the batch at byte %d ends at offset %d, it ends at %d",
				position, x.base+int64(e.relative), b.LastOffset())
		}
	}
	x.maxOfAllMs = max(x.maxOfAllMs, b.MaxTimestampMs())
	if b.Count() > 0 {
		x.maxTimestampMs = max(x.maxTimestampMs, b.MaxTimestampMs())
	}
	for ; x.nextTime < len(x.times) && x.base+int64(x.times[x.nextTime].relative) <= b.LastOffset(); x.nextTime++ {
		e := x.times[x.nextTime]
		if offset := x.base + int64(e.relative); offset < b.BaseOffset() {
			x.complain(timeIndexSuffix, e.at, "the entry names offset %d, which no batch has", offset)
		} else if e.timestampMs != x.maxTimestampMs && e.timestampMs != x.maxOfAllMs {
			x.complain(timeIndexSuffix, e.at, "the entry says that the largest timestamp up to offset %d is %d, it is %d",
				offset, e.timestampMs, x.maxTimestampMs)
		}
	}
}

// skipTo leaves out the entries before position, whose batches cannot be read.
func (x *indexInspection) skipTo(position int64) {
	for x.nextOffset < len(x.offsets) && int64(x.offsets[x.nextOffset].position) < position {
		x.nextOffset++
	}
	x.torn = true
}

// closeIndexes looks at what is left when the batches have ended at position end, and tells of all problems.
// The files of the last segment may lag behind its batches, and after a crash be ahead of them.
func (w *segmentInspection) closeIndexes(end int64) error {
	x := &w.indexes
	if !w.last && end == w.size && !x.torn {
		if left := len(x.offsets) - x.nextOffset; left > 0 {
			x.complain(indexSuffix, x.offsets[x.nextOffset].at, "%d entries point beyond the last batch", left)
		}
		if left := len(x.times) - x.nextTime; left > 0 {
			x.complain(timeIndexSuffix, x.times[x.nextTime].at, "%d entries point beyond the last batch", left)
		} else if n := len(x.times); x.timesKnown && x.maxTimestampMs > record.NoTimestamp && (n == 0 || x.times[n-1].timestampMs < x.maxTimestampMs) {
			x.complain(timeIndexSuffix, -1, "the largest timestamp of the segment, %d, has no entry", x.maxTimestampMs)
		}
	}
	w.closeTxnIndex()
	if len(x.problems) == 0 || x.torn { // torn: the batches that the entries speak of cannot be read
		return nil
	}
	if deleted, err := w.deletedBelow(w.next); err != nil || deleted {
		return err
	}
	if w.replacedMeanwhile() {
		return nil
	}
	for _, p := range x.problems {
		err := w.find(Repairable, w.segment.path(p.suffix), p.at, p.problem, indexRemedy(p.suffix))
		if err != nil {
			return err
		}
	}
	return nil
}
