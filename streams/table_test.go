package streams_test

import (
	"maps"
	"testing"

	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams"
	"github.com/millrace/millrace/streams/serde"
	"github.com/millrace/millrace/streams/streamstest"
)

var (
	users   = streams.NewTopic("users", serde.String, serde.String) // name -> city
	changes = streams.NewTopic("changes", serde.String, serde.String)
)

func userTable(top *streams.Topology) streams.Table[string, string] {
	return streams.TableFrom(top, users, state.NewKV("users", serde.String, serde.String))
}

func TestATableHasTheLatestValueOfEachKey(t *testing.T) {
	top := streams.NewTopology()
	userTable(top).ToStream().To(changes)

	d := streamstest.New(t, top, streamstest.Options{})
	send(d, users, "ann=rome@10", "bob=oslo@20", "ann=bonn@5", "bob=-@30", "eve=-@40", "-=nobody@50")
	expect(t, d, changes, "ann=rome@10", "bob=oslo@20", "ann=bonn@5", "bob=-@30", "eve=-@40")
	got := streamstest.KV(d, state.NewKV("users", serde.String, serde.String))
	if want := map[string]string{"ann": "bonn"}; !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	expectDropped(t, d, "users-store", "null_key", 1)
}

func TestAFilteredTableTakesAwayRowsThatNoLongerPass(t *testing.T) {
	top := streams.NewTopology()
	userTable(top).Filter(func(_, city string) bool { return city != "rome" }).ToStream().To(changes)

	d := streamstest.New(t, top, streamstest.Options{})
	send(d, users,
		"ann=rome@1", // never was there
		"ann=bonn@2", // comes
		"ann=oslo@3", // changes
		"ann=rome@4", // goes
		"ann=rome@5", "ann=-@6",
		"bob=oslo@7", "bob=-@8", // comes and goes
	)
	expect(t, d, changes, "ann=bonn@2", "ann=oslo@3", "ann=-@4", "bob=oslo@7", "bob=-@8")
}

func TestAFilterOfAnAggregateSeesWhatItsValueWas(t *testing.T) {
	top := streams.NewTopology()
	tallies := state.NewKV("tallies", serde.String, serde.JSON[*tally]())
	sums := streams.NewTopic("sums", serde.String, serde.Int64)
	table := streams.Aggregate(streams.From(top, entries).GroupByKey(), tallies,
		func() *tally { return &tally{Words: map[string]int{}} },
		func(_, word string, sum *tally) *tally {
			sum.Words[word]++
			return sum
		}).
		Filter(func(_ string, sum *tally) bool { return len(sum.Words) != 2 })
	streams.MapTableValues(table, func(sum *tally) int64 { return int64(len(sum.Words)) }).ToStream().To(sums)

	d := streamstest.New(t, top, streamstest.Options{})
	send(d, entries, "k=a@1", "k=b@2", "k=b@3", "k=c@4")
	expect(t, d, sums, "k=1@1", "k=-@2", "k=3@4")
}

func TestMapTableValuesMapsEachRow(t *testing.T) {
	top := streams.NewTopology()
	lengths := streams.NewTopic("lengths", serde.String, serde.Int64)
	streams.MapTableValues(userTable(top), func(city string) int64 { return int64(len(city)) }).ToStream().To(lengths)

	d := streamstest.New(t, top, streamstest.Options{})
	send(d, users, "ann=rome@1", "ann=berlin@2", "ann=-@3")
	expect(t, d, lengths, "ann=4@1", "ann=6@2", "ann=-@3")
}

func TestGroupTableCountsTheRowsOfEachGroup(t *testing.T) {
	top := streams.NewTopology()
	byCity := streams.NewTopic("by-city", serde.String, serde.String)
	streams.GroupTable(userTable(top), byCity, func(name, city string) (string, string) { return city, name }).
		Count(state.NewKV("people", serde.String, serde.Int64)).ToStream().To(totals)

	d := streamstest.New(t, top, streamstest.Options{})
	send(d, users,
		"ann=rome@1", "bob=rome@2",
		"bob=oslo@3",            // moves: rome loses one, oslo gets one
		"bob=oslo@4",            // stays
		"ann=-@5",               // rome is empty
		"eve=-@6",               // was nowhere
		"ann=oslo@7", "bob=-@8", // oslo has one, another one
	)
	expect(t, d, totals, "rome=1@1", "rome=2@2", "rome=1@3", "oslo=1@3", "oslo=1@4", "rome=-@5", "oslo=2@7", "oslo=1@8")
}

func TestGroupTableAddsAndSubtractsOverPartitions(t *testing.T) {
	top := streams.NewTopology()
	accounts := streams.NewTopic("accounts", serde.String, serde.JSON[account]())
	byBranch := streams.NewTopic("by-branch", serde.String, serde.Int64)
	reduced := state.NewKV("reduced", serde.String, serde.Int64)
	aggregated := state.NewKV("aggregated", serde.String, serde.Int64)
	table := streams.TableFrom(top, accounts, state.NewKV("accounts", serde.String, serde.JSON[account]()))
	grouped := streams.GroupTable(table, byBranch, func(_ string, a account) (string, int64) { return a.Branch, a.Cents })
	grouped.Reduce(reduced, func(sum, cents int64) int64 { return sum + cents }, func(sum, cents int64) int64 { return sum - cents })
	streams.AggregateTable(grouped, aggregated, func() int64 { return 1000 },
		func(_ string, cents, sum int64) int64 { return sum + cents },
		func(_ string, cents, sum int64) int64 { return sum - cents })

	d := streamstest.New(t, top, streamstest.Options{Partitions: map[string]int{"accounts": 3}, BatchMax: 2})
	for i := range 60 {
		name := string(rune('a' + i%10))
		streamstest.Send(d, accounts, name, account{Branch: []string{"north", "south", "east"}[i*i%7%3], Cents: int64(i)})
	}
	streamstest.Delete(d, accounts, "a")
	d.Drain()
	want := map[string]int64{}
	for _, a := range streamstest.KV(d, state.NewKV("accounts", serde.String, serde.JSON[account]())) {
		want[a.Branch] += a.Cents
	}
	gotReduced, gotAggregated := streamstest.KV(d, reduced), streamstest.KV(d, aggregated)
	for branch, sum := range want {
		if gotReduced[branch] != sum || gotAggregated[branch] != sum+1000 {
			t.Errorf("branch %s: reduced to %d, aggregated to %d, want %d and 1000 more", branch, gotReduced[branch], gotAggregated[branch], sum)
		}
	}
}

type account struct {
	Branch string
	Cents  int64
}
