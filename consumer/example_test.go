package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/broker"
	"github.com/millrace/millrace/consumer"
)

// brokerWith starts a broker in memory that has a topic with records.
func brokerWith(topic string, values ...string) (b *broker.Broker, brokers kgo.Opt) {
	b, err := broker.New(broker.Options{
		InMemory: true, Listen: "127.0.0.1:0", Config: map[string]string{"group.initial.rebalance.delay.ms": "0"},
	})
	check(err)
	check(b.Start(context.Background()))
	brokers = kgo.SeedBrokers(b.Addr().String())
	client, err := kgo.NewClient(brokers, kgo.AllowAutoTopicCreation())
	check(err)
	defer client.Close()
	for _, value := range values {
		check(client.ProduceSync(context.Background(), &kgo.Record{Topic: topic, Value: []byte(value)}).FirstErr())
	}
	return b, brokers
}

func create(brokers kgo.Opt, topic string) {
	client, err := kgo.NewClient(brokers)
	check(err)
	defer client.Close()
	_, err = kadm.NewClient(client).CreateTopic(context.Background(), 1, 1, nil, topic)
	check(err)
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// Each record is processed at least once: its offset is committed after Process returned.
func ExampleGroup() {
	b, brokers := brokerWith("orders", "3 apples", "1 pear")
	defer b.Close()

	group, err := consumer.New(consumer.Options{
		Client: []kgo.Opt{brokers},
		Group:  "shipping",
		Topics: []string{"orders"},
		Handler: consumer.ProcessFunc(func(ctx context.Context, batch *consumer.Batch) error {
			for _, record := range batch.Records {
				fmt.Println("shipping", string(record.Value))
				if record.Offset == 1 {
					batch.Done(len(batch.Records))
					return consumer.ErrStop
				}
			}
			return nil
		}),
	})
	check(err)
	check(group.Run(context.Background()))
	// Output:
	// shipping 3 apples
	// shipping 1 pear
}

// Records are decoded, and those that cannot be are kept elsewhere.
func ExampleTyped() {
	b, brokers := brokerWith("orders", `{"fruit":"apple","n":3}`, `{"fruit":`, `{"fruit":"pear","n":1}`)
	defer b.Close()

	type order struct {
		Fruit string `json:"fruit"`
		N     int    `json:"n"`
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	group, err := consumer.New(consumer.Options{
		Client: []kgo.Opt{brokers},
		Group:  "shipping",
		Topics: []string{"orders"},
		Handler: consumer.Typed[[]byte, order]{
			Key:    consumer.Bytes,
			Value:  consumer.JSON[order],
			Poison: consumer.SkipPoison(func(record *kgo.Record, cause error) { fmt.Println("skipping", record.Offset) }),
			Process: func(ctx context.Context, p *consumer.Partition, records []consumer.Record[[]byte, order]) error {
				for _, record := range records {
					fmt.Println(record.Offset, record.Value.N, record.Value.Fruit)
					if record.Value.Fruit == "pear" {
						cancel()
					}
				}
				return nil
			},
		},
	})
	check(err)
	check(group.Run(ctx))
	// Unordered output:
	// skipping 1
	// 0 3 apple
	// 2 1 pear
}

// What is in a topic now is read without a group.
func ExampleReader() {
	b, brokers := brokerWith("prices", "apple 3", "pear 4", "apple 5")
	defer b.Close()
	ctx := context.Background()

	client, err := kgo.NewClient(brokers)
	check(err)
	defer client.Close()
	spans, err := consumer.Resolve(ctx, client, consumer.AtStart(), consumer.AtStableEnd(), "prices")
	check(err)
	reader, err := consumer.NewReader(consumer.ReaderOptions{Client: []kgo.Opt{brokers}, Spans: spans})
	check(err)
	defer reader.Close()
	for {
		portion, err := reader.Next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		check(err)
		for _, record := range portion.Records {
			fmt.Println(record.Offset, string(record.Value))
		}
	}
	// Output:
	// 0 apple 3
	// 1 pear 4
	// 2 apple 5
}

// Exactly once: what is produced and the offsets of what it was made from become visible together, or not at all.
func ExampleGroup_exactlyOnce() {
	b, brokers := brokerWith("orders", "3 apples", "1 pear")
	defer b.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	create(brokers, "parcels")

	group, err := consumer.New(consumer.Options{
		Client:          []kgo.Opt{brokers},
		Group:           "shipping",
		Topics:          []string{"orders"},
		TransactionalID: "shipping-1", // of this process alone
		Handler: consumer.ProcessFunc(func(ctx context.Context, batch *consumer.Batch) error {
			for _, record := range batch.Records {
				parcel := &kgo.Record{Topic: "parcels", Value: append([]byte("parcel of "), record.Value...)}
				if err := batch.Partition.Produce(ctx, parcel); err != nil {
					return err
				}
			}
			return nil
		}),
	})
	check(err)
	done := make(chan error)
	go func() { done <- group.Run(ctx) }()

	parcels, err := kgo.NewClient(brokers, kgo.ConsumeTopics("parcels"), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	check(err)
	defer parcels.Close()
	for seen := 0; seen < 2 && ctx.Err() == nil; {
		parcels.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			fmt.Println(string(r.Value))
			seen++
		})
	}
	group.Close()
	check(<-done)
	// Output:
	// parcel of 3 apples
	// parcel of 1 pear
}
