package streamstest

import (
	"log/slog"
	"testing"
	"time"
)

// Options describe the cluster and the processes of a test. The zero value is one process, one partition of each topic, and
// commits whenever no input is left.
type Options struct {
	// App is the application's name, of which those of internal topics are made. Default: "test".
	App string
	// Partitions is how many partitions each of the topics has that the topology reads or writes, by name; 1 for those that
	// are not in it. Internal topics have what the library gives them. More than one is what production has: a test with
	// three finds keys that are not where they should be.
	Partitions map[string]int
	// Processes is how many instances of the application share the tasks. Default: 1.
	Processes int
	// AtLeastOnce runs the application without transactions. Default: exactly once.
	AtLeastOnce bool
	// Seed decides which task gets the next batch, how large it is, and what a crash leaves of unsynced writes. The same
	// seed gives the same course of events.
	Seed uint64
	// BatchMax is how many records a task gets at most at a time. Default: 100.
	BatchMax int
	// CommitEvery is how many records a process takes before it commits. Default, 0: it commits when no input is left.
	CommitEvery int
	// CacheBytes, FlushBytes and FlushRecords are those of state.Options. Default, 0: theirs.
	CacheBytes, FlushBytes int64
	FlushRecords           int
	// RecordBytesMax is the size of a record that the cluster still takes. Default: that of Kafka's clients.
	RecordBytesMax int
	// Start is what the clock shows at first. Default: 2026-01-01 in UTC.
	Start time.Time
	// Logger gets what the application logs. Default: the test's own log.
	Logger *slog.Logger
}

func (o Options) withDefaults(t testing.TB) Options {
	if o.App == "" {
		o.App = "test"
	}
	if o.Processes == 0 {
		o.Processes = 1
	}
	if o.BatchMax == 0 {
		o.BatchMax = 100
	}
	if o.Start.IsZero() {
		o.Start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	}
	return o
}
