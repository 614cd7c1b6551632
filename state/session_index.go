package state

import (
	"encoding/binary"
	"math"
)

// timeIndex tells which keys have sessions that end before some time. It is derived from the sessions, so the changelog does not have
// it; to Pebble it goes together with them.
//
// An entry is a time and a key, and says: look at this key's sessions at the latest then. While a session grows, its entry stays where
// it is; only when its time has come the sessions are looked at, and the entry moves to where the session ends by then. So a record
// that extends a session costs the index nothing.
//
// What holds for each session of a key:
//   - if it ends before exactMs, there is an entry with just that time;
//   - if it ends later, there is an entry with a time in [exactMs, its end].
//
// Beside them there may be entries that no session has any more.
type timeIndex struct {
	entries  *overlay[struct{}]
	exactMs  int64
	quietMs  int64 // there is no entry in [exactMs, quietMs)
	oldestMs int64 // there is no entry before it
	scratch  []byte
}

// noIndex is the time of no entry.
const noIndex = math.MaxInt64

func newTimeIndex(db *DB, prefix []byte, empty bool) *timeIndex {
	x := &timeIndex{entries: newOverlay(db, prefix, nil, Codec[struct{}](nothing{}), false, empty)}
	x.forget()
	if empty {
		x.quietMs, x.oldestMs = math.MaxInt64, math.MaxInt64
	}
	return x
}

// forget is for when nothing is known of the entries.
func (x *timeIndex) forget() {
	x.exactMs, x.quietMs, x.oldestMs = math.MinInt64, math.MinInt64, math.MinInt64
}

// cover makes sure that there is an entry for a session of key that ends at endMs. indexedMs is the earliest entry of the key that is
// known and not before exactMs, or noIndex; so is what it returns.
func (x *timeIndex) cover(key []byte, endMs, indexedMs int64) (int64, error) {
	if indexedMs <= endMs {
		return indexedMs, nil
	}
	if err := x.insert(key, endMs); err != nil {
		return indexedMs, err
	}
	if endMs >= x.exactMs {
		indexedMs = endMs
	}
	return indexedMs, nil
}

func (x *timeIndex) insert(key []byte, endMs int64) error {
	x.scratch = appendIndexKey(x.scratch[:0], endMs, key)
	n, err := x.entries.locate(x.scratch)
	if err != nil {
		return err
	}
	if x.entries.table.at(n).state&slotPresent == 0 {
		x.entries.set(n, struct{}{}, 0)
	}
	x.oldestMs = min(x.oldestMs, endMs)
	if endMs >= x.exactMs {
		x.quietMs = min(x.quietMs, endMs)
	}
	return nil
}

func (x *timeIndex) remove(entry []byte) error {
	n, err := x.entries.locate(entry)
	if err != nil {
		return err
	}
	x.entries.remove(n, 0)
	return nil
}

// ascend visits the entries with times in [fromMs, toMs). The key belongs to the visitor until the next one.
func (x *timeIndex) ascend(fromMs, toMs int64, visit func(endMs int64, key []byte) (more bool, err error)) error {
	var own []byte
	return x.entries.ascend(appendIndexKey(nil, fromMs, nil), appendIndexKey(nil, toMs, nil), func(entry []byte, _ struct{}, _ int64) (bool, error) {
		own = append(own[:0], entry[indexTimeBytes:]...)
		return visit(indexTime(entry), own)
	})
}

// due returns the entries with times in [fromMs, toMs), one behind the other, and the time of the first one behind them.
func (x *timeIndex) due(fromMs, toMs int64) (entries [][]byte, nextMs int64, err error) {
	nextMs = math.MaxInt64
	err = x.entries.ascend(appendIndexKey(nil, fromMs, nil), nil, func(entry []byte, _ struct{}, _ int64) (bool, error) {
		if t := indexTime(entry); t >= toMs {
			nextMs = t
			return false, nil
		}
		entries = append(entries, append([]byte(nil), entry...))
		return true, nil
	})
	return entries, nextMs, err
}

// An entry is its time, in bytes that sort as times do, and the key.
const indexTimeBytes = 8

func appendIndexKey(dst []byte, endMs int64, key []byte) []byte {
	return append(binary.BigEndian.AppendUint64(dst, uint64(endMs)^signBit), key...)
}

func indexTime(entry []byte) int64 { return int64(binary.BigEndian.Uint64(entry) ^ signBit) }

// nothing is the codec of entries, which have no value.
type nothing struct{}

func (nothing) Name() string                                  { return "nothing" }
func (nothing) Append(dst []byte, _ struct{}) ([]byte, error) { return dst, nil }
func (nothing) Decode([]byte) (struct{}, error)               { return struct{}{}, nil }
