// Package streams processes records of Kafka topics with typed topologies: stateless steps, windows and stores, with results that
// count every input exactly once.
//
//	t := streams.NewTopology()
//	words := streams.FlatMapValues(streams.From(t, lines), strings.FieldsSeq)
//	streams.GroupBy(words, byWord, func(_, word string) string { return word }).
//		Count(state.NewKV("word-counts", serde.String, serde.Int64)).
//		ToStream().To(counts)
//	err := t.Run(ctx, streams.Config{App: "word-count", Brokers: brokers})
//
// What a topology is made of, streams, tables and grouped or windowed forms of them, are handles: plain values that say where in the
// description something is. What leaves keys and values of their types is a method; what changes them is a function with the handle
// first, since methods of Go have no type parameters of their own. Every topic and every store has a descriptor with its name and its
// codecs, so that no change of a topology renames what others call by name. Nodes are called after them, or as Try and Process say,
// or op-1, op-2, ... in the order of definition.
//
// Functions that are given to operators are pure, because a record may be processed again, and are called by the goroutines of several
// tasks. What can fail has its place in the Try variants and in [Process], where a [Policy] decides; a panic ends Run with an error
// that names node and record.
//
// # Records without a value or a key
//
// A record without a value is a deletion. It passes Filter, FilterNot, Peek, Merge, MapValues, FlatMapValues and To as it is, and their
// functions are not called; Branch passes it to all branches. What makes keys or several records of a value, what aggregates, and the
// stream side of joins leave it out (null_value). A record without a key is left out where a key is needed (null_key); elsewhere
// functions are given the zero value. A Processor sees everything.
//
// # How it runs
//
// A topology is cut at its repartition topics into sub-topologies. A task is one of them for one partition of its topics: one goroutine,
// its stores, its part of the input in the order of timestamps, as far as that is known without waiting for producers. Results, changes
// of stores and the offsets of the input they came of become visible together or not at all, or with AtLeastOnce the offsets last.
//
// Invariants, by name:
//   - nothing vanishes: a record is passed on, or counted at its node with a reason, or ends Run.
//   - same again: a record that is processed again goes through the same steps to the same partitions, with the same timestamps.
//   - no later than its input: what an operator knows, stores and clocks, is committed with the offsets of what it knows it from.
package streams
