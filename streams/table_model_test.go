package streams_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams"
	"github.com/millrace/millrace/streams/serde"
	"github.com/millrace/millrace/streams/streamstest"
)

func TestReduceGivesWhatANaiveModelGives(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		top := streams.NewTopology()
		out := streams.NewTopic("out", serde.String, serde.String)
		streams.From(top, modelIn).GroupByKey().
			Reduce(state.NewKV("joined", serde.String, serde.String), func(all, value string) string { return all + "+" + value }).
			ToStream().To(out, byKey())

		events := drawEvents(r, 60, false)
		got := perPartition(runModel(t, r, top, events, false, "out"), out)
		for partition := range modelPartitions {
			var want []string
			events := ofPartition(events, partition)
			for i, e := range events {
				if e.noKey || e.noValue {
					continue
				}
				var values []string
				var ms int64
				for _, before := range events[:i+1] {
					if before.key == e.key && !before.noKey && !before.noValue {
						values, ms = append(values, before.value), max(ms, before.ms)
					}
				}
				want = append(want, result(e.key, strings.Join(values, "+"), ms))
			}
			compare(r, fmt.Sprintf("partition %d", partition), got[partition], want)
		}
	})
}

// tableModel is the rows of a table that pass a filter, computed anew from all updates.
type tableModel []event

// row is the value of a key after the first n updates; found is false if it has none, or none that passes.
func (m tableModel) row(n int, key string) (value string, found bool) {
	for _, e := range slices.Backward(m[:n]) {
		if e.key == key && !e.noKey {
			return e.value, !e.noValue && passes(key, e.value)
		}
	}
	return "", false
}

// members are the rows of a group after the first n updates.
func (m tableModel) members(n int, group string) (names []string) {
	seen := map[string]bool{}
	for _, e := range m[:n] {
		if value, found := m.row(n, e.key); found && !seen[e.key] && groupOf(value) == group {
			seen[e.key] = true
			names = append(names, e.key+value)
		}
	}
	slices.Sort(names)
	return names
}

func passes(_, value string) bool { return !strings.HasSuffix(value, "3") }

func groupOf(value string) string {
	n, err := strconv.Atoi(value)
	if err != nil {
		panic(err)
	}
	return "group" + strings.Repeat("s", n%3)
}

var (
	groupTopic  = streams.NewTopic("by-group", serde.String, serde.String)
	memberStore = state.NewKV("members", serde.String, serde.JSON[[]string]())
	sizeStore   = state.NewKV("sizes", serde.String, serde.Int64)
	tableOut    = streams.NewTopic("table-out", serde.String, serde.String)
	membersOut  = streams.NewTopic("members-out", serde.String, serde.JSON[[]string]())
	sizesOut    = streams.NewTopic("sizes-out", serde.String, serde.Int64)
)

// groupedTopology groups a filtered table, with aggregates that are changed in place.
func groupedTopology() *streams.Topology {
	top := streams.NewTopology()
	table := streams.TableFrom(top, modelIn, state.NewKV("rows", serde.String, serde.String)).Filter(passes)
	table.ToStream().To(tableOut)
	grouped := streams.GroupTable(table, groupTopic, func(key, value string) (string, string) { return groupOf(value), key + value })
	members := streams.AggregateTable(grouped, memberStore, func() []string { return nil },
		func(_, name string, all []string) []string {
			all = append(all, name)
			slices.Sort(all)
			return all
		},
		func(_, name string, all []string) []string {
			if i := slices.Index(all, name); i >= 0 {
				return slices.Delete(all, i, i+1)
			}
			return append(all, "never was a member: "+name)
		})
	members.ToStream().To(membersOut)
	grouped.Count(sizeStore).ToStream().To(sizesOut)
	// A second level: what the first one was has to be a copy.
	streams.GroupTable(members, streams.NewTopic("all", serde.String, serde.Int64),
		func(_ string, names []string) (string, int64) { return "all", int64(len(names)) }).
		Reduce(state.NewKV("total", serde.String, serde.Int64),
			func(sum, n int64) int64 { return sum + n }, func(sum, n int64) int64 { return sum - n })
	return top
}

func TestGroupedTablesGiveWhatANaiveModelGives(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		m := tableModel(few(drawEvents(r, 60, false)))
		d := runModel(t, r, groupedTopology(), m, false)
		total := int64(0)
		for _, group := range []string{"group", "groups", "groupss"} {
			want := m.members(len(m), group)
			total += int64(len(want))
			if got, _ := streamstest.Get(d, memberStore, group); !slices.Equal(got, want) {
				r.Fatalf("%s has the members %q, want %q", group, got, want)
			}
			if got, found := streamstest.Get(d, sizeStore, group); got != int64(len(want)) || found != (len(want) > 0) {
				r.Fatalf("%s counts %d rows (found: %t), want %d", group, got, found, len(want))
			}
		}
		if got, _ := streamstest.Get(d, state.NewKV("total", serde.String, serde.Int64), "all"); got != total {
			r.Fatalf("the groups have %d rows together, want %d", got, total)
		}
	})
}

// Of a table in one partition every single update is known.
func TestUpdatesOfGroupedTablesComeInOrder(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		var m tableModel
		for _, e := range few(drawEvents(r, 60, false)) {
			if partitionOf(e.key) == 0 && !e.noKey {
				m = append(m, e)
			}
		}
		d := runModel(t, r, groupedTopology(), m, false)
		var rows []string
		members, sizes := map[string][]string{}, map[string][]string{}
		for i, e := range m {
			before, had := m.row(i, e.key)
			after, has := m.row(i+1, e.key)
			if !had && !has {
				continue
			}
			left, entered := "", ""
			if had {
				left = groupOf(before)
			}
			value := "-"
			if has {
				entered, value = groupOf(after), after
			}
			rows = append(rows, fmt.Sprintf("%s=%s@%d", e.key, value, e.ms))
			for _, group := range slices.Compact([]string{left, entered}) {
				if group != "" {
					names := m.members(i+1, group)
					members[group] = append(members[group], fmt.Sprint(names))
					sizes[group] = append(sizes[group], sizeText(len(names)))
				}
			}
		}
		compare(r, "rows", read(d, tableOut), rows)
		for group, want := range members {
			compare(r, "members of "+group, valuesOf(d, membersOut)[group], want)
		}
		for group, want := range sizes {
			compare(r, "sizes of "+group, valuesOf(d, sizesOut)[group], want)
		}
	})
}

// few keeps a test short whose topology has many tasks, that all start again after each crash.
func few(events []event) []event { return events[:min(len(events), 15)] }

// valuesOf returns the values that each key of a topic has had.
func valuesOf[V any](d *streamstest.Driver, topic streams.Topic[string, V]) map[string][]string {
	all := map[string][]string{}
	for _, r := range streamstest.Read(d, topic) {
		value := fmt.Sprint(r.Value)
		if r.NoValue {
			value = "-"
		}
		all[r.Key] = append(all[r.Key], value)
	}
	return all
}

// sizeText is the size of a group; one without rows is taken away.
func sizeText(n int) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprint(n)
}
