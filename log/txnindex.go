package log

import (
	"encoding/binary"
)

// A .txnindex file is the aborted transactions whose marker lies in the segment, in the order of the markers, in Kafka's
// format (TransactionIndex, AbortedTxn), big-endian:
//
//	+-------------+-----------------+------------------+------------------------------+------------------------+
//	| version i16 | producer id i64 | first offset i64 | last offset i64 (the marker) | last stable offset i64 |
//	+-------------+-----------------+------------------+------------------------------+------------------------+
//
// It is a hint: what cannot be right is made anew from the batches. One that is not there says, as with Kafka, that nothing
// was aborted; so it is durable before the segment is sealed. Compaction may leave entries of transactions without a record.
const (
	abortedEntrySize    = 2 + 8 + 8 + 8 + 8
	abortedEntryVersion = 0
)

// abortedEntry is an aborted transaction whose marker lies in a segment.
type abortedEntry struct {
	AbortedTransaction
	lastStable int64 // where the first transaction began that was open when it was decided; without one, after the marker
}

func appendAbortedEntries(dst []byte, entries []abortedEntry) []byte {
	for _, e := range entries {
		dst = binary.BigEndian.AppendUint16(dst, abortedEntryVersion)
		dst = binary.BigEndian.AppendUint64(dst, uint64(e.ProducerID))
		dst = binary.BigEndian.AppendUint64(dst, uint64(e.FirstOffset))
		dst = binary.BigEndian.AppendUint64(dst, uint64(e.LastOffset))
		dst = binary.BigEndian.AppendUint64(dst, uint64(e.lastStable))
	}
	return dst
}

func parseAbortedEntry(data []byte) (e abortedEntry, ok bool) {
	if len(data) < abortedEntrySize || binary.BigEndian.Uint16(data) != abortedEntryVersion {
		return e, false
	}
	e.ProducerID = int64(binary.BigEndian.Uint64(data[2:]))
	e.FirstOffset = int64(binary.BigEndian.Uint64(data[10:]))
	e.LastOffset = int64(binary.BigEndian.Uint64(data[18:]))
	e.lastStable = int64(binary.BigEndian.Uint64(data[26:]))
	return e, e.ProducerID >= 0 && e.FirstOffset >= 0 && e.FirstOffset <= e.LastOffset && e.lastStable >= 0 && e.lastStable-1 <= e.LastOffset
}

// parseAbortedEntries returns the entries of a .txnindex file whose markers lie in [base, end). ok is false if the entries
// before end cannot be right: not whole, of another version, or not ascending. What lies beyond end is left out: a segment
// that was cut, or a compaction that was interrupted, has left it behind.
func parseAbortedEntries(data []byte, base, end int64) (entries []abortedEntry, ok bool) {
	for previous := base - 1; len(data) > 0; data = data[abortedEntrySize:] {
		e, sound := parseAbortedEntry(data)
		if !sound || e.LastOffset <= previous {
			return nil, false
		}
		if e.LastOffset >= end {
			break
		}
		entries, previous = append(entries, e), e.LastOffset
	}
	return entries, true
}
