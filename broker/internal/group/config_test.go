package group

// defaultConfig is Kafka's.
func defaultConfig() Config {
	return Config{
		MinSessionTimeoutMs:     6_000,
		MaxSessionTimeoutMs:     1_800_000,
		MaxSize:                 1<<31 - 1,
		InitialRebalanceDelayMs: 3_000,
		OffsetMetadataMaxBytes:  4096,
		OffsetsRetentionMs:      7 * 24 * 3_600_000,
		OffsetsCheckIntervalMs:  600_000,
	}
}
