package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/consumer"
	"github.com/millrace/millrace/internal/disk"
	"github.com/millrace/millrace/state"
)

// Options say how a program is run. There are no defaults here: whoever makes them has checked them.
type Options struct {
	Program *Program
	App     string
	Client  []kgo.Opt // how to reach the brokers

	StateDir         string
	State            state.Options // what all tasks have in common; Dir, Stores and Shared are set here
	ExactlyOnce      bool
	CommitInterval   time.Duration
	ProcessTimeout   time.Duration
	ContinueWhenLost bool
	AcceptChanges    bool
	// MaxUncommittedBytes is how much of a task's work waits for a commit before one is made early.
	MaxUncommittedBytes int64
	ReplicationFactor   int16
	InstanceID          string        // "": the process id
	PurgeEvery          time.Duration // 0: purgeEvery
	AbandonTimeout      time.Duration // 0: abandonTimeout
	RestoreBytes        int           // that are restored before they are written with their position; 0: restoreBytesMax

	Counters *Counters
	// Notify is told of each change of the phase, and of events in between, with what is the matter if something is. Calls
	// come one at a time.
	Notify func(Phase, error)
	Logger *slog.Logger
}

const (
	// abandonTimeout is how long a function that is blocked may go on after it was told to end.
	abandonTimeout = 5 * time.Second
	// sessionTimeout is after what time the tasks of a process that is gone are given to others.
	sessionTimeout = 12 * time.Second
	// batchRecords is how many records a task is given at a time.
	batchRecords = 4096
	// queueBytes is how much may wait for a task of each of its inputs.
	queueBytes = 8 << 20
	// bufferedRecordsMax is how many records may be under way to the brokers before a task waits.
	bufferedRecordsMax = 1 << 17
	// retriesMax is how often one batch is processed again because of something that may pass.
	retriesMax = 10
	// metadataMinAge is short, because a new application waits for topics that it has just created.
	metadataMinAge = 100 * time.Millisecond
	// transactionMore is how much longer a transaction may be open than it takes to come to its end. One that a process left
	// open, which hangs, holds up who takes over its tasks for so long.
	transactionMore = 2 * time.Second
)

// Shell runs the tasks of a program that a group assigns to this process: all that Task is not, clients, goroutines and clocks.
type Shell struct {
	options Options
	logger  *slog.Logger
	phases  *phases
	reach   *reach
	session string
	now     func() time.Time

	// Set by Run before anything else runs.
	identity *Identity
	client   *kgo.Client // asks, and is no member of anything
	admin    *kadm.Client
	topics   *Topics
	shared   *state.Shared
	origins  *origins
	stored   *inventory
	purge    *purge
	asked    <-chan struct{} // closed when Run is asked to end
	work     context.Context // ends when Run does
	commit   time.Time       // when the commit under way began; zero: none is. Of the goroutine of Group.Run
	stop     context.CancelCauseFunc

	mu struct {
		sync.Mutex
		lanes map[string]*lane
	}
}

// NewShell makes a shell, which Run runs.
func NewShell(options Options) *Shell {
	s := &Shell{options: options, logger: options.Logger.With("app", options.App), session: randomID(), now: time.Now}
	s.phases = newPhases(options.Notify)
	s.reach = newReach(func(away bool, err error) {
		if away {
			s.logger.Warn("no broker can be reached, trying again", "error", err)
		}
		s.phases.away(away, err)
	})
	s.mu.lanes = map[string]*lane{}
	return s
}

// Phase returns what the shell is doing.
func (s *Shell) Phase() Phase { return s.phases.now() }

// Run runs until ctx ends, then finishes the records in hand, commits, and leaves the group. It returns why it ended, nil if it
// was asked to.
func (s *Shell) Run(ctx context.Context) (err error) {
	ctx, s.stop = context.WithCancelCause(ctx)
	defer s.stop(nil)
	s.asked = ctx.Done()
	s.phases.enter(PhaseStarting, nil)
	defer func() {
		if err = cmp.Or(s.failure(ctx), err); err != nil {
			s.phases.enter(PhaseFailed, err)
		} else {
			s.phases.enter(PhaseStopped, nil)
		}
	}()
	if err := s.open(ctx); err != nil {
		return errors.Join(unlessAsked(ctx, err), s.close())
	}
	return errors.Join(s.runGroup(ctx), s.close())
}

// unlessAsked is err, or nil if it only says that Run was asked to end.
func unlessAsked(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// errFailed is the cause of a context that fail has ended.
type errFailed struct{ error }

// fail ends Run with an error.
func (s *Shell) fail(err error) { s.stop(errFailed{err}) }

func (s *Shell) failure(ctx context.Context) error {
	var failed errFailed
	if errors.As(context.Cause(ctx), &failed) {
		return failed.error
	}
	return nil
}

// failIfLasting ends Run because of an error that would come again: one of a node. It returns the error.
func (s *Shell) failIfLasting(err error) error {
	var node *NodeError
	if errors.As(err, &node) || !s.options.ExactlyOnce {
		s.fail(err)
	}
	return err
}

// open takes the state directory, and finds the topics.
func (s *Shell) open(ctx context.Context) (err error) {
	o := s.options
	if s.identity, err = OpenIdentity(disk.OS(), o.StateDir, o.App); err != nil {
		return err
	}
	if s.client, err = kgo.NewClient(s.clientOptions()...); err != nil {
		return err
	}
	s.admin, s.shared = kadm.NewClient(s.client), state.NewShared(0, 0)
	s.stored = openInventory(disk.OS(), s.identity.Dir, s.logger)
	err = patiently(ctx, s.logger, "look for topics", func() (err error) {
		s.topics, err = SetUpTopics(ctx, s.client, o.Program, o.App, o.ReplicationFactor, s.logger)
		return err
	})
	if err != nil {
		return err
	}
	registry := Registry{Client: s.clientOptions(), ReplicationFactor: o.ReplicationFactor, Accept: o.AcceptChanges, Logger: s.logger}
	err = patiently(ctx, s.logger, "read the stored description", func() error {
		_, err := registry.Register(ctx, o.Program.Graph.Describe(o.App, s.topics.ByName))
		return err
	})
	if err != nil {
		return err
	}
	var fromEnd []string
	for _, topic := range o.Program.FromEnd {
		fromEnd = append(fromEnd, o.Program.Graph.KafkaTopic(o.App, topic))
	}
	s.origins = newOrigins(fromEnd, s.client)
	s.purge = s.newPurge()
	return nil
}

func (s *Shell) newPurge() *purge {
	p := &purge{admin: s.admin, topics: map[string]bool{}, every: cmp.Or(s.options.PurgeEvery, purgeEvery), logger: s.logger}
	for _, topic := range s.options.Program.Graph.Topics {
		if topic.Internal {
			p.topics[s.options.Program.Graph.KafkaTopic(s.options.App, topic.Name)] = true
		}
	}
	return p
}

func (s *Shell) close() error {
	if s.client != nil {
		s.client.Close()
	}
	if s.shared != nil {
		s.shared.Close()
	}
	if s.identity == nil {
		return nil
	}
	return s.identity.Close()
}

// runGroup is a member of the group until ctx ends.
func (s *Shell) runGroup(ctx context.Context) error {
	group, err := consumer.New(s.groupOptions())
	if err != nil {
		return err
	}
	var cancel context.CancelFunc
	s.work, cancel = context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	var purging sync.WaitGroup
	purging.Go(func() { s.purge.run(s.work) })
	defer purging.Wait()
	defer cancel()
	defer context.AfterFunc(ctx, func() { s.phases.enter(PhaseStopping, nil) })()
	return s.explain(group.Run(ctx))
}

// clientOptions are those of every client.
func (s *Shell) clientOptions() []kgo.Opt {
	own := []kgo.Opt{kgo.ClientID("millrace-streams/" + s.options.App), kgo.MetadataMinAge(metadataMinAge)}
	return slices.Concat(own, s.options.Client, []kgo.Opt{kgo.WithHooks(s.reach)})
}

func (s *Shell) groupOptions() consumer.Options {
	o := s.options
	options := consumer.Options{
		Client: append([]kgo.Opt{kgo.SessionTimeout(sessionTimeout)}, s.clientOptions()...), Group: o.App, Topics: s.sources(), Handler: s, Lane: s.laneName,
		Consumer: []kgo.Opt{
			kgo.Balancers(NewBalancer(o.App, s.identity.ProcessID, o.Program.Graph, s.stored.list)),
			kgo.InstanceID(cmp.Or(o.InstanceID, s.identity.ProcessID)),
			kgo.RebalanceTimeout(2*o.ProcessTimeout + 2*abandonTimeout),
			kgo.AdjustFetchOffsetsFn(s.origins.adjust),
		},
		Producer: []kgo.Opt{
			kgo.RecordPartitioner(Partitioner()), kgo.MaxBufferedRecords(bufferedRecordsMax), kgo.ProducerLinger(0),
			kgo.ProducerBatchMaxBytesFn(s.topics.limits.ofBatch),
		},
		LeaveStatic: true, ResetLostOffsets: o.ContinueWhenLost,
		CommitInterval: o.CommitInterval, CommitRecords: 1 << 30, BatchRecords: batchRecords, QueueBytes: queueBytes,
		StopTimeout: o.ProcessTimeout, AbandonTimeout: cmp.Or(o.AbandonTimeout, abandonTimeout), Busy: s.busy,
		Retry: s.retry, Rebalanced: s.rebalanced, Logger: s.logger,
	}
	if o.ExactlyOnce {
		options.TransactionTimeout = o.CommitInterval + o.ProcessTimeout + transactionMore
		options.TransactionalID = o.App + "-" + s.identity.ProcessID
	}
	return options
}

// retry decides about a failure: what a node says is what it would say again; what a broker says may pass, and with a
// transaction all is undone that came of the batch.
func (s *Shell) retry(f consumer.Failure) (pause time.Duration, again bool) {
	var node *NodeError
	if !s.options.ExactlyOnce || errors.As(f.Err, &node) || isLasting(f.Err) {
		return 0, false
	}
	return consumer.RetryTimes(retriesMax, retryPauseMin)(f)
}

// sources returns the topics that are read, by their names in Kafka.
func (s *Shell) sources() []string {
	topics := map[string]bool{}
	for _, sub := range s.options.Program.Subtopologies {
		for _, topic := range sub.Sources {
			topics[s.options.Program.Graph.KafkaTopic(s.options.App, topic)] = true
		}
	}
	return slices.Sorted(maps.Keys(topics))
}

// taskOf returns the task that reads a partition.
func (s *Shell) taskOf(p consumer.TopicPartition) (sub *Subtopology, id TaskID) {
	for _, sub := range s.options.Program.Subtopologies {
		for _, topic := range sub.Sources {
			if s.options.Program.Graph.KafkaTopic(s.options.App, topic) == p.Topic {
				return sub, TaskID{Subtopology: sub.Name, Partition: p.Partition}
			}
		}
	}
	return nil, TaskID{Subtopology: p.Topic, Partition: p.Partition}
}

func (s *Shell) laneName(p consumer.TopicPartition) string {
	_, id := s.taskOf(p)
	return id.String()
}

// Assigned makes the partition part of its task (consumer.Handler).
func (s *Shell) Assigned(ctx context.Context, p *consumer.Partition) (consumer.Processor, error) {
	l, err := s.lane(p.TopicPartition)
	if err != nil {
		return nil, err
	}
	return l, l.assigned(ctx, p)
}

// lane returns the lane of a partition.
func (s *Shell) lane(p consumer.TopicPartition) (*lane, error) {
	sub, id := s.taskOf(p)
	if sub == nil {
		return nil, fmt.Errorf("partition %v is assigned, which the topology does not read", p)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.mu.lanes[id.String()]; l != nil {
		return l, nil
	}
	l := &lane{shell: s, sub: sub, id: id}
	l.mu.partitions = map[string]*consumer.Partition{}
	for _, topic := range sub.Sources {
		name := s.options.Program.Graph.KafkaTopic(s.options.App, topic)
		if int(p.Partition) < s.topics.Counts[name] {
			l.topics = append(l.topics, name)
		}
	}
	slices.Sort(l.topics)
	s.mu.lanes[id.String()] = l
	return l, nil
}

// environment is that of one task.
func (s *Shell) environment(l *lane, produce producer) Environment {
	id, options := l.id, s.options.State
	options.Dir = filepath.Join(s.identity.Dir, id.Subtopology, strconv.Itoa(int(id.Partition)))
	options.Shared, options.Logger = s.shared, s.logger
	return Environment{
		App: s.options.App, Session: s.session, State: options, Disk: &l.disk, Produce: produce, Now: s.now,
		PartitionsOf:     func(topic string) int { return s.topics.Counts[topic] },
		RecordBytesMaxOf: s.topics.limits.of,
		Counters:         s.options.Counters, Logger: s.logger,
	}
}

// rebalanced is told which partitions are this process's.
func (s *Shell) rebalanced(partitions []consumer.TopicPartition) {
	s.options.Counters.Process.Rebalanced()
	tasks := map[string]bool{}
	for _, p := range partitions {
		tasks[s.laneName(p)] = true
	}
	s.phases.assigned(tasks)
	s.refresh()
}

// refresh tells which tasks are ready.
func (s *Shell) refresh() {
	select {
	case <-s.asked:
		s.phases.enter(PhaseStopping, nil) // tasks that are closed now are not to be restored
	default:
	}
	ready := map[string]bool{}
	for _, l := range s.all() {
		if l.running() != nil {
			ready[l.id.String()] = true
		}
	}
	s.phases.ready(ready)
}

func (s *Shell) all() []*lane {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Values(s.mu.lanes))
}

// event tells of something that somebody should look at.
func (s *Shell) event(err error) {
	s.logger.Warn("state or input is not what it was", "error", err)
	s.phases.event(err)
}

// commitBegins and commitStands measure commits.
func (s *Shell) commitBegins() {
	if s.commit.IsZero() {
		s.commit = s.now()
	}
}

func (s *Shell) commitStands() {
	if !s.commit.IsZero() {
		s.options.Counters.Process.Committed(s.now().Sub(s.commit))
		s.commit = time.Time{}
	}
}

// Tasks returns the tasks that run, in no order. They may end at any moment; their stores say so then.
func (s *Shell) Tasks() (tasks []*Task) {
	for _, l := range s.all() {
		if task := l.running(); task != nil {
			tasks = append(tasks, task)
		}
	}
	return tasks
}

// Topics returns the topics of the application, nil before Run has found them.
func (s *Shell) Topics() *Topics { return s.topics }
