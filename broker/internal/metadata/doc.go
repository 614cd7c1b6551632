// Package metadata is what the broker knows of topics, their settings, its own starts and producer ids: an immutable
// Image, the records that lead from one image to the next, and the decisions that say which records a request leads
// to.
//
// The records are Apache Kafka's KRaft metadata records (metadata/src/main/resources/common/metadata), encoded in
// Kafka's way, so that its tools read the log that they are in. An image is a fold over that log and nothing else.
//
// The package is pure: it reads no clock and draws no random numbers, starts no goroutine and touches no file.
package metadata
