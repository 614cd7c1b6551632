package broker_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/broker"
)

// A broker for a test: in memory, on a port of its own, used by an ordinary Kafka client.
func Example() {
	ctx := context.Background()
	b, err := broker.New(broker.Options{InMemory: true, Listen: "127.0.0.1:0"})
	check(err)
	check(b.Start(ctx))
	defer b.Close()

	client, err := kgo.NewClient(
		kgo.SeedBrokers(b.Addr().String()),
		kgo.AllowAutoTopicCreation(),
		kgo.ConsumeTopics("greetings"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
	)
	check(err)
	defer client.Close()

	record := &kgo.Record{Topic: "greetings", Value: []byte("hello")}
	check(client.ProduceSync(ctx, record).FirstErr()) // on disk, if there were one
	for _, r := range client.PollFetches(ctx).Records() {
		fmt.Println(r.Offset, string(r.Value))
	}
	// Output: 0 hello
}

// A broker that keeps its data, with a metrics page and settings by their Kafka names.
func ExampleNew() {
	dir, err := os.MkdirTemp("", "millrace")
	check(err)
	defer os.RemoveAll(dir)

	b, err := broker.New(broker.Options{
		DataDir: dir,
		Listen:  "127.0.0.1:0",
		HTTP:    "127.0.0.1:0",
		Config:  map[string]string{"num.partitions": "4", "log.retention.hours": "24"},
		Logger:  slog.New(slog.DiscardHandler),
	})
	check(err)
	check(b.Start(context.Background()))
	check(b.Shutdown(context.Background()))
	fmt.Println(b.Wait())
	// Output: <nil>
}

// An ordinary client of a broker that runs as a process of its own (millrace serve): nothing in it is about millrace.
func Example_client() {
	ctx := context.Background()
	client, err := kgo.NewClient(
		kgo.SeedBrokers("localhost:9092"),
		kgo.ConsumerGroup("mine"),
		kgo.ConsumeTopics("numbers"),
	)
	check(err)
	defer client.Close()

	for _, r := range client.PollFetches(ctx).Records() {
		fmt.Println(r.Partition, r.Offset, string(r.Value))
	}
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
