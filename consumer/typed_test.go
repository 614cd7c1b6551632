package consumer_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/consumer"
)

type order struct{ Total int }

// orders has the records that a typed handler was given.
type orders struct {
	mu     sync.Mutex
	totals []int
	keys   []string
}

func (o *orders) handler(poison consumer.Poison) consumer.Typed[string, order] {
	return consumer.Typed[string, order]{
		Key: consumer.String, Value: consumer.JSON[order], Poison: poison,
		Process: func(_ context.Context, _ *consumer.Partition, records []consumer.Record[string, order]) error {
			o.mu.Lock()
			defer o.mu.Unlock()
			for _, r := range records {
				o.totals, o.keys = append(o.totals, r.Value.Total), append(o.keys, r.Key)
			}
			return nil
		},
	}
}

func (c *cluster) orders(values ...string) (topic string) {
	c.t.Helper()
	topic = c.topic("orders", 1)
	for i, value := range values {
		record := &kgo.Record{Topic: topic, Key: fmt.Append(nil, "k", i), Value: []byte(value), Headers: []kgo.RecordHeader{{Key: "own", Value: []byte{1}}}}
		if err := c.client.ProduceSync(c.t.Context(), record).FirstErr(); err != nil {
			c.t.Fatal(err)
		}
	}
	return topic
}

func TestPoisonFails(t *testing.T) {
	c := newCluster(t)
	topic := c.orders(`{"Total":1}`, `{"Total":`, `{"Total":3}`)
	var got orders
	group, err := consumer.New(c.options(topic, topic, got.handler(nil)))
	if err != nil {
		t.Fatal(err)
	}
	err = group.Run(t.Context())
	var syntax *json.SyntaxError
	if !errors.As(err, &syntax) || len(got.totals) != 0 {
		t.Errorf("%v after %v", err, got.totals)
	}
}

func TestPoisonIsSkippedAndCounted(t *testing.T) {
	c := newCluster(t)
	topic := c.orders(`{"Total":1}`, `{"Total":`, `{"Total":3}`, `nonsense`)
	var got orders
	skipped := make(chan int64, 10)
	run(t, c.options(topic, topic, got.handler(consumer.SkipPoison(func(r *kgo.Record, cause error) { skipped <- r.Offset }))))
	eventually(t, "all records", func() bool { return c.lag(topic, topic) == 0 })
	got.mu.Lock()
	defer got.mu.Unlock()
	if fmt.Sprint(got.totals, got.keys, len(skipped), <-skipped, <-skipped) != "[1 3] [k0 k2] 2 1 3" {
		t.Error(got.totals, got.keys)
	}
}

func TestPoisonBecomesADeadLetter(t *testing.T) {
	c := newCluster(t)
	topic, letters := c.orders(`{"Total":1}`, `poison`, `{"Total":3}`), c.topic("letters", 1)
	var got orders
	run(t, c.options(topic, topic, got.handler(consumer.DeadLetters(letters))))
	eventually(t, "all records", func() bool { return c.lag(topic, topic) == 0 })
	reader, err := consumer.NewReader(consumer.ReaderOptions{Client: c.seeds(), Spans: c.spans(consumer.AtStart(), consumer.AtStableEnd(), letters)})
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	portion, err := reader.Next(t.Context())
	if err != nil || len(portion.Records) != 1 {
		t.Fatal(portion, err)
	}
	letter := portion.Records[0]
	headers := map[string]string{}
	for _, h := range letter.Headers {
		headers[h.Key] = string(h.Value)
	}
	if string(letter.Value) != "poison" || string(letter.Key) != "k1" || headers["own"] != "\x01" || headers[consumer.DeadLetterTopic] != topic ||
		headers[consumer.DeadLetterPartition] != "0" || headers[consumer.DeadLetterOffset] != "1" || headers[consumer.DeadLetterCause] == "" {
		t.Errorf("%s %s %v", letter.Key, letter.Value, headers)
	}
}
