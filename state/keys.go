package state

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
)

// Keys in Pebble:
//
//	0x0000 "format"          version of all this
//	0x0000 "position"        Position as JSON
//	0x0000 "store/" name     storeRecord as JSON
//	id (2 bytes, from 1) ... the store's own
const (
	formatVersion  = "1"
	storeIDBytes   = 2
	storeKeyPrefix = "\x00\x00store/"
	storeIDMax     = 1<<16 - 1
)

var (
	formatKey   = []byte("\x00\x00format")
	positionKey = []byte("\x00\x00position")
)

// storeRecord lies beside a store.
type storeRecord struct {
	ID    uint16 `json:"id"`
	Kind  string `json:"kind"`
	Key   string `json:"key"`
	Value string `json:"value"`
}

func newStoreRecord(id uint16, s Spec) storeRecord {
	return storeRecord{ID: id, Kind: s.Kind.String(), Key: s.Key, Value: s.Value}
}

// check refuses a Spec that the store's bytes were not written with.
func (r storeRecord) check(s Spec, dir string) error {
	want := newStoreRecord(r.ID, s)
	if r == want {
		return nil
	}
	return fmt.Errorf("open store %s in %s: %w: it was written as %s with keys %s and values %s, and is asked for as %s with keys %s and "+
		"values %s; give the store another name, or reset the application", s.Name, dir, ErrSpec, r.Kind, r.Key, r.Value, want.Kind, want.Key, want.Value)
}

func (r storeRecord) encode() ([]byte, error) { return json.Marshal(r) }

func decodeStoreRecord(data []byte) (r storeRecord, err error) {
	if err := json.Unmarshal(data, &r); err != nil {
		return storeRecord{}, fmt.Errorf("decode store record %q: %w", data, err)
	}
	return r, nil
}

// storePrefix begins all keys of a store.
func storePrefix(id uint16) []byte { return binary.BigEndian.AppendUint16(nil, id) }

// successor is the first key behind all that begin with prefix; nil if there is none.
func successor(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] < 0xff {
			next := append([]byte(nil), prefix[:i+1]...)
			next[i]++
			return next
		}
	}
	return nil
}
