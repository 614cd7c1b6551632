package consumer

import (
	"cmp"
	"errors"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Options say what a Group consumes and what happens to it.
type Options struct {
	// Client says how to reach the brokers: kgo.SeedBrokers, kgo.DialTLS, kgo.SASL, kgo.ClientID. Needed.
	Client []kgo.Opt
	// Consumer and Producer are more options of the client that fetches, and of the one that produces and commits, as
	// kgo.SessionTimeout or kgo.ProducerBatchCompression.
	Consumer, Producer []kgo.Opt

	Group   string   // needed
	Topics  []string // at least one
	Handler Handler  // needed

	// TransactionalID makes the group process exactly once; "" is at least once. No two members may use the same one at a
	// time: the later fences the earlier. A process that starts again with its old one ends its old transaction at once.
	TransactionalID string
	// TransactionTimeout is after what time the broker aborts a transaction that was left; 0 is 40 s.
	TransactionTimeout time.Duration

	// LeaveStatic lets a static member (kgo.InstanceID) leave the group when Run ends, so that its partitions move on at once.
	// Otherwise they are kept for it until its session is over.
	LeaveStatic bool

	// FromEnd lets a partition without a committed offset begin at its end, not at its beginning.
	FromEnd bool
	// ResetLostOffsets lets a partition begin anew, as FromEnd says, when records were deleted before they were
	// processed. Otherwise Run fails.
	ResetLostOffsets bool

	// CommitInterval is how often what was processed is committed; 0 is 1 s, or 100 ms with transactions.
	CommitInterval time.Duration
	// CommitRecords commits earlier once so many records are processed; 0 is 50,000.
	CommitRecords int
	// BatchRecords is how many records Process is given at most; 0 is 1000. With transactions, all partitions wait for the
	// longest batch at each commit.
	BatchRecords int
	// QueueBytes is how many bytes of records may wait for a partition's worker before it is fetched no more; one fetch
	// comes on top. 0 is 4 MiB.
	QueueBytes int
	// StopTimeout is how long Process may take, and the commit after it, when partitions are taken away, when the group ends,
	// and with transactions at each commit, before its context ends and its work is undone. 0 is 20 s. Keep it below
	// kgo.RebalanceTimeout.
	StopTimeout time.Duration

	// AbandonTimeout is how long Process or Assigned may go on though its context has ended. Then Run returns an error that wraps ErrStuck,
	// and leaves the goroutine to itself: it holds up no partition. 0: Run waits for ever.
	AbandonTimeout time.Duration
	// Busy says what the handler is doing for a partition that is known to end and that no context ends, as writing to a disk: it
	// is waited for beyond AbandonTimeout. "": nothing such. nil: it never is. Called by other goroutines than the handler's.
	Busy func(TopicPartition) string
	// TickInterval is how often a Ticker is called; 0 is 100 ms.
	TickInterval time.Duration

	// Retry decides about a failure of Process: after which pause the records are processed again, or not at all: then Run
	// returns the error. With transactions, the open one is aborted first. nil: not at all. Called by several goroutines.
	Retry func(Failure) (pause time.Duration, again bool)
	// Lane puts partitions on one worker that have the same lane; nil: each has its own. The partitions of a lane may
	// share a Processor.
	Lane func(TopicPartition) string

	// Rebalanced is told which partitions are this member's, sorted, after each change, none included; before Assigned and after
	// Revoked is called for those that changed. nil: nobody is. It is called by the goroutine of Run, which waits for it.
	Rebalanced func([]TopicPartition)

	// Logger gets what Run survives: lost partitions, aborted transactions, failed commits. nil: nobody does.
	Logger *slog.Logger
}

// Defaults and bounds.
const (
	transactionTimeoutDefault = 40 * time.Second
	commitIntervalDefault     = time.Second
	transactionEveryDefault   = 100 * time.Millisecond
	commitRecordsDefault      = 50_000
	batchRecordsDefault       = 1000
	queueBytesDefault         = 4 << 20
	stopTimeoutDefault        = 20 * time.Second
	tickIntervalDefault       = 100 * time.Millisecond

	// fetchWaitMax is how long a fetch waits for records, and a partition whose fetching is resumed for a fetch without it.
	fetchWaitMax = 500 * time.Millisecond
	// leaveMax bounds leaving the group.
	leaveMax = 5 * time.Second
	// abortsMax is how many transactions in a row may be aborted before Run fails.
	abortsMax = 10
	// retryPauseMin and retryPauseMax bound the pause between two tries of anything.
	retryPauseMin = 20 * time.Millisecond
	retryPauseMax = 5 * time.Second
	// recordOverheadBytes is what a record takes beside its key, value and headers.
	recordOverheadBytes = 200
	// headerOverheadBytes is what a header takes beside its key and value.
	headerOverheadBytes = 40
)

// withDefaults returns the options with zero values replaced, or what is wrong with them.
func (o Options) withDefaults() (Options, error) {
	switch {
	case o.Group == "":
		return o, errors.New("consumer: Options.Group is empty")
	case len(o.Topics) == 0:
		return o, errors.New("consumer: Options.Topics is empty")
	case o.Handler == nil:
		return o, errors.New("consumer: Options.Handler is nil")
	case o.CommitInterval < 0 || o.CommitRecords < 0 || o.BatchRecords < 0 || o.QueueBytes < 0 || o.StopTimeout < 0 || o.TransactionTimeout < 0,
		o.AbandonTimeout < 0 || o.TickInterval < 0:
		return o, errors.New("consumer: Options has a negative number")
	}
	interval := commitIntervalDefault
	if o.TransactionalID != "" {
		interval = transactionEveryDefault
	}
	o.CommitInterval = cmp.Or(o.CommitInterval, interval)
	o.TransactionTimeout = cmp.Or(o.TransactionTimeout, transactionTimeoutDefault)
	o.CommitRecords = cmp.Or(o.CommitRecords, commitRecordsDefault)
	o.BatchRecords = cmp.Or(o.BatchRecords, batchRecordsDefault)
	o.QueueBytes = cmp.Or(o.QueueBytes, queueBytesDefault)
	o.StopTimeout = cmp.Or(o.StopTimeout, stopTimeoutDefault)
	o.TickInterval = cmp.Or(o.TickInterval, tickIntervalDefault)
	if o.Lane == nil {
		o.Lane = TopicPartition.String
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o, nil
}
