package group

import (
	"bytes"
	"errors"
	"testing"

	"pgregory.net/rapid"

	"github.com/millrace/millrace/log/record"
)

// errFenced is what a log says to a producer whose epoch is over.
var errFenced = errors.New("fenced")

func (h *harness) appendTransactional(by Producer, _ int64, records []record.Record) error {
	if h.refuse {
		return errors.New("refused")
	}
	if by.Epoch < h.epochs[by.ID] {
		return errFenced
	}
	for _, r := range records {
		h.records = append(h.records, logged{record: r, producerID: by.ID})
	}
	return nil
}

func (h *harness) appendMarker(end TransactionEnd) error {
	if h.refuse {
		return errors.New("refused")
	}
	if end.Marker.ProducerEpoch < h.epochs[end.Marker.ProducerID] {
		return errFenced
	}
	h.epochs[end.Marker.ProducerID] = end.Marker.ProducerEpoch
	h.records = append(h.records, logged{marker: &end.Marker})
	return nil
}

// crash loses what was written last, which nobody was told of.
func (h *harness) crash(t *rapid.T) {
	h.records = h.records[:len(h.records)-rapid.IntRange(0, min(3, len(h.records))).Draw(t, "lost")]
	h.restart()
}

func (h *harness) producer(t *rapid.T) Producer {
	id := rapid.Int64Range(1, 3).Draw(t, "producer")
	return Producer{ID: id, Epoch: max(0, h.epochs[id]-int16(rapid.SampledFrom([]int{0, 0, 0, 1}).Draw(t, "late")))}
}

func (h *harness) commitInTransaction(t *rapid.T) {
	i := h.someone(t)
	if rapid.Bool().Draw(t, "old client") {
		i = identity{group: i.group, generation: -1}
	}
	by, p := h.producer(t), h.partition(t)
	g := h.state.groups[i.group]
	known := g != nil && g.member(i.member) != nil && g.generation == i.generation
	before, _ := h.state.Offset(i.group, p)
	code, codes, err := h.state.CommitInTransaction(CommitRequest{
		Group: i.group, MemberID: i.member, InstanceID: i.instance, Generation: i.generation, RetentionMs: -1,
		Offsets: []CommitOffset{{TopicPartition: p, Offset: rapid.Int64Range(0, 100).Draw(t, "offset")}},
	}, by)
	after, _ := h.state.Offset(i.group, p)
	switch {
	case before != after:
		t.Fatalf("nothing before its marker: %+v is told, was %+v", after, before)
	case errors.Is(err, errFenced) && by.Epoch >= h.epochs[by.ID], err == nil && code == None && by.Epoch < h.epochs[by.ID]:
		t.Fatalf("producer %+v, newest epoch %d: %v", by, h.epochs[by.ID], err)
	case err == nil && code == None && codes[0] == None && i.generation >= 0 && !known:
		t.Fatalf("an offset of %+v was taken", i)
	}
}

// end writes a marker: of this transaction or of one that is over, in a newer epoch or not.
func (h *harness) end(t *rapid.T) {
	by := h.producer(t)
	marker := record.EndTxnMarker{ProducerID: by.ID, ProducerEpoch: by.Epoch, Type: record.ControlAbort}
	if rapid.Bool().Draw(t, "newer epoch") {
		marker.ProducerEpoch++
	}
	if rapid.Bool().Draw(t, "commit") {
		marker.Type = record.ControlCommit
	}
	before := len(h.records)
	if err := h.state.EndTransaction(TransactionEnd{Marker: marker}); (err == nil) != (len(h.records) > before) {
		t.Fatalf("a marker was answered %v with %d records", err, len(h.records)-before)
	}
	for _, g := range h.state.groups {
		if _, open := g.unstable[by.ID]; open && len(h.records) > before {
			t.Fatalf("%s still has offsets of producer %d", g.id, by.ID)
		}
	}
}

// checkOffsets compares what is told of every offset with what the log says, read as slowly and simply as can be.
func (h *harness) checkOffsets(t *rapid.T) {
	for _, groupID := range []string{"g", "h"} {
		for _, p := range []TopicPartition{{"t", 0}, {"u", 0}} {
			value, unstable := offsetByLog(h.records, offsetKey(groupID, p))
			o, ok := h.state.Offset(groupID, p)
			if ok != (value != nil) || ok && !bytes.Equal(offsetRecord(groupID, p, o).Value, value) {
				t.Fatalf("%s %v is %+v, %v; the log says %q", groupID, p, o, ok, value)
			}
			if got := h.state.Unstable(groupID, p); got != unstable {
				t.Fatalf("%s %v is unstable: %v; the log says %v", groupID, p, got, unstable)
			}
			if ok && h.state.groups[groupID] == nil {
				t.Fatalf("%s has offsets and is gone", groupID)
			}
		}
	}
}

// offsetByLog is the value that counts for a key: after the last tombstone the last one that is in no transaction or in
// a committed one. It is unstable while one is in a transaction without a marker.
func offsetByLog(entries []logged, key []byte) (value []byte, unstable bool) {
	for i, e := range entries {
		if e.marker != nil || !bytes.Equal(e.record.Key, key) {
			continue
		}
		if e.record.Value == nil {
			value, unstable = nil, false
			continue
		}
		if e.producerID == noTransaction {
			value = e.record.Value
			continue
		}
		switch end := endOf(entries[i:], e.producerID); {
		case end == nil:
			if !goneAfter(entries[i:], key) {
				unstable = true
			}
		case end.Type == record.ControlCommit:
			value = e.record.Value
		}
	}
	return value, unstable
}

// endOf returns a producer's first marker.
func endOf(entries []logged, producerID int64) *record.EndTxnMarker {
	for _, e := range entries {
		if e.marker != nil && e.marker.ProducerID == producerID {
			return e.marker
		}
	}
	return nil
}

// goneAfter says whether there is a tombstone for key.
func goneAfter(entries []logged, key []byte) bool {
	for _, e := range entries {
		if e.marker == nil && e.record.Value == nil && bytes.Equal(e.record.Key, key) {
			return true
		}
	}
	return false
}

// TestLogSaysWhatCounts is of the model's own reading of a log.
func TestLogSaysWhatCounts(t *testing.T) {
	key := []byte("k")
	plain := func(value string) logged {
		return logged{record: record.Record{Key: key, Value: []byte(value)}, producerID: noTransaction}
	}
	inTransaction := func(value string) logged {
		return logged{record: record.Record{Key: key, Value: []byte(value)}, producerID: 1}
	}
	gone := logged{record: record.Record{Key: key}, producerID: noTransaction}
	commit := logged{marker: &record.EndTxnMarker{ProducerID: 1, Type: record.ControlCommit}}
	abort := logged{marker: &record.EndTxnMarker{ProducerID: 1, Type: record.ControlAbort}}
	for i, test := range []struct {
		entries  []logged
		value    string
		unstable bool
	}{
		{[]logged{plain("a"), inTransaction("b")}, "a", true},
		{[]logged{plain("a"), inTransaction("b"), commit}, "b", false},
		{[]logged{plain("a"), inTransaction("b"), abort}, "a", false},
		{[]logged{inTransaction("b"), plain("a"), commit}, "a", false},
		{[]logged{inTransaction("b"), gone, commit}, "", false},
		{[]logged{inTransaction("b"), gone}, "", false},
		{[]logged{gone, inTransaction("b"), commit}, "b", false},
	} {
		if value, unstable := offsetByLog(test.entries, key); string(value) != test.value || unstable != test.unstable {
			t.Errorf("%d: %q, %v", i, value, unstable)
		}
	}
}
