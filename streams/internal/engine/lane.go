package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/consumer"
)

const (
	// queuedRecordsMax is how many records of one input may wait in a task for those of another before it is fetched no more.
	queuedRecordsMax = 10_000
	// gapMax is how long a task waits for records of an input that are known to be there but do not come, though brokers can be
	// reached: what compaction left nothing of is never fetched.
	gapMax = 5 * time.Second
)

// lane runs one task: it is the processor of all partitions that the task reads, which have one worker. The task exists from the
// Assigned of the last of them to the first Revoked.
type lane struct {
	shell  *Shell
	sub    *Subtopology
	id     TaskID
	topics []string // that the task reads, by their names in Kafka, in order
	disk   DiskWork // of the task

	// Owned by the worker, and by the goroutine of Group.Run while it halts the worker.
	task     *Task
	news     map[string]news
	offsets  map[string]consumer.Offset // of the commit under way; nil: none is
	prepared map[string]bool            // topics that have theirs
	failed   bool                       // the task has: what it says of its inputs covers a record that it has not processed

	mu struct {
		sync.Mutex
		partitions map[string]*consumer.Partition // that are assigned, by topic
		ready      *Task                          // as others may see it: restored, and not closed
	}
}

// news is what was last heard of an input.
type news struct {
	next, end int64
	at        time.Time
	paused    bool
}

// producer takes what a task produces.
type producer func(records ...*kgo.Record) error

// assigned adds a partition. With the last one the task is opened and restored.
func (l *lane) assigned(ctx context.Context, p *consumer.Partition) error {
	l.mu.Lock()
	l.mu.partitions[p.Topic] = p
	complete := len(l.mu.partitions) == len(l.topics)
	l.mu.Unlock()
	if !complete {
		return nil
	}
	err := l.open(ctx)
	if err != nil {
		l.mu.Lock()
		delete(l.mu.partitions, p.Topic)
		l.mu.Unlock()
	}
	return err
}

func (l *lane) open(ctx context.Context) error {
	inputs, err := l.shell.findInputs(ctx, l)
	if err != nil {
		return fmt.Errorf("task %v: %w", l.id, err)
	}
	produce := func(records ...*kgo.Record) error {
		p := l.partition(l.topics[0])
		return p.Produce(l.shell.work, records...)
	}
	task, err := l.shell.openTask(ctx, l, produce)
	if err != nil {
		return err
	}
	if err = l.shell.checkState(task, inputs); err == nil {
		err = l.begin(task, inputs)
	}
	if err != nil {
		return errors.Join(err, task.Close())
	}
	l.task, l.offsets, l.failed = task, nil, false
	l.setReady(task)
	return nil
}

// begin tells the task where its inputs are.
func (l *lane) begin(task *Task, inputs map[string]inputFound) error {
	metadata := map[string]string{}
	for topic, found := range inputs {
		metadata[topic] = found.committed.Metadata
	}
	if err := task.Resume(metadata); err != nil {
		return err
	}
	l.news = map[string]news{}
	for topic, found := range inputs {
		l.news[topic] = news{next: found.at, end: found.stableEnd, at: l.shell.now()}
		if err := task.Add(topic, nil, found.at, found.stableEnd); err != nil {
			return err
		}
	}
	return nil
}

func (l *lane) partition(topic string) *consumer.Partition {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.partitions[topic]
}

func (l *lane) setReady(task *Task) {
	l.mu.Lock()
	l.mu.ready = task
	l.mu.Unlock()
	l.shell.refresh()
}

// running returns the task if it is ready.
func (l *lane) running() *Task {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.ready
}

// Process gives the task records, and has it process what may be processed now.
func (l *lane) Process(ctx context.Context, batch *consumer.Batch) error {
	if err := l.add(batch.Partition.Topic, batch.Records, batch.Next, batch.StableEnd); err != nil {
		return err
	}
	return l.work(ctx, batch.Partition)
}

func (l *lane) add(topic string, records []*kgo.Record, next, end int64) error {
	if l.task == nil {
		return fmt.Errorf("records of %s for task %v, which does not run", topic, l.id)
	}
	heard := l.news[topic]
	heard.next, heard.end, heard.at = next, max(heard.end, end), l.shell.now()
	l.news[topic] = heard
	return l.task.Add(topic, records, next, heard.end)
}

// Tick does what is due by the clock, and goes on with what a commit interrupted.
func (l *lane) Tick(ctx context.Context, p *consumer.Partition, now time.Time) error {
	if l.task == nil {
		return nil
	}
	if heard, at := l.news[p.Topic], p.Position(); at > heard.next {
		if err := l.add(p.Topic, nil, at, heard.end); err != nil {
			return err
		}
	}
	if err := l.skipGap(p.Topic, now); err != nil {
		return err
	}
	if p.Topic == l.topics[0] {
		if err := l.task.Tick(ctx, now); err != nil {
			l.failed = true
			return err
		}
	}
	return l.work(ctx, p)
}

// skipGap lets the task wait no longer for an input whose end does not come.
func (l *lane) skipGap(topic string, now time.Time) error {
	heard := l.news[topic]
	if len(l.topics) == 1 || heard.next >= heard.end || l.task.Queued(topic) > 0 || heard.paused ||
		now.Sub(heard.at) < gapMax || l.shell.reach.isAway() {
		return nil
	}
	heard.end = heard.next
	l.news[topic] = heard
	return l.task.Add(topic, nil, heard.next, heard.end)
}

// work has the task process until there is nothing more, or somebody waits for the worker.
func (l *lane) work(ctx context.Context, p *consumer.Partition) error {
	until, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(p.Running(), cancel)()
	defer context.AfterFunc(ctx, l.warnOfBlocked)()
	if err := l.process(until); err != nil {
		return err
	}
	l.balance()
	if l.task.DirtyBytes() >= l.shell.options.MaxUncommittedBytes {
		p.CommitSoon()
	}
	return ctx.Err()
}

func (l *lane) process(ctx context.Context) error {
	before := l.queued()
	if err := l.task.Process(ctx); err != nil {
		l.failed = true
		return err
	}
	if l.queued() < before {
		l.waitAnew()
	}
	return nil
}

func (l *lane) queued() (records int) {
	for _, topic := range l.topics {
		records += l.task.Queued(topic)
	}
	return records
}

// waitAnew has the wait for inputs begin now: what took the time until then was not that they did not come.
func (l *lane) waitAnew() {
	for topic, heard := range l.news {
		heard.at = l.shell.now()
		l.news[topic] = heard
	}
}

// balance stops fetching inputs of which much waits for others.
func (l *lane) balance() {
	if len(l.topics) == 1 {
		return
	}
	for topic, heard := range l.news {
		queued := l.task.Queued(topic)
		switch p := l.partition(topic); {
		case p == nil:
			continue
		case !heard.paused && queued >= queuedRecordsMax:
			p.Pause()
		case heard.paused && queued < queuedRecordsMax/2:
			p.Resume()
		default:
			continue
		}
		heard.paused, heard.at = !heard.paused, l.shell.now()
		l.news[topic] = heard
	}
}

// Prepare has the task produce the changes of its stores, once a commit, and says what to commit of a partition.
func (l *lane) Prepare(ctx context.Context, commit *consumer.Commit) error {
	if l.running() == nil {
		return nil // it is being restored
	}
	if l.failed {
		commit.Offset = commit.Partition.Committed()
		return nil
	}
	topic := commit.Partition.Topic
	if l.offsets == nil || l.prepared[topic] {
		l.shell.commitBegins()
		offsets, err := l.task.Prepare(ctx)
		if err != nil {
			l.failed = true
			return l.shell.failIfLasting(err)
		}
		l.offsets, l.prepared = offsets, map[string]bool{}
	}
	l.prepared[topic] = true
	commit.Offset = l.offsets[topic]
	return nil
}

// Committed tells the task, once a commit.
func (l *lane) Committed(ctx context.Context, commit *consumer.Commit) error {
	l.shell.commitStands()
	l.shell.purge.note(commit.Partition.TopicPartition, commit.Offset.At)
	if l.offsets == nil {
		return nil
	}
	l.offsets = nil
	l.waitAnew()
	return l.task.Committed(ctx)
}

// Revoked closes the task, with the first of its partitions that goes.
func (l *lane) Revoked(_ context.Context, p *consumer.Partition, reason consumer.Reason) error {
	l.mu.Lock()
	delete(l.mu.partitions, p.Topic)
	l.mu.Unlock()
	if reason != consumer.Rewound {
		l.shell.origins.forget(p.TopicPartition)
	}
	task := l.task
	if task == nil {
		return nil
	}
	if reason != consumer.Drained {
		l.shell.options.Counters.Process.Aborted()
	}
	l.task, l.offsets = nil, nil
	l.setReady(nil)
	l.shell.stored.note(l.id, task.Changelogs())
	return task.Close()
}
