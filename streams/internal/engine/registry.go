package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/consumer"
	"github.com/millrace/millrace/streams/internal/graph"
)

// tailMax is how many records of the topic are looked at, from the end: more are there only if others write to it.
const tailMax = 100

// Registry is the topic in which an application stores its description, so that a later start can tell what has changed, and
// tools what runs. Its last record counts.
type Registry struct {
	Client            []kgo.Opt // how to reach the brokers
	ReplicationFactor int16     // of the topic, when it is created; -1 is the broker's default
	// Accept lets what Compare refuses pass with a warning: the user knows better.
	Accept bool
	Logger *slog.Logger
}

// Register compares a description with the one that is stored, logs what has changed, and stores it if it is another one. A
// change that does not fit what the application has stored is an error that says how to proceed; then nothing is written. It
// is called before the application joins its group.
func (r Registry) Register(ctx context.Context, now graph.Description) (graph.Changes, error) {
	earlier, found, err := r.Read(ctx, now.App)
	if err != nil {
		return graph.Changes{}, err
	}
	var changes graph.Changes
	if found {
		changes = graph.Compare(earlier, now)
	}
	if err := changes.Err(); err != nil && !r.Accept {
		return changes, lasting{err}
	}
	r.log(changes)
	before, after := encodeDescription(earlier), encodeDescription(now)
	if found && bytes.Equal(before, after) {
		return changes, nil
	}
	return changes, r.write(ctx, now.App, after)
}

func (r Registry) log(changes graph.Changes) {
	if len(changes.Added) > 0 {
		r.Logger.Info("stores were added, which begin empty", "stores", changes.Added)
	}
	if len(changes.Removed) > 0 {
		r.Logger.Info("stores were removed, whose changelogs stay until they are deleted", "stores", changes.Removed)
	}
	for _, changed := range changes.Changed {
		r.Logger.Info("the topology has changed", "change", changed)
	}
	for _, refused := range changes.Refused {
		r.Logger.Warn("the topology does not fit what is stored, and runs all the same", "change", refused)
	}
}

// encodeDescription has the same bytes for the same description, also for one that was read.
func encodeDescription(d graph.Description) []byte {
	value, err := json.Marshal(d)
	if err != nil {
		panic(err) // strings and numbers only
	}
	return value
}

// Read returns the description that an application has stored, found only if it has.
func (r Registry) Read(ctx context.Context, app string) (d graph.Description, found bool, err error) {
	topic := graph.RegistryTopic(app)
	record, err := r.last(ctx, topic, app)
	if err != nil || record == nil {
		return d, false, err
	}
	err = json.Unmarshal(record.Value, &d)
	if err == nil && d.Version != graph.DescriptionVersion {
		err = fmt.Errorf("its version is %d, not %d", d.Version, graph.DescriptionVersion)
	}
	if err != nil {
		return d, false, lasting{fmt.Errorf("topic %s, offset %d: this is not a description (%w): update the program, or delete the topic to go "+
			"on without knowing what has changed", topic, record.Offset, err)}
	}
	return d, true, nil
}

// last returns the last record of the application, nil without any.
func (r Registry) last(ctx context.Context, topic, app string) (last *kgo.Record, err error) {
	client, err := kgo.NewClient(r.Client...)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	spans, err := consumer.Resolve(ctx, client, consumer.AtStart(), consumer.AtLogEnd(), topic)
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read topic %s: %w", topic, err)
	}
	for at, span := range spans {
		spans[at].From = max(span.From, span.To-tailMax)
	}
	reader, err := consumer.NewReader(consumer.ReaderOptions{Client: r.Client, Spans: spans, Uncommitted: true})
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	for {
		portion, err := reader.Next(ctx)
		if errors.Is(err, io.EOF) {
			return last, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read topic %s: %w", topic, err)
		}
		for _, record := range portion.Records {
			if string(record.Key) == app {
				last = record
			}
		}
	}
}

// write stores a description; the topic is created if it is missing.
func (r Registry) write(ctx context.Context, app string, value []byte) error {
	client, err := kgo.NewClient(r.Client...)
	if err != nil {
		return err
	}
	defer client.Close()
	topic := graph.RegistryTopic(app)
	created, err := kadm.NewClient(client).CreateTopic(ctx, 1, r.ReplicationFactor, map[string]*string{"cleanup.policy": kadm.StringPtr("compact")}, topic)
	if err == nil {
		err = created.Err
	}
	if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
		return fmt.Errorf("create topic %s: %w", topic, err)
	}
	record := &kgo.Record{Topic: topic, Key: []byte(app), Value: value}
	produced := make(chan error, 1)
	client.Produce(ctx, record, func(_ *kgo.Record, err error) { produced <- err })
	select {
	case err = <-produced:
	case <-ctx.Done(): // the client would wait for an answer to what it has sent
		err = context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("store the description in topic %s: %w", topic, err)
	}
	return nil
}
