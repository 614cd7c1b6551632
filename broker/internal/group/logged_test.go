package group

import "github.com/millrace/millrace/log/record"

// logged is one entry of a log: a record, in a transaction or not, or the end of a transaction.
type logged struct {
	record     record.Record
	producerID int64                // noTransaction: none
	marker     *record.EndTxnMarker // nil: a record
}

func (l *logged) replay(s *State) error {
	switch {
	case l.marker != nil:
		return s.ReplayMarker(*l.marker)
	case l.producerID != noTransaction:
		return s.ReplayTransactional(l.producerID, l.record.Key, l.record.Value)
	}
	return s.Replay(l.record.Key, l.record.Value)
}
