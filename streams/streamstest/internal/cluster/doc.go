// Package cluster is what a topology needs of a Kafka cluster, in memory: topics with partitions, transactions, and the
// committed offsets of one group. It has no clock and starts no goroutine; the same calls give the same logs. Nothing in it
// is safe for concurrent use.
package cluster
