// Package streamstest runs a topology in a test, without a broker, in milliseconds: with several partitions of each topic,
// real repartitioning through topics in memory, state on a disk in memory, a clock that the test moves, and crashes wherever
// the test wants them. The tasks are those that run in production; only what is around them, Kafka and the machine, is made up.
//
//	d := streamstest.New(t, topology, streamstest.Options{Partitions: map[string]int{"lines": 3}})
//	streamstest.Send(d, lines, "", "to be or not to be")
//	d.Drain()
//	got := streamstest.KV(d, counts) // map[be:2 not:1 or:1 to:2]
//
// Everything happens in the goroutine of the test and in an order that the seed alone decides: which task gets the next
// batch, how large it is, and when a process commits. A topology whose result depends on that order shows it when the test runs
// with several seeds.
package streamstest
