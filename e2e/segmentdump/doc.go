// Package segmentdump proves that Apache Kafka's own segment dump tool (org.apache.kafka.tools.DumpLogSegments, from the
// published jars) reads what package log writes: segments of every codec, offset indexes and time indexes, and that it complains
// where a bit is flipped.
//
// The tests need java, and the jars that e2e/setup.sh fetches. Without them they are skipped, unless CI is set: there they must run.
package segmentdump
