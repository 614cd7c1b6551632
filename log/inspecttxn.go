package log

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"strings"

	"github.com/millrace/millrace/internal/disk"
	"github.com/millrace/millrace/log/record"
)

// txnIndexInspection holds a segment's .txnindex against the markers of its batches, which come in the same order.
type txnIndexInspection struct {
	entries  []abortedEntry
	known    bool           // there is a file
	empty    bool           // it is made anew by whoever needs it
	next     int            // the first entry whose marker is still to come
	expected []abortedEntry // of the batches
}

// beginTransactions makes known what was open before the first segment, if a snapshot says so.
func (i *inspection) beginTransactions() {
	i.transactions, i.begun = newProducers(), newProducers()
	base := i.directory.segments[0].base
	p, _, err := newestSnapshot(i.options.FS, i.options.Dir, i.directory, base, 0, slog.New(slog.DiscardHandler))
	if err == nil { // one that cannot be read is told of by itself
		i.transactions = p
	}
}

// endTransactions sums up what is open behind the last segment.
func (i *inspection) endTransactions() {
	i.summary.FirstUnstableOffset = -1
	for _, e := range i.transactions.entries {
		if !e.open() {
			continue
		}
		i.summary.OpenTransactions++
		if first := i.summary.FirstUnstableOffset; first < 0 || e.txnFirst < first {
			i.summary.FirstUnstableOffset = e.txnFirst
		}
	}
}

func (w *segmentInspection) openTxnIndex() error {
	data, err := disk.ReadFile(w.options.FS, w.segment.path(txnIndexSuffix))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	x := &w.txnIndex
	x.known, x.empty = true, len(data) == 0
	for at := 0; at < len(data) && err == nil; at += abortedEntrySize {
		e, ok := parseAbortedEntry(data[at:])
		if n := len(x.entries); !ok || e.LastOffset < w.segment.base || n > 0 && e.LastOffset <= x.entries[n-1].LastOffset {
			w.complainOfTxnIndex(int64(at), "the entry cannot be right: %+v", e.AbortedTransaction)
			break
		}
		x.entries = append(x.entries, e)
	}
	return err
}

func (w *segmentInspection) complainOfTxnIndex(at int64, format string, args ...any) {
	if !w.last || w.summary.ClosedInOrder { // else a broker is writing, or a crash has left it: it is made anew
		w.indexes.complain(txnIndexSuffix, at, format, args...)
	}
}

// transaction looks at a sound batch.
func (w *segmentInspection) transaction(b record.Batch) error {
	if w.transactions == nil || !b.IsTransactional() && !b.IsControl() {
		return nil
	}
	if b.IsControl() && b.ProducerID() >= 0 && b.Count() > 0 {
		if err := checkMarkerReadable(b); err != nil {
			return err
		}
	}
	x := &w.txnIndex
	w.transactions.applyTransactional(b)
	if aborted, ok := w.begun.applyTransactional(b); ok {
		w.summary.AbortedTransactions++
		x.expected = append(x.expected, aborted)
	}
	for ; x.next < len(x.entries) && x.entries[x.next].LastOffset <= b.BaseOffset(); x.next++ {
		e := x.entries[x.next]
		kind, err := b.ControlType()
		if e.LastOffset == b.BaseOffset() && err == nil && kind == record.ControlAbort && b.ProducerID() == e.ProducerID {
			continue
		}
		if missing, err := w.mayBeMissing(e.LastOffset + 1); err != nil {
			return err
		} else if !missing {
			w.complainOfTxnIndex(int64(x.next)*abortedEntrySize, "the entry names the abort of producer %d at offset %d, which is not there",
				e.ProducerID, e.LastOffset)
		}
	}
	return nil
}

// closeTxnIndex looks for what the file should say and does not. It may say more: compaction leaves entries without records.
func (w *segmentInspection) closeTxnIndex() {
	x := &w.txnIndex
	if x.empty {
		return
	}
	for _, e := range x.expected {
		i := slices.IndexFunc(x.entries, func(of abortedEntry) bool { return of.LastOffset == e.LastOffset && of.ProducerID == e.ProducerID })
		switch {
		case i < 0 && !x.known:
			w.complainOfTxnIndex(-1, "the file is missing: it hides the abort of producer %d at offset %d", e.ProducerID, e.LastOffset)
			return
		case i < 0:
			w.complainOfTxnIndex(-1, "the abort of producer %d at offset %d has no entry", e.ProducerID, e.LastOffset)
		case x.entries[i].FirstOffset > e.FirstOffset || x.entries[i].lastStable > e.lastStable:
			w.complainOfTxnIndex(int64(i)*abortedEntrySize, "the entry says that producer %d began at offset %d, with all stable below %d; it was %d and %d",
				e.ProducerID, x.entries[i].FirstOffset, x.entries[i].lastStable, e.FirstOffset, e.lastStable)
		}
	}
}

// indexRemedy is what to do about an index file. A transaction index that is not there would say that nothing was aborted.
func indexRemedy(suffix string) string {
	if suffix == txnIndexSuffix {
		return "make the file an empty one while no broker runs: then it is read from the batches"
	}
	return "remove the file while no broker runs: it is made anew from the batches"
}

// describedMax is how many of a list are told of in one line.
const describedMax = 20

func describeAll[T any](list []T, describe func(T) string) string {
	var parts []string
	for _, e := range list[:min(len(list), describedMax)] {
		parts = append(parts, describe(e))
	}
	if more := len(list) - describedMax; more > 0 {
		parts = append(parts, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(parts, ", ")
}

// describeOpen adds the open transactions of a producer snapshot to what is said of it.
func (p *producers) describeOpen(content string) string {
	var open []*producerEntry
	for _, e := range p.entries {
		if e.open() {
			open = append(open, e)
		}
	}
	if len(open) == 0 {
		return content
	}
	slices.SortFunc(open, func(a, b *producerEntry) int { return int(a.txnFirst - b.txnFirst) })
	return content + "; open transactions: " + describeAll(open, func(e *producerEntry) string {
		return fmt.Sprintf("producer %d from offset %d", e.id, e.txnFirst)
	})
}

// describeTxnIndex leaves it to the inspection of the segment to say what is wrong.
func describeTxnIndex(data []byte) (string, error) {
	var entries []abortedEntry
	for at := 0; at < len(data); at += abortedEntrySize {
		e, ok := parseAbortedEntry(data[at:])
		if !ok {
			return fmt.Sprintf("aborted transactions, unreadable from byte %d on", at), nil
		}
		entries = append(entries, e)
	}
	if len(entries) == 0 {
		return "no aborted transactions", nil
	}
	return fmt.Sprintf("%d aborted transactions: ", len(entries)) + describeAll(entries, func(e abortedEntry) string {
		return fmt.Sprintf("producer %d [%d, %d] with all below %d stable", e.ProducerID, e.FirstOffset, e.LastOffset, e.lastStable)
	}), nil
}
