package streams

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams/internal/engine"
)

// Guarantee is how often an input record counts.
type Guarantee int

const (
	// ExactlyOnce makes results, stores and input offsets of each commit visible together, or not at all.
	ExactlyOnce Guarantee = iota
	// AtLeastOnce loses nothing, but counts again what was processed since the last commit when a process dies.
	AtLeastOnce
)

// LostOffsets is what happens when input records were deleted before they were processed, or the group's offsets have expired.
type LostOffsets int

const (
	// FailWhenLost ends Run with an error that says what was lost.
	FailWhenLost LostOffsets = iota
	// ContinueWhenLost goes on with what is left, and tells OnState and the log.
	ContinueWhenLost
)

// Config says how a topology runs. App and Brokers are needed; zero values of all else are good.
type Config struct {
	// App names the application: its consumer group, and the beginning of the names of its internal topics. Processes with the
	// same App share its work.
	App string
	// Brokers are some brokers of the cluster, as host:port.
	Brokers []string
	// Client are more options of all clients, as kgo.DialTLS, kgo.SASL or kgo.ProducerBatchCompression.
	Client []kgo.Opt

	// StateDir is the directory below which stores are kept, each process's own; "" is "millrace-state". What a process finds
	// there when it starts again it need not restore. It also keeps who the process is.
	StateDir string
	// InstanceID names the process within the group; "" is an id that is kept in StateDir. A process that starts again has its
	// tasks at once, without waiting for the session of its predecessor to end.
	InstanceID string

	Guarantee Guarantee
	// CommitInterval is how often results are committed, at most every 5 min; 0 is 100 ms, or 1 s at least once.
	CommitInterval time.Duration
	// CacheBytes is about how much of each task's stores is kept in memory; 0 is 128 MiB.
	CacheBytes int64
	// MaxUncommittedBytes is how much of a task's work may wait for a commit before one is made early; 0 is 64 MiB.
	MaxUncommittedBytes int64
	// ProcessTimeout is how long the functions of the topology may take for one record while others wait for it, as for a
	// commit. Then a warning names record and function, and 5 s later Run returns an error, though the function's goroutine
	// goes on: its record is not committed and others take it over. 0 is 10 s. When the process hangs, or its machine is gone,
	// those who take over wait about as long for what it left open. At most 5 min.
	ProcessTimeout time.Duration
	// ReplicationFactor is that of the topics that the application creates; 0 is the broker's default.
	ReplicationFactor int16

	// OnLostOffsets decides when input records are gone that were not processed.
	OnLostOffsets LostOffsets
	// AcceptChanges lets a topology run that does not fit what the application has stored, with a warning for each change.
	AcceptChanges bool

	// OnState is told of each change of the App's state, and, with the same state as before, of events that somebody should
	// look at: state that was wiped, records that were lost. err says what is the matter, nil if nothing is. Calls come one at
	// a time, from several goroutines, and hold up the App: it may not call Close or wait for Run.
	OnState func(state State, err error)
	// Logger gets what the App survives; nil is slog.Default().
	Logger *slog.Logger
}

// Defaults.
const (
	stateDirDefault            = "millrace-state"
	commitIntervalDefault      = 100 * time.Millisecond
	commitIntervalLooseDefault = time.Second
	commitIntervalMax          = 5 * time.Minute
	uncommittedBytesDefault    = 64 << 20
	processTimeoutMax          = 5 * time.Minute
	processTimeoutDefault      = 10 * time.Second
)

// appName is what fits into names of topics, groups and directories, with room for what is put behind it.
var appName = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$`)

// check returns all that is wrong with the configuration.
func (c Config) check() error {
	var mistakes []error
	wrong := func(is bool, format string, args ...any) {
		if is {
			mistakes = append(mistakes, fmt.Errorf("Config."+format, args...))
		}
	}
	wrong(c.App == "", "App is empty: name the application")
	wrong(c.App != "" && !appName.MatchString(c.App), "App is %q: it has up to 64 of a-z, A-Z, 0-9, '.', '_' and '-', and does not begin with '.'", c.App)
	wrong(len(c.Brokers) == 0 && len(c.Client) == 0, "Brokers is empty: name at least one broker, as localhost:9092")
	for _, broker := range c.Brokers {
		wrong(broker == "", "Brokers has an empty address")
	}
	wrong(c.Guarantee != ExactlyOnce && c.Guarantee != AtLeastOnce, "Guarantee is %d: it is ExactlyOnce or AtLeastOnce", c.Guarantee)
	wrong(c.OnLostOffsets != FailWhenLost && c.OnLostOffsets != ContinueWhenLost, "OnLostOffsets is %d: it is FailWhenLost or ContinueWhenLost", c.OnLostOffsets)
	wrong(c.CommitInterval < 0, "CommitInterval is %v: it cannot be negative", c.CommitInterval)
	wrong(c.CommitInterval > 0 && c.CommitInterval < time.Millisecond, "CommitInterval is %v: at least 1ms", c.CommitInterval)
	wrong(c.CommitInterval > commitIntervalMax, "CommitInterval is %v: at most %v, until then nobody sees results", c.CommitInterval, commitIntervalMax)
	wrong(c.ProcessTimeout > processTimeoutMax, "ProcessTimeout is %v: at most %v", c.ProcessTimeout, processTimeoutMax)
	wrong(c.ProcessTimeout < 0, "ProcessTimeout is %v: it cannot be negative", c.ProcessTimeout)
	wrong(c.CacheBytes < 0, "CacheBytes is %d: it cannot be negative", c.CacheBytes)
	wrong(c.MaxUncommittedBytes < 0, "MaxUncommittedBytes is %d: it cannot be negative", c.MaxUncommittedBytes)
	wrong(c.ReplicationFactor < 0, "ReplicationFactor is %d: it cannot be negative", c.ReplicationFactor)
	return errors.Join(mistakes...)
}

// options returns the configuration as the engine takes it, with zero values replaced.
func (c Config) options() engine.Options {
	interval := commitIntervalDefault
	if c.Guarantee == AtLeastOnce {
		interval = commitIntervalLooseDefault
	}
	client := c.Client
	if len(c.Brokers) > 0 {
		client = append([]kgo.Opt{kgo.SeedBrokers(c.Brokers...)}, c.Client...)
	}
	replicationFactor := c.ReplicationFactor
	if replicationFactor == 0 {
		replicationFactor = -1
	}
	return engine.Options{
		App: c.App, Client: client, StateDir: cmp.Or(c.StateDir, stateDirDefault),
		State:       state.Options{CacheBytes: c.CacheBytes},
		ExactlyOnce: c.Guarantee == ExactlyOnce, CommitInterval: cmp.Or(c.CommitInterval, interval),
		ProcessTimeout:   cmp.Or(c.ProcessTimeout, processTimeoutDefault),
		ContinueWhenLost: c.OnLostOffsets == ContinueWhenLost, AcceptChanges: c.AcceptChanges,
		MaxUncommittedBytes: cmp.Or(c.MaxUncommittedBytes, uncommittedBytesDefault),
		ReplicationFactor:   replicationFactor, InstanceID: c.InstanceID,
		Logger: cmp.Or(c.Logger, slog.Default()),
	}
}
