package streams_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams"
	"github.com/millrace/millrace/streams/serde"
	"github.com/millrace/millrace/streams/streamstest"
)

func TestCountCountsRecordsByKey(t *testing.T) {
	top := streams.NewTopology()
	store := state.NewKV("by-word", serde.String, serde.Int64)
	streams.From(top, entries).GroupByKey().Count(store).ToStream().To(totals)

	d := streamstest.New(t, top, streamstest.Options{})
	send(d, entries, "a=x@10", "b=x@20", "a=y@30", "=empty key@40")
	expect(t, d, totals, "a=1@10", "b=1@20", "a=2@30", "=1@40")
	if got := streamstest.KV(d, store); !maps.Equal(got, map[string]int64{"a": 2, "b": 1, "": 1}) {
		t.Errorf("the store has %v", got)
	}
}

func TestAggregatesHaveTheHighestTimestampOfTheirRecords(t *testing.T) {
	top := streams.NewTopology()
	streams.From(top, entries).GroupByKey().Count(state.NewKV("by-word", serde.String, serde.Int64)).ToStream().To(totals)

	d := streamstest.New(t, top, streamstest.Options{})
	send(d, entries, "a=x@30", "a=y@10", "b=x@20")
	expect(t, d, totals, "a=1@30", "a=2@30", "b=1@20")
}

func TestAggregatesLeaveOutWhatLacksAKeyOrAValue(t *testing.T) {
	top := streams.NewTopology()
	streams.From(top, entries).GroupByKey().Count(state.NewKV("by-word", serde.String, serde.Int64)).ToStream().To(totals)

	d := streamstest.New(t, top, streamstest.Options{})
	send(d, entries, "-=x@10", "a=-@20", "a=x@30", "-=-@40")
	expect(t, d, totals, "a=1@30")
	expectDropped(t, d, "by-word", "null_key", 2)
	expectDropped(t, d, "by-word", "null_value", 1)
}

func TestReduceBeginsWithTheFirstValue(t *testing.T) {
	top := streams.NewTopology()
	joined := streams.NewTopic("joined", serde.String, serde.String)
	streams.From(top, entries).GroupByKey().
		Reduce(state.NewKV("all", serde.String, serde.String), func(all, word string) string { return all + "+" + word }).
		ToStream().To(joined)

	d := streamstest.New(t, top, streamstest.Options{})
	send(d, entries, "k=a@1", "k=b@2", "other=z@3", "k=c@4")
	expect(t, d, joined, "k=a@1", "k=a+b@2", "other=z@3", "k=a+b+c@4")
}

// tally is an aggregate that is changed in place.
type tally struct {
	Words map[string]int
}

func TestAggregateTakesAValueThatIsChangedInPlace(t *testing.T) {
	top := streams.NewTopology()
	store := state.NewKV("tallies", serde.String, serde.JSON[*tally]())
	streams.Aggregate(streams.From(top, entries).GroupByKey(), store,
		func() *tally { return &tally{Words: map[string]int{}} },
		func(_, word string, sum *tally) *tally {
			sum.Words[word]++
			return sum
		})

	d := streamstest.New(t, top, streamstest.Options{CommitEvery: 2})
	d.CrashAt(streamstest.Prepared, 2)
	send(d, entries, "k=a@1", "k=b@2", "k=a@3", "k=c@4", "k=a@5")
	got, _ := streamstest.Get(d, store, "k")
	if want := map[string]int{"a": 3, "b": 1, "c": 1}; !maps.Equal(got.Words, want) {
		t.Errorf("got %v, want %v", got.Words, want)
	}
}

// Two operators reduce the same records in place: neither may see what the other has made of its first value.
func TestReducersThatChangeTheirAggregateDoNotDisturbEachOther(t *testing.T) {
	top := streams.NewTopology()
	lists := streams.NewTopic("lists", serde.String, serde.JSON[map[string]int]())
	one := state.NewKV("one", serde.String, serde.JSON[map[string]int]())
	two := state.NewKV("two", serde.String, serde.JSON[map[string]int]())
	add := func(sum, more map[string]int) map[string]int {
		for word, n := range more {
			sum[word] += n
		}
		return sum
	}
	grouped := streams.From(top, lists).GroupByKey()
	grouped.Reduce(one, add)
	grouped.Reduce(two, add)

	d := streamstest.New(t, top, streamstest.Options{})
	streamstest.Send(d, lists, "k", map[string]int{"a": 1})
	streamstest.Send(d, lists, "k", map[string]int{"a": 10})
	d.Drain()
	for _, store := range []state.KV[string, map[string]int]{one, two} {
		if got, _ := streamstest.Get(d, store, "k"); got["a"] != 11 {
			t.Errorf("store %s has %v, want 11", store.Name(), got)
		}
	}
}

func TestGroupByBringsEqualKeysTogether(t *testing.T) {
	top := streams.NewTopology()
	byWord := streams.NewTopic("by-word-topic", serde.String, serde.String)
	store := state.NewKV("by-word", serde.String, serde.Int64)
	upper := func(_, word string) string { return strings.ToUpper(word) }
	streams.GroupBy(streams.From(top, entries), byWord, upper).Count(store)

	d := streamstest.New(t, top, streamstest.Options{Partitions: map[string]int{"entries": 4}})
	for i := range 40 {
		streamstest.Send(d, entries, "line", []string{"to", "be", "or", "not"}[i%4], streamstest.OnPartition(i%3))
	}
	streamstest.Send(d, entries, "line", "", streamstest.NoValue())
	d.Drain()
	if got, want := streamstest.KV(d, store), map[string]int64{"TO": 10, "BE": 10, "OR": 10, "NOT": 10}; !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	expectDropped(t, d, "op-1", "null_value", 1)
}
