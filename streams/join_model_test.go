package streams_test

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams"
	"github.com/millrace/millrace/streams/serde"
	"github.com/millrace/millrace/streams/streamstest"
)

// Records of stream and table take turns by timestamp, each in its own order: a model that knows them all can tell which row a
// record meets.
func TestJoinsGiveWhatANaiveModelGives(t *testing.T) {
	rows := streams.NewTopic("rows", serde.String, serde.String)
	inner := streams.NewTopic("inner", serde.String, serde.String)
	left := streams.NewTopic("left", serde.String, serde.String)
	rapid.Check(t, func(r *rapid.T) {
		top := streams.NewTopology()
		table := streams.TableFrom(top, rows, state.NewKV("rows", serde.String, serde.String))
		s := streams.From(top, modelIn)
		streams.Join(s, table, func(value, row string) string { return value + "*" + row }).To(inner, byKey())
		streams.LeftJoin(s, table, func(value string, row *string) string {
			if row == nil {
				return value + "*nil"
			}
			return value + "*" + *row
		}).To(left, byKey())

		stream, updates := drawEvents(r, 60, false), drawEvents(r, 60, false)
		d := streamstest.New(rapidTB{t, r}, top, streamstest.Options{
			Partitions:  map[string]int{"in": modelPartitions, "rows": modelPartitions, "inner": modelPartitions, "left": modelPartitions},
			Seed:        rapid.Uint64().Draw(r, "seed"),
			BatchMax:    rapid.IntRange(1, 10).Draw(r, "batch"),
			CommitEvery: rapid.IntRange(0, 10).Draw(r, "commit every"),
		})
		for i := range stream { // no two at the same time
			stream[i].ms = 2*stream[i].ms + 1
			stream[i].send(d, modelIn)
		}
		for i := range updates {
			updates[i].ms *= 2
			updates[i].send(d, rows)
		}
		for range rapid.IntRange(0, 3).Draw(r, "disturbances") {
			d.CrashAt(rapid.SampledFrom(streamstest.Points()).Draw(r, "point"), rapid.IntRange(1, 4).Draw(r, "n"))
		}
		d.Drain()
		gotInner, gotLeft := perPartition(d, inner), perPartition(d, left)
		for partition := range modelPartitions {
			wantInner, wantLeft := joined(ofPartition(stream, partition), ofPartition(updates, partition))
			compare(r, fmt.Sprintf("inner join of partition %d", partition), gotInner[partition], wantInner)
			compare(r, fmt.Sprintf("left join of partition %d", partition), gotLeft[partition], wantLeft)
		}
	})
}

// joined merges the records of a stream and the updates of a table by time, and tells the results of both joins.
func joined(stream, updates []event) (inner, left []string) {
	applied := 0
	for _, e := range stream {
		for applied < len(updates) && updates[applied].ms < e.ms {
			applied++
		}
		if e.noValue {
			continue
		}
		row, found := "", false
		for _, u := range updates[:applied] {
			if !u.noKey && u.key == e.key && !e.noKey {
				row, found = u.value, !u.noValue
			}
		}
		if found {
			inner = append(inner, result(e.key, e.value+"*"+row, e.ms))
			left = append(left, result(e.key, e.value+"*"+row, e.ms))
		} else {
			left = append(left, result(e.key, e.value+"*nil", e.ms))
		}
	}
	return inner, left
}
