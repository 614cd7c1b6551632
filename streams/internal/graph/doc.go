// Package graph is the description of a topology without its types: nodes, edges, topics and stores by name, and what
// follows from them: sub-topologies, partition counts, mistakes, a fingerprint. It knows neither records nor Kafka, starts no
// goroutine and reads no clock.
package graph
