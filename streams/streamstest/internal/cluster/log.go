package cluster

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Log is the sequence of records of one partition, with the markers of transactions between them.
type Log struct {
	start   int64 // the first offset that is not deleted
	end     int64 // the offset of the next record
	entries []entry
	begun   []begun // open transactions, by the offset of their first record here
}

// begun is an open transaction and where it begins in a log.
type begun struct {
	transaction *transaction
	offset      int64
}

// entry is a record, or a marker, at an offset. Compaction leaves gaps between the offsets.
type entry struct {
	offset      int64
	appendedMs  int64        // by the cluster's NowMs
	record      *kgo.Record  // nil: a marker
	transaction *transaction // nil: the record belongs to none
}

// append adds a record, which gets its offset, and which the log owns from now on.
func (l *Log) append(record *kgo.Record, t *transaction, nowMs int64) {
	record.Offset = l.end
	if t != nil && !slices.ContainsFunc(l.begun, func(b begun) bool { return b.transaction == t }) {
		l.begun = append(l.begun, begun{t, l.end})
		t.logs = append(t.logs, l)
	}
	l.entries = append(l.entries, entry{offset: l.end, appendedMs: nowMs, record: record, transaction: t})
	l.end++
}

// mark ends a transaction that has records here.
func (l *Log) mark(t *transaction) {
	l.begun = slices.DeleteFunc(l.begun, func(b begun) bool { return b.transaction == t })
	l.entries = append(l.entries, entry{offset: l.end, transaction: t})
	l.end++
}

// Start returns the first offset that was not deleted.
func (l *Log) Start() int64 { return l.start }

// End returns the offset of the next record.
func (l *Log) End() int64 { return l.end }

// Stable returns the last stable offset: that of the first record of an open transaction, or else the end.
func (l *Log) Stable() int64 {
	if len(l.begun) > 0 {
		return l.begun[0].offset
	}
	return l.end
}

// Read returns at most limit committed records from an offset on, and the offset to read from next, which may be beyond the
// last of the records: it is behind what was aborted, and behind markers. The log keeps the records; they must not be
// changed. It fails with kerr.OffsetOutOfRange.
func (l *Log) Read(from int64, limit int) (records []*kgo.Record, next int64, err error) {
	if from < l.start || from > l.end {
		return nil, from, fmt.Errorf("read from %d where offsets go from %d to %d: %w", from, l.start, l.end, kerr.OffsetOutOfRange)
	}
	stable := l.Stable()
	for _, e := range l.entries[l.search(from):l.search(stable)] {
		if !e.visible() {
			continue
		}
		if len(records) == limit {
			return records, e.offset, nil
		}
		records = append(records, e.record)
	}
	return records, max(from, stable), nil
}

// search returns the index of the first entry at an offset or behind it.
func (l *Log) search(offset int64) int {
	i, _ := slices.BinarySearchFunc(l.entries, offset, func(e entry, o int64) int { return cmp.Compare(e.offset, o) })
	return i
}

// visible says whether the entry is a committed record.
func (e entry) visible() bool {
	return e.record != nil && (e.transaction == nil || e.transaction.outcome == committed)
}

// Truncate deletes all before an offset, as retention does.
func (l *Log) Truncate(before int64) {
	l.start = max(l.start, min(before, l.end))
	l.entries = l.entries[l.search(l.start):]
}

// Compact keeps of each key the last committed record. Those without a value, deletions, go as well if they were appended before
// deletionsBeforeMs. What lies behind the last stable offset stays as it is.
func (l *Log) Compact(deletionsBeforeMs int64) {
	stable := l.Stable()
	last := map[string]int64{}
	for _, e := range l.entries {
		if e.visible() && e.offset < stable {
			last[string(e.record.Key)] = e.offset
		}
	}
	var kept []entry
	for _, e := range l.entries {
		isLast := e.visible() && last[string(e.record.Key)] == e.offset
		if e.offset >= stable || isLast && (e.record.Value != nil || e.appendedMs >= deletionsBeforeMs) {
			kept = append(kept, e)
		}
	}
	l.entries = kept
}
