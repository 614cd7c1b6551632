package config

// same is the one synonym of a setting that needs no conversion.
func same(name string) []Synonym { return []Synonym{{name, 1}} }

// topicTable is every topic setting of Kafka 4, and our own `flush`, sorted by name.
// The defaults here are those of the synonyms where there are any; a test holds them together.
var topicTable = []Setting{
	{Name: "cleanup.policy", Kind: List, Default: "delete", Synonyms: same("log.cleanup.policy"), allowed: someOf("delete", "compact"),
		Doc: "What happens to old segments: delete drops them by age and size, compact keeps the last record of each key. Both may be given."},
	{Name: "compression.gzip.level", Kind: Int, Default: "-1", Synonyms: same("compression.gzip.level"), allowed: gzipLevel(),
		Doc: "The level when the broker compresses with gzip."},
	{Name: "compression.lz4.level", Kind: Int, Default: "9", Synonyms: same("compression.lz4.level"), allowed: between(1, 17),
		Doc: "The level when the broker compresses with lz4."},
	{Name: "compression.type", Kind: String, Default: "producer", Synonyms: same("compression.type"), allowed: compressionTypes,
		Doc: "The codec of the batches in the log. producer keeps what the producer chose, and is by far the cheapest."},
	{Name: "compression.zstd.level", Kind: Int, Default: "3", Synonyms: same("compression.zstd.level"), allowed: between(-131072, 22),
		Doc: "The level when the broker compresses with zstd."},
	{Name: "delete.retention.ms", Kind: Long, Default: "86400000", Synonyms: same("log.cleaner.delete.retention.ms"), allowed: atLeast(0),
		Doc: "How long a compacted topic keeps the marker of a deleted key, so that a reader from the start sees the deletion."},
	{Name: "file.delete.delay.ms", Kind: Long, Default: "60000", Synonyms: same("log.segment.delete.delay.ms"), allowed: atLeast(0),
		Doc: "How long the files of a deleted segment stay on disk. Kept for compatibility: here they stay as long as a reader has them open."},
	{Name: "flush", Kind: String, Default: FlushCommit, Synonyms: same("millrace.flush"), allowed: flushModes,
		Doc: "When a record counts as written. commit: when it is synced to disk, before the producer is answered. interval: at once, and synced every flush.ms. os: at once, and synced when the operating system likes; a power cut loses acknowledged records."},
	{Name: "flush.messages", Kind: Long, Default: "9223372036854775807", Synonyms: same("log.flush.interval.messages"), allowed: atLeast(1),
		Doc: "With flush=interval: sync as soon as this many records are waiting for it."},
	{Name: "flush.ms", Kind: Long, Default: "9223372036854775807", Synonyms: []Synonym{{"log.flush.interval.ms", 1}, {"log.flush.scheduler.interval.ms", 1}}, allowed: atLeast(0),
		Doc: "With flush=interval: the longest time that a record waits to be synced."},
	{Name: "follower.replication.throttled.replicas", Kind: List, Default: "",
		Doc: "The replicas whose followers are slowed down while they catch up." + oneBroker},
	{Name: "index.interval.bytes", Kind: Int, Default: "4096", Synonyms: same("log.index.interval.bytes"), allowed: atLeast(0),
		Doc: "How many bytes of batches lie between two entries of the offset index."},
	{Name: "leader.replication.throttled.replicas", Kind: List, Default: "",
		Doc: "The replicas whose leaders are slowed down while followers catch up." + oneBroker},
	{Name: "local.retention.bytes", Kind: Long, Default: "-2", Synonyms: same("log.local.retention.bytes"), allowed: atLeast(-2),
		Doc: "With tiered storage: how much stays on local disk. -2 follows retention.bytes."},
	{Name: "local.retention.ms", Kind: Long, Default: "-2", Synonyms: same("log.local.retention.ms"), allowed: atLeast(-2),
		Doc: "With tiered storage: how long a segment stays on local disk. -2 follows retention.ms."},
	{Name: "max.compaction.lag.ms", Kind: Long, Default: "9223372036854775807", Synonyms: same("log.cleaner.max.compaction.lag.ms"), allowed: atLeast(1),
		Doc: "The longest time that a record of a compacted topic stays out of compaction."},
	{Name: "max.message.bytes", Kind: Int, Default: "1048588", Synonyms: same("message.max.bytes"), allowed: atLeast(0),
		Doc: "The largest record batch that the topic takes, as it is sent, compressed or not."},
	{Name: "message.timestamp.after.max.ms", Kind: Long, Default: "3600000", Synonyms: same("log.message.timestamp.after.max.ms"), allowed: atLeast(0),
		Doc: "How far in the future a record's timestamp may lie; further ones are refused. Ignored with LogAppendTime."},
	{Name: "message.timestamp.before.max.ms", Kind: Long, Default: "9223372036854775807", Synonyms: same("log.message.timestamp.before.max.ms"), allowed: atLeast(0),
		Doc: "How far in the past a record's timestamp may lie; older ones are refused. Ignored with LogAppendTime."},
	{Name: "message.timestamp.type", Kind: String, Default: "CreateTime", Synonyms: same("log.message.timestamp.type"), allowed: timestampTypes,
		Doc: "Whose clock a record's timestamp is: the producer's (CreateTime) or the broker's (LogAppendTime)."},
	{Name: "min.cleanable.dirty.ratio", Kind: Double, Default: "0.5", Synonyms: same("log.cleaner.min.cleanable.ratio"), allowed: between(0, 1),
		Doc: "The part of a compacted log that must be new before it is compacted again."},
	{Name: "min.compaction.lag.ms", Kind: Long, Default: "0", Synonyms: same("log.cleaner.min.compaction.lag.ms"), allowed: atLeast(0),
		Doc: "The shortest time that a record of a compacted topic stays out of compaction."},
	{Name: "min.insync.replicas", Kind: Int, Default: "1", Synonyms: same("min.insync.replicas"), allowed: atLeast(1),
		Doc: "How many replicas must have a record before a producer with acks=all is answered." + oneBroker},
	{Name: "preallocate", Kind: Boolean, Default: "false", Synonyms: same("log.preallocate"),
		Doc: "Reserve the disk space of a segment when it is created."},
	{Name: "remote.log.copy.disable", Kind: Boolean, Default: "false",
		Doc: "With tiered storage: copy no further segments."},
	{Name: "remote.log.delete.on.disable", Kind: Boolean, Default: "false",
		Doc: "With tiered storage: delete what was copied when it is switched off."},
	{Name: "remote.storage.enable", Kind: Boolean, Default: "false", allowed: notYet,
		Doc: "Tiered storage. Not available: only false is accepted."},
	{Name: "retention.bytes", Kind: Long, Default: "-1", Synonyms: same("log.retention.bytes"),
		Doc: "How many bytes a partition keeps before its oldest segments are deleted. Negative: no limit."},
	{Name: "retention.ms", Kind: Long, Default: "604800000", Synonyms: []Synonym{{"log.retention.ms", 1}, {"log.retention.minutes", minuteMs}, {"log.retention.hours", hourMs}}, allowed: atLeast(-1),
		Doc: "How long a record is kept at least before its segment is deleted. -1: no limit."},
	{Name: "segment.bytes", Kind: Int, Default: "1073741824", Synonyms: same("log.segment.bytes"), allowed: atLeast(segmentBytesMin),
		Doc: "The size at which a segment is closed and a new one begun. Retention and compaction work on whole segments."},
	{Name: "segment.index.bytes", Kind: Int, Default: "10485760", Synonyms: same("log.index.size.max.bytes"), allowed: atLeast(4),
		Doc: "The largest size of a segment's offset index; a full index closes the segment."},
	{Name: "segment.jitter.ms", Kind: Long, Default: "0", Synonyms: []Synonym{{"log.roll.jitter.ms", 1}, {"log.roll.jitter.hours", hourMs}}, allowed: atLeast(0),
		Doc: "The most that is taken off segment.ms at random, so that partitions do not all roll at once."},
	{Name: "segment.ms", Kind: Long, Default: "604800000", Synonyms: []Synonym{{"log.roll.ms", 1}, {"log.roll.hours", hourMs}}, allowed: atLeast(1),
		Doc: "The age at which a segment is closed even if it is not full."},
	{Name: "unclean.leader.election.enable", Kind: Boolean, Default: "false", Synonyms: same("unclean.leader.election.enable"),
		Doc: "Whether a replica that is behind may become leader, at the price of lost records." + oneBroker},
	{Name: "write", Kind: String, Default: WriteBuffered, Synonyms: same("millrace.write"), allowed: writeModes,
		Doc: "How records reach the disk with flush=commit. buffered: through the system's page cache and a sync. direct: gathered in memory and written past the page cache, which is faster where much is written to few partitions, and takes up to 4 MiB for each of them. Ignored with another flush; buffered where the file system has no direct writes."},
}

// oneBroker is said of settings that are kept and described, and come into force with more brokers.
const oneBroker = " Kept for compatibility: without effect on a single broker."

// Flush modes: the values of the topic setting flush.
const (
	FlushCommit   = "commit"
	FlushInterval = "interval"
	FlushOS       = "os"
)

// Write modes: the values of the topic setting write.
const (
	WriteBuffered = "buffered"
	WriteDirect   = "direct"
)

// segmentBytesMin is Kafka's bound before 4.0. The later 1 MiB would refuse topics that work.
const segmentBytesMin = 14

var (
	flushModes       = oneOf(FlushCommit, FlushInterval, FlushOS)
	writeModes       = oneOf(WriteBuffered, WriteDirect)
	compressionTypes = oneOf("producer", "uncompressed", "gzip", "snappy", "lz4", "zstd")
	timestampTypes   = oneOf("CreateTime", "LogAppendTime")
	notYet           = allowed{expectation: "(only false is supported)", holds: func(value any) bool { return value == false }}
)
