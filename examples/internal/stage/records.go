package stage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/millrace/millrace/consumer"
	"github.com/twmb/franz-go/pkg/kgo"
)

// fetchWaitMax is how long brokers hold back a fetch that finds nothing, and with it whoever stops reading.
const fetchWaitMax = 250 * time.Millisecond

// Produce writes records and returns when the brokers have taken all of them. A record goes to the partition of its key.
func (s *Stage) Produce(ctx context.Context, records iter.Seq2[*kgo.Record, error]) error {
	client, err := s.client(kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)), kgo.ProducerBatchCompression(kgo.Lz4Compression()))
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	for record, err := range records {
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			break
		}
		client.Produce(ctx, record, func(r *kgo.Record, err error) {
			if err != nil {
				cancel(fmt.Errorf("produce to %s: %w", r.Topic, err))
			}
		})
	}
	_ = client.Flush(ctx) // it fails only when ctx ends
	return context.Cause(ctx)
}

// Await returns when a topic holds so many records, those of transactions that are open or were aborted not among them.
func (s *Stage) Await(ctx context.Context, topic string, count int64) error {
	held := int64(0)
	for _, err := range s.read(ctx, topic, consumer.Never()) {
		if err != nil {
			return fmt.Errorf("with %d of %d records: %w", held, count, err)
		}
		if held++; held == count {
			return nil
		}
	}
	return nil
}

// All reads the committed records that a topic holds now, in the order of each partition. After an error nothing more comes.
func (s *Stage) All(ctx context.Context, topic string) iter.Seq2[*kgo.Record, error] {
	return s.read(ctx, topic, consumer.AtStableEnd())
}

func (s *Stage) read(ctx context.Context, topic string, end consumer.Bound) iter.Seq2[*kgo.Record, error] {
	return func(yield func(*kgo.Record, error) bool) {
		reader, err := s.reader(ctx, topic, end)
		if err != nil {
			yield(nil, fmt.Errorf("read %s: %w", topic, err))
			return
		}
		defer reader.Close()
		for {
			portion, err := reader.Next(ctx)
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield(nil, fmt.Errorf("read %s: %w", topic, err))
				return
			}
			for _, record := range portion.Records {
				if !yield(record, nil) {
					return
				}
			}
		}
	}
}

func (s *Stage) reader(ctx context.Context, topic string, end consumer.Bound) (*consumer.Reader, error) {
	client, err := s.client()
	if err != nil {
		return nil, err
	}
	defer client.Close()
	spans, err := consumer.Resolve(ctx, client, consumer.AtStart(), end, topic)
	if err != nil {
		return nil, err
	}
	return consumer.NewReader(consumer.ReaderOptions{
		Client: []kgo.Opt{kgo.SeedBrokers(s.Brokers...), kgo.FetchMaxWait(fetchWaitMax)},
		Spans:  spans,
	})
}
