package main

import (
	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams"
	"github.com/millrace/millrace/streams/serde"
)

var (
	votes  = streams.NewTopic("votes", serde.String, serde.String) // by choice; the value is who voted
	counts = streams.NewTopic("vote-counts", serde.String, serde.Int64)
	tally  = state.NewKV("tally", serde.String, serde.Int64)
)

// counting counts the votes for each choice. Votes of nobody do not count.
func counting() *streams.Topology {
	t := streams.NewTopology()
	streams.From(t, votes).
		Filter(func(_, voter string) bool { return voter != "" }).
		GroupByKey().Count(tally).
		ToStream().To(counts)
	return t
}
