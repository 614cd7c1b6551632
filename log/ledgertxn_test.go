package log_test

import (
	"math"
	"slices"

	"github.com/millrace/millrace/log"
	"github.com/millrace/millrace/log/record"
)

// transactionsOf walks all batches below end: transactions that were aborted, and where those begin that are open.
func transactionsOf(content []stored, end int64) (aborted []log.AbortedTransaction, open map[int64]int64) {
	open = map[int64]int64{}
	for _, s := range content {
		if s.BaseOffset() >= end || !s.IsTransactional() {
			continue
		}
		first, begun := open[s.ProducerID()]
		switch {
		case !s.IsControl() && !begun:
			open[s.ProducerID()] = s.BaseOffset()
		case s.IsControl():
			if kind, err := s.ControlType(); begun && err == nil && kind == record.ControlAbort {
				aborted = append(aborted, log.AbortedTransaction{ProducerID: s.ProducerID(), FirstOffset: first, LastOffset: s.BaseOffset()})
			}
			delete(open, s.ProducerID())
		}
	}
	return aborted, open
}

// checkTransactions holds what the log says of transactions against all that was ever appended to it.
func checkTransactions(l *log.Log, found []record.Batch, content []stored) error {
	start, end := l.LogStartOffset(), l.LogEndOffset()
	expected, open := transactionsOf(content, end)
	unstable := int64(math.MaxInt64)
	for id, first := range open {
		unstable = min(unstable, max(first, start))
		if begun, isOpen := l.OpenTransaction(id); !isOpen || begun != first {
			return broken("transaction of producer %d since %d: open %v since %d", id, first, isOpen, begun)
		}
	}
	if first := l.FirstUnstable(end); first != unstable {
		return broken("first unstable offset %d, expected %d", first, unstable)
	}
	aborted, err := l.AbortedTransactions(start, end)
	if err != nil {
		return err
	}
	for _, a := range aborted {
		if !slices.ContainsFunc(expected, func(e log.AbortedTransaction) bool {
			return e.ProducerID == a.ProducerID && e.LastOffset == a.LastOffset && e.FirstOffset <= a.FirstOffset
		}) {
			return broken("%+v was not aborted: %+v", a, expected)
		}
	}
	for _, b := range found {
		in := func(a log.AbortedTransaction) bool {
			return a.ProducerID == b.ProducerID() && a.FirstOffset <= b.BaseOffset() && b.BaseOffset() < a.LastOffset
		}
		if b.IsTransactional() && !b.IsControl() && slices.ContainsFunc(expected, in) != slices.ContainsFunc(aborted, in) {
			return broken("batch at %d, of what was aborted %+v only %+v is told", b.BaseOffset(), expected, aborted)
		}
	}
	return nil
}
