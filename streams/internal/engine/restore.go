package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/consumer"
	"github.com/millrace/millrace/state"
)

const (
	// restoreBytesMax is how much is restored before it is written with the position that it leads to: what a crash in the
	// middle of a restore costs.
	restoreBytesMax = 64 << 20
	// deleteRetentionDefaultMs is Kafka's default of delete.retention.ms.
	deleteRetentionDefaultMs = 24 * 60 * 60 * 1000
)

// restorer brings the stores of one task to the end of their changelogs. The end is asked for after the committed offsets were
// fetched, with what open transactions have written: a transaction of the task's last owner is decided before it is reached.
type restorer struct {
	shell   *Shell
	task    *Task
	began   time.Time
	spans   map[consumer.TopicPartition]StoreSpan
	reached map[string]state.Changelog // by store
}

// openTask opens a task and restores its stores. State that is of no use is wiped.
func (s *Shell) openTask(ctx context.Context, l *lane, produce producer) (task *Task, err error) {
	sub, id, environment := l.sub, l.id, s.environment(l, produce)
	if task, err = OpenTask(sub, id, environment); err != nil {
		return nil, err
	}
	plan, err := s.planRestore(ctx, task)
	if err == nil && plan.Wipe != "" {
		s.event(fmt.Errorf("task %v: its state is wiped and restored from zero: %s", id, plan.Wipe))
		if err := errors.Join(task.Close(), l.disk.do("wiping its state directory", func() error { return removeAll(environment.State) })); err != nil {
			return nil, fmt.Errorf("task %v: wipe its state: %w", id, err)
		}
		if task, err = OpenTask(sub, id, environment); err != nil {
			return nil, err
		}
	}
	r := &restorer{shell: s, task: task, began: s.now()}
	if err == nil {
		err = r.run(ctx, plan)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("task %v: restore: %w", id, err), task.Close())
	}
	return task, nil
}

// WrittenMs is when the task's stores were last written to disk, by the wall clock; 0 if they never were.
func (t *Task) WrittenMs() int64 {
	if t.site.db == nil {
		return 0
	}
	return t.site.db.Position().WrittenMs
}

func removeAll(options state.Options) error {
	if options.FS != nil {
		return options.FS.RemoveAll(options.Dir)
	}
	return os.RemoveAll(options.Dir)
}

// planRestore asks what the changelogs are now.
func (s *Shell) planRestore(ctx context.Context, task *Task) (plan RestorePlan, err error) {
	changelogs := task.Changelogs()
	if len(changelogs) == 0 {
		return RestorePlan{}, nil
	}
	var found map[string]ChangelogFound
	err = patiently(ctx, s.logger, "look at changelogs", func() (err error) {
		found, err = s.findChangelogs(ctx, changelogs)
		return err
	})
	return PlanRestore(changelogs, found, task.WrittenMs(), s.now().UnixMilli()), err
}

func (s *Shell) findChangelogs(ctx context.Context, changelogs []Changelog) (map[string]ChangelogFound, error) {
	var topics []string
	var partitions []consumer.TopicPartition
	for _, log := range changelogs {
		topics = append(topics, log.Topic)
		partitions = append(partitions, consumer.TopicPartition{Topic: log.Topic, Partition: log.Partition})
	}
	details, err := s.admin.ListTopics(ctx, topics...)
	if err == nil {
		err = details.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("look for changelogs: %w", err)
	}
	starts, err := listOffsets(ctx, s.client, logStart, partitions)
	if err != nil {
		return nil, err
	}
	ends, err := listOffsets(ctx, s.client, logEnd, partitions)
	if err != nil {
		return nil, err
	}
	retentions, err := deleteRetentions(ctx, s.admin.DescribeTopicConfigs, topics)
	if err != nil {
		return nil, err
	}
	found := map[string]ChangelogFound{}
	for i, log := range changelogs {
		found[log.Store] = ChangelogFound{
			TopicID: details[log.Topic].ID, Start: starts[partitions[i]], End: ends[partitions[i]], DeleteRetentionMs: retentions[log.Topic],
		}
	}
	return found, nil
}

// deleteRetentions returns how long topics keep tombstones; whoever may not ask for one of them gets Kafka's default.
func deleteRetentions(ctx context.Context, describe describer, topics []string) (map[string]int64, error) {
	retentions := map[string]int64{}
	for _, topic := range topics {
		retentions[topic] = deleteRetentionDefaultMs
	}
	configs, _, err := settingsOf(ctx, describe, topics)
	if err != nil {
		return nil, err
	}
	for _, topic := range configs {
		for _, config := range topic.Configs {
			if config.Key != "delete.retention.ms" || config.Value == nil {
				continue
			}
			if ms, err := strconv.ParseInt(*config.Value, 10, 64); err == nil {
				retentions[topic.Name] = ms
			}
		}
	}
	return retentions, nil
}

// run reads the changelogs up to the ends of the plan.
func (r *restorer) run(ctx context.Context, plan RestorePlan) error {
	r.reached, r.spans = map[string]state.Changelog{}, map[consumer.TopicPartition]StoreSpan{}
	var spans []consumer.Span
	for _, span := range plan.Spans {
		r.spans[span.TopicPartition] = span
		r.move(span, span.From)
		if span.From < span.To {
			spans = append(spans, span.Span)
		}
	}
	if len(spans) > 0 {
		if err := r.read(ctx, spans); err != nil {
			return err
		}
	}
	return r.task.RestoreDone(r.reached)
}

// move notes what of a changelog is in its store now.
func (r *restorer) move(span StoreSpan, next int64) {
	r.reached[span.Store] = state.Changelog{TopicID: span.TopicID, NextOffset: next}
	counters := r.task.site.counters.Restore(span.Store)
	counters.Remaining, counters.Took = span.To-next, r.shell.now().Sub(r.began)
	r.task.site.counters.Publish()
}

func (r *restorer) read(ctx context.Context, spans []consumer.Span) error {
	reader, err := consumer.NewReader(consumer.ReaderOptions{Client: r.shell.clientOptions(), Spans: spans})
	if err != nil {
		return err
	}
	defer reader.Close()
	for unwritten := 0; ; {
		portion, err := r.next(ctx, reader)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		span := r.spans[portion.TopicPartition]
		if err := r.task.Restore(span.Store, portion.Records); err != nil {
			return err
		}
		r.move(span, portion.Next)
		if unwritten += bytesOf(portion.Records); unwritten >= cmp.Or(r.shell.options.RestoreBytes, restoreBytesMax) {
			unwritten = 0
			if err := r.task.RestoreDone(r.reached); err != nil {
				return err
			}
		}
	}
}

// next waits for records, also while brokers are away.
func (r *restorer) next(ctx context.Context, reader *consumer.Reader) (portion consumer.Portion, err error) {
	ended := false
	err = patiently(ctx, r.shell.logger, "restore", func() (err error) {
		portion, err = reader.Next(ctx)
		if ended = errors.Is(err, io.EOF); ended {
			return nil
		}
		return err
	})
	if ended {
		return portion, io.EOF
	}
	return portion, err
}

func bytesOf(records []*kgo.Record) (bytes int) {
	for _, record := range records {
		bytes += len(record.Key) + len(record.Value)
	}
	return bytes
}
