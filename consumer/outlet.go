package consumer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

var (
	// ErrAborted is that a commit did not take place and nothing of it is to be seen: neither records nor offsets. The work
	// begins again at the offsets that Outlet.Committed returns.
	ErrAborted = errors.New("the transaction was aborted")
	// ErrFenced is that another process has the same transactional id or group instance id and is the later one.
	ErrFenced = errors.New("fenced: a later process has the same transactional id or instance id")
)

// OutletOptions say where an Outlet writes to.
type OutletOptions struct {
	Client             []kgo.Opt     // how to reach the brokers, and how to produce. Needed
	Group              string        // whose offsets are committed. Needed
	TransactionalID    string        // "": at least once
	TransactionTimeout time.Duration // after what time the broker aborts a transaction that was left; 0 is 40 s
	Logger             *slog.Logger  // nil: nobody is told of aborted transactions
}

// Outlet takes the records that come of work, and commits the offsets of the work's input with them: with a transactional id
// in one transaction, without one after the records are acknowledged. Produce is safe for concurrent use; the other methods
// are called one at a time, and not while Produce is.
type Outlet struct {
	options OutletOptions
	logger  *slog.Logger
	client  *kgo.Client // nil: the last one is done for, and there is no new one yet
	implied bool        // offsets need not be announced to a transaction (KIP-890)

	mu struct {
		sync.Mutex
		began   time.Time // when the open transaction began; zero: none is open
		failure error     // why what was produced since the last commit cannot be committed
		commits int       // how many there were, and how many were given up
	}
}

// OpenOutlet connects. With a transactional id it ends what another Outlet with that id left open, and fences it: what is
// committed afterwards, as Committed returns it, is final. It waits for the broker until ctx ends.
func OpenOutlet(ctx context.Context, options OutletOptions) (*Outlet, error) {
	if options.Group == "" {
		return nil, errors.New("consumer: OutletOptions.Group is empty")
	}
	o := &Outlet{options: options, logger: options.Logger}
	if o.logger == nil {
		o.logger = slog.New(slog.DiscardHandler)
	}
	if o.options.TransactionTimeout == 0 {
		o.options.TransactionTimeout = transactionTimeoutDefault
	}
	if err := o.open(ctx); err != nil {
		return nil, err
	}
	return o, nil
}

// IsTransactional reports whether commits are transactions.
func (o *Outlet) IsTransactional() bool { return o.options.TransactionalID != "" }

// open makes a new client, trying again while the broker is away.
func (o *Outlet) open(ctx context.Context) error {
	told := false
	again := func(err error) bool {
		if isTransient(err) && !told {
			told = true
			o.logger.Warn("cannot begin, trying again", "group", o.options.Group, "transactional id", o.options.TransactionalID, "error", err)
		}
		return isTransient(err)
	}
	return repeat(ctx, again, func() error { return o.connect(ctx) })
}

// connect makes a new client. Taking a producer id is what ends the transaction of the one before, whatever became of it.
func (o *Outlet) connect(ctx context.Context) error {
	options := append(slices.Clone(o.options.Client), namedTopics())
	if o.IsTransactional() {
		options = append(options, kgo.TransactionalID(o.options.TransactionalID), kgo.TransactionTimeout(o.options.TransactionTimeout))
	}
	client, err := kgo.NewClient(options...)
	if err != nil {
		return &optionsError{err}
	}
	if o.IsTransactional() {
		if _, _, err = client.ProducerID(ctx); err == nil {
			o.implied, err = hasNewTransactions(ctx, client)
		}
	}
	if err != nil {
		client.Close()
		return fmt.Errorf("begin as transactional id %q: %w", o.options.TransactionalID, err)
	}
	o.client = client
	o.reset()
	return nil
}

func (o *Outlet) reset() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.mu.began, o.mu.failure = time.Time{}, nil
	o.mu.commits++
}

// settle ends what a commit without a transaction was about. Others may have produced meanwhile: that some of it failed, or
// will, is the next one's concern.
func (o *Outlet) settle() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.mu.began = time.Time{}
}

// Close drops what is not committed.
func (o *Outlet) Close() {
	if o.client != nil {
		o.client.UnsafeAbortBufferedRecords()
		o.client.Close()
		o.client = nil
	}
}

// Produce sends records without waiting for them; whether they arrive, the next Commit tells. It begins a transaction when there
// is none. The records belong to the Outlet until then. It waits while too many are under way (kgo.MaxBufferedRecords), and
// returns why an earlier one failed; ctx has to live until the records are sent.
func (o *Outlet) Produce(ctx context.Context, records ...*kgo.Record) error {
	if len(records) == 0 {
		return nil
	}
	client, commits, err := o.begin()
	if err != nil {
		return err
	}
	delivered := func(record *kgo.Record, err error) {
		if err != nil {
			o.undelivered(commits, fmt.Errorf("produce to topic %q: %w", record.Topic, err))
		}
	}
	for _, record := range records {
		client.Produce(ctx, record, delivered)
	}
	return nil
}

// begin begins a transaction, unless one is open, and returns how many were before it.
func (o *Outlet) begin() (client *kgo.Client, commits int, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.mu.failure != nil {
		return nil, 0, o.mu.failure
	}
	if o.client == nil {
		return nil, 0, kgo.ErrClientClosed
	}
	if o.mu.began.IsZero() {
		if o.IsTransactional() {
			if err := o.client.BeginTransaction(); err != nil {
				o.mu.failure = fmt.Errorf("begin a transaction: %w", err)
				return nil, 0, o.mu.failure
			}
		}
		o.mu.began = time.Now()
	}
	return o.client, o.mu.commits, nil
}

// undelivered spoils the next commit, unless the record belonged to one that was given up meanwhile.
func (o *Outlet) undelivered(commits int, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.mu.failure == nil && o.mu.commits == commits {
		o.mu.failure = err
	}
}

// spoil makes the next commit fail. The first reason is the one that counts.
func (o *Outlet) spoil(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.mu.failure == nil {
		o.mu.failure = err
	}
}

// state returns when the open transaction began, zero if there is none, and why it cannot be committed.
func (o *Outlet) state() (began time.Time, failure error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.mu.began, o.mu.failure
}

// Committed returns what the group has committed in the partitions; At is -1 where nothing. It waits for transactions that are
// not decided.
func (o *Outlet) Committed(ctx context.Context, partitions []TopicPartition) (Offsets, error) {
	if o.client == nil {
		if err := o.open(ctx); err != nil {
			return nil, err
		}
	}
	return fetchCommitted(ctx, o.client, o.options.Group, partitions, o.awaitsDecision())
}

// undecidedMax is how long a transaction with offsets of the group may be undecided before it is told.
const undecidedMax = 15 * time.Second

// awaitsDecision returns whether to ask again after an error: when it is that a transaction with offsets is not decided. It tells
// once if that takes long, as it does for ever where a broker has lost its decision.
func (o *Outlet) awaitsDecision() (again func(error) bool) {
	began, told := time.Now(), false
	return func(err error) bool {
		if isUnstable(err) && !told && time.Since(began) >= undecidedMax {
			told = true
			o.logger.Warn("waiting for the offsets of the group: a transaction that has some of them is neither committed nor aborted; if no other process of "+
				"the group is at work, kafka-transactions.sh --find-hanging shows it and --abort ends it", "group", o.options.Group, "error", err)
		}
		return isUnstable(err)
	}
}

// Commit commits offsets, at least one, and what was produced since the last commit. member says who asks, as of now, and may
// be asked again; nil is nobody. It is durable when Commit returns nil.
//
// With a transactional id, the errors are ErrAborted (it did not take place), ErrFenced, and others when ctx ended before
// the outcome was known: then Abort and Committed tell. An outcome that the client does not know is looked up at the broker.
// Without one, any error means that the offsets may or may not be committed.
func (o *Outlet) Commit(ctx context.Context, member func() Member, offsets Offsets) error {
	if len(offsets) == 0 {
		return errors.New("commit: no offsets")
	}
	grouped := member != nil
	if !grouped {
		member = func() Member { return Member{} }
	}
	if o.client == nil {
		return fmt.Errorf("%w: there is no connection", ErrAborted)
	}
	err := o.client.Flush(ctx)
	if err == nil {
		// A client that has just learned of a topic may acknowledge records before it has noted their partitions, and would then
		// end their transaction by an abort that it calls a commit (franz-go 1.22). This waits until it has; nothing is buffered.
		err = o.client.AbortBufferedRecords(ctx)
	}
	if err == nil && grouped && member().ID == "" {
		err = kerr.UnknownMemberID // a broker would take it for a commit of nobody, and believe it
	}
	began, failure := o.state()
	if failure != nil {
		err = failure
	}
	switch {
	case !o.IsTransactional():
		if err == nil {
			err = commitOffsets(ctx, o.client, o.options.Group, member(), offsets)
		}
		if err == nil {
			o.settle()
		}
		return err
	case err != nil:
		return o.undone(began, err)
	case began.IsZero() && grouped:
		// One request about offsets alone is as atomic as a transaction, and the generation fences it as well.
		err := commitOffsets(ctx, o.client, o.options.Group, member(), offsets)
		switch {
		case err == nil:
			return nil
		case isMembership(err), isFenced(err):
			return o.undone(began, err)
		}
		return o.resolve(ctx, offsets, err)
	}
	return o.commitTransaction(ctx, member, offsets, began)
}

// commitTransaction adds offsets to the transaction and ends it.
func (o *Outlet) commitTransaction(ctx context.Context, member func() Member, offsets Offsets, began time.Time) error {
	t, err := o.transaction(ctx)
	if err == nil && !o.implied {
		err = addGroup(ctx, o.client, t, o.options.Group)
	}
	if err == nil {
		err = o.addOffsets(ctx, t, member, offsets)
	}
	if err != nil {
		if began.IsZero() { // the client does not know of this transaction, and would not abort it
			o.Close()
		}
		return o.undone(began, err)
	}
	if began.IsZero() {
		err = endTransaction(ctx, o.client, t)
		if err == nil { // the client does not know the epoch that this has led to
			return o.reopen(ctx)
		}
	} else {
		err = o.client.EndTransaction(ctx, kgo.TryCommit)
	}
	if err == nil {
		o.reset()
		return nil
	}
	if fenced := o.fenced(began, err); fenced != nil {
		return fenced
	}
	return o.resolve(ctx, offsets, err)
}

func (o *Outlet) transaction(ctx context.Context) (transaction, error) {
	id, epoch, err := o.client.ProducerID(ctx)
	return transaction{o.options.TransactionalID, id, epoch}, err
}

// addOffsets adds offsets to the transaction. A member that is joining again is asked for its new generation, which the
// coordinator may know first: its partitions are its own until it has given them up, which waits for this commit.
func (o *Outlet) addOffsets(ctx context.Context, t transaction, member func() Member, offsets Offsets) error {
	ctx, cancel := context.WithTimeout(ctx, generationMax)
	defer cancel()
	who := member()
	for {
		err := commitInTransaction(ctx, o.client, t, o.options.Group, who, offsets)
		if !isAny(err, kerr.IllegalGeneration, kerr.RebalanceInProgress) {
			return err
		}
		for now := member(); ; now = member() {
			if now.ID != who.ID {
				return err
			}
			if now.Generation != who.Generation {
				who = now
				break
			}
			if !wait(ctx, retryPauseMin) {
				return err
			}
		}
	}
}

// generationMax bounds the wait for a commit to be taken with the member's newest generation.
const generationMax = 3 * time.Second

// undone makes an error of a transaction that was not ended: it will be aborted.
func (o *Outlet) undone(began time.Time, err error) error {
	if fenced := o.fenced(began, err); fenced != nil {
		return fenced
	}
	o.spoil(err)
	return fmt.Errorf("%w: %w", ErrAborted, err)
}

// fenced returns ErrFenced if err means it. A transaction that the broker has aborted for its age looks the same.
func (o *Outlet) fenced(began time.Time, err error) error {
	if !isFenced(err) || !began.IsZero() && time.Since(began) >= o.options.TransactionTimeout {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrFenced, err)
}

// resolve finds out what became of a commit whose outcome is unknown: a new producer id ends the transaction if it is still
// open, and then the offsets that the broker has tell whether it was committed.
func (o *Outlet) resolve(ctx context.Context, offsets Offsets, cause error) error {
	o.logger.Warn("outcome of a commit is unknown, asking the broker", "transactional id", o.options.TransactionalID, "error", cause)
	if err := o.reopen(ctx); err != nil {
		return fmt.Errorf("commit with unknown outcome (%w): %w", cause, err)
	}
	committed, err := o.Committed(ctx, offsets.partitions())
	switch {
	case err != nil:
		return fmt.Errorf("commit with unknown outcome (%w): %w", cause, err)
	case offsets.sameIn(committed):
		return nil
	}
	return fmt.Errorf("%w: %w", ErrAborted, cause)
}

// Abort undoes what was produced since the last commit; without a transactional id it only forgets failures. When it returns
// nil, Committed tells where to go on.
func (o *Outlet) Abort(ctx context.Context) error {
	if !o.IsTransactional() {
		o.reset()
		return nil
	}
	if o.client == nil {
		return o.open(ctx)
	}
	began, failure := o.state()
	if began.IsZero() && failure == nil {
		return nil
	}
	err := o.client.AbortBufferedRecords(ctx)
	if err == nil {
		err = o.client.EndTransaction(ctx, kgo.TryAbort)
	}
	if err == nil {
		o.reset()
		return nil
	}
	if fenced := o.fenced(began, err); fenced != nil {
		return fenced
	}
	return o.reopen(ctx)
}

// reopen replaces the client: what it knew of its transaction is not to be relied on.
func (o *Outlet) reopen(ctx context.Context) error {
	o.Close()
	return o.open(ctx)
}
