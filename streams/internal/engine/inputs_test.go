package engine

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"
)

// merged is the order in which whole inputs are to be processed, found naively: again and again the lowest of the heads, of equal ones
// that of the first topic.
func merged(all [][]*kgo.Record) (order []*kgo.Record) {
	heads := slices.Clone(all)
	for {
		best := -1
		for i, rest := range heads {
			if len(rest) > 0 && (best < 0 || rest[0].Timestamp.Before(heads[best][0].Timestamp)) {
				best = i
			}
		}
		if best < 0 {
			return order
		}
		order, heads[best] = append(order, heads[best][0]), heads[best][1:]
	}
}

// TestInputsAreMergedHoweverTheyArrive feeds inputs in portions of any size, in any order, processing what may be in between: the
// order is that of the whole inputs, since what is known to exist is waited for.
func TestInputsAreMergedHoweverTheyArrive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var all inputs
		var records [][]*kgo.Record
		for i := range rapid.IntRange(1, 3).Draw(t, "inputs") {
			topic := fmt.Sprintf("t%d", i)
			var one []*kgo.Record
			offset := int64(0)
			for range rapid.IntRange(0, 6).Draw(t, "records") {
				offset += rapid.Int64Range(1, 3).Draw(t, "gap")
				one = append(one, &kgo.Record{Topic: topic, Offset: offset,
					Timestamp: time.UnixMilli(rapid.Int64Range(0, 5).Draw(t, "timestamp"))})
			}
			records = append(records, one)
			all = append(all, &input{topic: topic, next: -1})
		}
		fed := make([]int, len(all))
		var got []*kgo.Record
		process := func() {
			for in := all.choose(); in != nil; in = all.choose() {
				record := in.take()
				got = append(got, record)
				if next := in.position(); next <= record.Offset {
					t.Fatalf("%s goes on at %d behind offset %d", in.topic, next, record.Offset)
				}
			}
		}
		for !all.areDrained() {
			i := rapid.IntRange(0, len(all)-1).Draw(t, "input")
			to := rapid.IntRange(fed[i], len(records[i])).Draw(t, "to")
			end, next := int64(100), int64(100) // markers of transactions are at the end
			if to < len(records[i]) {
				next = records[i][to].Offset
			}
			if err := all[i].add(records[i][fed[i]:to], next, end); err != nil {
				t.Fatal(err)
			}
			fed[i] = to
			process()
		}
		if want := merged(records); len(all) > 1 && !slices.Equal(got, want) || len(got) != len(want) {
			t.Fatalf("processed %v, want %v", lines(got), lines(want))
		}
		for _, in := range all {
			if in.position() != 100 {
				t.Fatalf("%s goes on at %d, behind the markers is 100", in.topic, in.position())
			}
		}
	})
}

func lines(records []*kgo.Record) (all []string) {
	for _, r := range records {
		all = append(all, fmt.Sprintf("%s/%d@%d", r.Topic, r.Offset, r.Timestamp.UnixMilli()))
	}
	return all
}

func TestAnInputOfWhichNothingIsKnownIsWaitedFor(t *testing.T) {
	all := inputs{{topic: "a", next: -1}, {topic: "b", next: -1}}
	record := &kgo.Record{Offset: 7, Timestamp: time.UnixMilli(1)}
	if err := all.of("a").add([]*kgo.Record{record}, 8, 8); err != nil {
		t.Fatal(err)
	}
	if all.choose() != nil {
		t.Error("b may have earlier records")
	}
	if at := all.of("b").position(); at != -1 {
		t.Errorf("position %d of an unknown input", at)
	}
	if err := all.of("b").add(nil, 3, 3); err != nil {
		t.Fatal(err)
	}
	if all.choose() != all.of("a") {
		t.Error("b has nothing, a has its turn")
	}
	if err := all.of("a").add(nil, 5, 8); err == nil {
		t.Error("an input goes back")
	}
}

func TestInputsTakeTheTimeThatTheirSourceSays(t *testing.T) {
	calls := 0
	late := &input{topic: "a", Input: Input{TimestampMs: func(r *kgo.Record) int64 { calls++; return 100 }}}
	early := &input{topic: "b"}
	for _, in := range []*input{late, early} {
		if err := in.add([]*kgo.Record{{Timestamp: time.UnixMilli(50)}, {Offset: 1, Timestamp: time.UnixMilli(60)}}, 2, 2); err != nil {
			t.Fatal(err)
		}
	}
	all := inputs{late, early}
	for _, want := range []*input{early, early, late, late} {
		in := all.choose()
		if in != want {
			t.Fatalf("%s has its turn, want %s", in.topic, want.topic)
		}
		in.take()
	}
	if calls != 2 {
		t.Errorf("the time of 2 records was asked for %d times", calls)
	}
}

// TestAnEpochIsToldOfTheRecordItIsOf: behind the marker of a transaction, which a later leader may have written, none is known.
func TestAnEpochIsToldOfTheRecordItIsOf(t *testing.T) {
	in := &input{next: -1, lastOffset: -1}
	if got := in.epochBefore(0); got != -1 {
		t.Errorf("epoch %d before the first record, want -1", got)
	}
	if err := in.add([]*kgo.Record{{Offset: 6, LeaderEpoch: 3}, {Offset: 9, LeaderEpoch: 3}}, 11, 11); err != nil {
		t.Fatal(err)
	}
	in.processed(in.take())
	if at := in.position(); at != 9 || in.epochBefore(at) != -1 {
		t.Errorf("epoch %d before offset %d, want -1: it is not right behind record 6", in.epochBefore(at), at)
	}
	in.processed(in.take())
	if got := in.epochBefore(10); got != 3 {
		t.Errorf("epoch %d right behind record 9, want 3", got)
	}
	if at := in.position(); at != 11 || in.epochBefore(at) != -1 {
		t.Errorf("epoch %d before offset %d, want -1: a marker lies before it", in.epochBefore(at), at)
	}
}
