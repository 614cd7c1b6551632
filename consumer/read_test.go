package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/consumer"
)

// readAll reads to the end of options' spans and returns the values, with positions that never go back.
func readAll(t *testing.T, options consumer.ReaderOptions) (values []string, positions map[consumer.TopicPartition]int64) {
	t.Helper()
	reader, err := consumer.NewReader(options)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	positions = map[consumer.TopicPartition]int64{}
	for {
		portion, err := reader.Next(ctx)
		if errors.Is(err, io.EOF) {
			for _, span := range options.Spans {
				positions[span.TopicPartition] = reader.Position(span.TopicPartition)
			}
			return values, positions
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range portion.Records {
			if r.Offset < positions[portion.TopicPartition] || r.Offset >= portion.Next {
				t.Fatalf("record at %d of a portion from %d to %d", r.Offset, positions[portion.TopicPartition], portion.Next)
			}
			values = append(values, string(r.Value))
		}
		positions[portion.TopicPartition] = portion.Next
	}
}

func (c *cluster) spans(from, to consumer.Bound, topics ...string) []consumer.Span {
	c.t.Helper()
	spans, err := consumer.Resolve(c.t.Context(), c.client, from, to, topics...)
	if err != nil {
		c.t.Fatal(err)
	}
	return spans
}

func TestReaderReadsExactlyItsSpans(t *testing.T) {
	c := newCluster(t)
	topic := c.topic("spans", 3)
	c.produce(topic, 3, 0, 300)
	values, _ := readAll(t, consumer.ReaderOptions{Client: c.seeds(), Spans: c.spans(consumer.AtStart(), consumer.AtStableEnd(), topic)})
	exactlyOnce(t, values, 300)
	for _, span := range []struct{ from, to int64 }{{0, 0}, {0, 1}, {7, 50}, {99, 100}, {100, 100}} {
		one := consumer.Span{TopicPartition: consumer.TopicPartition{Topic: topic, Partition: 1}, From: span.from, To: span.to}
		values, positions := readAll(t, consumer.ReaderOptions{Client: c.seeds(), Spans: []consumer.Span{one}})
		var want []string
		for offset := span.from; offset < span.to; offset++ {
			want = append(want, fmt.Sprint(3*offset+1))
		}
		if !slices.Equal(values, want) || positions[one.TopicPartition] != span.to {
			t.Errorf("%d to %d: %v, position %d", span.from, span.to, values, positions[one.TopicPartition])
		}
	}
}

func TestBoundsOfSpans(t *testing.T) {
	c := newCluster(t)
	topic := c.topic("bounds", 1)
	client, err := kgo.NewClient(c.seeds()...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	early := time.Now().Add(-time.Hour)
	for i := range 10 {
		record := &kgo.Record{Topic: topic, Timestamp: early.Add(time.Duration(i) * time.Minute)}
		if err := client.ProduceSync(t.Context(), record).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	for _, bounds := range []struct {
		from, to consumer.Bound
		want     [2]int64
	}{
		{consumer.AtStart(), consumer.AtStableEnd(), [2]int64{0, 10}},
		{consumer.AtOffset(3), consumer.AtLogEnd(), [2]int64{3, 10}},
		{consumer.AtTime(early.Add(2 * time.Minute)), consumer.AtTime(early.Add(270 * time.Second)), [2]int64{2, 5}},
		{consumer.AtTime(time.Now()), consumer.Never(), [2]int64{10, -1}},
		{consumer.AtStableEnd(), consumer.AtOffset(4), [2]int64{10, 10}},
	} {
		span := c.spans(bounds.from, bounds.to, topic)[0]
		if got := [2]int64{span.From, span.To}; got != bounds.want {
			t.Errorf("%+v: %v", bounds, got)
		}
	}
	if _, err := consumer.Resolve(t.Context(), c.client, consumer.AtOffset(11), consumer.Never(), topic); !errors.Is(err, kerr.OffsetOutOfRange) {
		t.Errorf("an offset behind the end: %v", err)
	}
	if _, err := consumer.Resolve(t.Context(), c.client, consumer.AtStart(), consumer.Never(), "there-is-no-such-topic"); !errors.Is(err, kerr.UnknownTopicOrPartition) {
		t.Errorf("no such topic: %v", err)
	}
	two := append(c.spans(consumer.AtStart(), consumer.Never(), topic), c.spans(consumer.AtStart(), consumer.Never(), topic)...)
	if _, err := consumer.NewReader(consumer.ReaderOptions{Client: c.seeds(), Spans: two}); err == nil {
		t.Error("two spans of a partition are no error")
	}
}

func TestReaderSaysWhenRecordsAreGone(t *testing.T) {
	c := newCluster(t)
	topic := c.topic("gone", 1)
	c.produce(topic, 1, 0, 10)
	spans := c.spans(consumer.AtStart(), consumer.AtStableEnd(), topic)
	if _, err := c.admin.DeleteRecords(t.Context(), deleteTo(topic, 5)); err != nil {
		t.Fatal(err)
	}
	reader, err := consumer.NewReader(consumer.ReaderOptions{Client: c.seeds(), Spans: spans})
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if portion, err := reader.Next(t.Context()); !errors.Is(err, kerr.OffsetOutOfRange) {
		t.Errorf("%+v, %v", portion, err)
	}
}

func TestReaderWaitsUntilItsContextEnds(t *testing.T) {
	c := newCluster(t)
	topic := c.topic("empty", 1)
	reader, err := consumer.NewReader(consumer.ReaderOptions{Client: c.seeds(), Spans: c.spans(consumer.AtStart(), consumer.Never(), topic)})
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := reader.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	c.produce(topic, 1, 0, 1)
	if portion, err := reader.Next(t.Context()); err != nil || len(portion.Records) != 1 || portion.Next != 1 {
		t.Errorf("%+v, %v", portion, err)
	}
}
