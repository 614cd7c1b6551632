// Package broker is an embeddable server that Kafka clients use as if it were Apache Kafka.
//
// A Broker is made by New, which only validates; Start recovers what is on disk, listens, and returns when clients
// can be served; Shutdown drains and Close stops at once. See the example for the fewest lines that work.
//
// # Connections
//
// A connection has one reader, which handles its requests one after the other, and one writer for answers that are
// not ready yet. Answers leave in the order of the requests. Only Produce is handled while earlier answers are still
// outstanding; every other request first waits until all of them are written, so that a client sees the order that
// Kafka would give it.
//
// # Invariants
//
//   - bounded before read: a frame's size is checked, and the memory that it and its decoded form can take is reserved,
//     before any of it is read
//   - own frame only: whatever a client sends costs at most its own connection
//   - answers in order: no two answers of a connection change places
//   - released once: each range of a log that an answer holds is released, however the connection ends
//   - no goroutine without an owner: after Shutdown or Close has returned, none is left
package broker
