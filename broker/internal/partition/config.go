package partition

import (
	"fmt"
	"math"

	"github.com/millrace/millrace/log"
	"github.com/millrace/millrace/log/record"
)

// Flush says when an append counts as committed. It is the topic setting `flush`.
type Flush int8

const (
	FlushCommit   Flush = iota // once it is on disk; the default
	FlushInterval              // at once; synced in the background
	FlushOS                    // at once; synced when the operating system does
)

// String is the setting's value.
func (f Flush) String() string {
	switch f {
	case FlushCommit:
		return "commit"
	case FlushInterval:
		return "interval"
	case FlushOS:
		return "os"
	}
	return fmt.Sprintf("Flush(%d)", int8(f))
}

// ParseFlush reads a value of the setting `flush`.
func ParseFlush(s string) (Flush, error) {
	for f := FlushCommit; f <= FlushOS; f++ {
		if f.String() == s {
			return f, nil
		}
	}
	return 0, fmt.Errorf("flush %q: not one of commit, interval, os", s)
}

// Config is what a topic's settings say about each of its partitions.
type Config struct {
	Log log.Config

	Flush         Flush
	FlushMs       int64 // interval: sync at least this often
	FlushMessages int64 // interval: and whenever so many records are not synced; 0 or MaxInt64 is never

	MaxMessageBytes      int32 // largest batch, as it arrives
	TimestampBeforeMaxMs int64 // CreateTime may lie this far back; MaxInt64 is unlimited
	TimestampAfterMaxMs  int64 // CreateTime may lie this far ahead; MaxInt64 is unlimited

	// Recompress makes a batch that arrives in another codec than Codec be rewritten in it (compression.type other
	// than `producer`).
	Recompress bool
	Codec      record.Codec
	CodecLevel int // 0 is the codec's default
}

// DefaultConfig holds Kafka's defaults, with flush=commit.
func DefaultConfig() Config {
	return Config{
		Log:                  log.DefaultConfig(),
		Flush:                FlushCommit,
		FlushMs:              defaultFlushMs,
		FlushMessages:        math.MaxInt64,
		MaxMessageBytes:      1048588,
		TimestampBeforeMaxMs: math.MaxInt64,
		TimestampAfterMaxMs:  3600_000,
	}
}

// defaultFlushMs takes the place of Kafka's flush.ms default (never), which would make interval mean os.
const defaultFlushMs = 1000

// FlushEveryMs is the time between two syncs of flush=interval: flush.ms, or a second where that says never.
func (c *Config) FlushEveryMs() int64 {
	if c.FlushMs <= 0 || c.FlushMs == math.MaxInt64 {
		return defaultFlushMs
	}
	return c.FlushMs
}
