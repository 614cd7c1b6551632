// Package segmentdump proves that Apache Kafka's own segment dump tool (kafka.tools.DumpLogSegments, from the published
// jars) reads what package log writes: segments of every codec, offset indexes and time indexes, and that it complains
// where a bit is flipped.
//
// The tests need java and mvn. Without them they are skipped, unless CI is set: there they must run.
package segmentdump
