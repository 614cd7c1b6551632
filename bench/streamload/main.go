// streamload measures a stream application as its user has it: a topology of package streams that runs against a broker. It counts
// records by key, exactly or at least once, or kills an application with gigabytes of state and starts it again. It prints medians.
package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/bench/internal/rep"
)

var (
	broker  = flag.String("broker", "127.0.0.1:19092", "a Kafka-compatible broker")
	pid     = flag.Int("pid", 0, "the broker's process id, or 0")
	mode    = flag.String("mode", "count", "count, or restart")
	keys    = flag.Int("keys", 100_000, "different keys")
	records = flag.Int("records", 4_000_000, "count: records of 100 bytes a run")
	commit  = flag.Duration("commit", 100*time.Millisecond, "time between commits")
	loose   = flag.Bool("loose", false, "count: also at least once, in turn with exactly once")
	size    = flag.Int("size", 1000, "restart: bytes of a value in the store")
	runs    = flag.Int("n", 5, "runs of each")
	dir     = flag.String("dir", ".", "where stores lie")
	label   = flag.String("label", "", "put before each row")
	profile = flag.String("cpuprofile", "", "count: a file for the profile of the last run")

	child = flag.String("child", "", "restart: run the application of that name; what the program starts itself with")
)

const keyBytes = 16

func main() {
	flag.Parse()
	if *child != "" {
		runChild(*child)
		return
	}
	rep.Header()
	switch *mode {
	case "count":
		counting()
	case "restart":
		restarting()
	default:
		rep.Must(fmt.Errorf("mode %q: it is count or restart", *mode))
	}
}

func key(i int) string { return fmt.Sprintf("key-%0*d", keyBytes-4, i) }

// fill makes a topic of one partition and writes n records to it, of keys that record draws.
func fill(topic string, n int, record func(i int) (key string, value []byte)) {
	client, err := kgo.NewClient(kgo.SeedBrokers(*broker), kgo.MaxBufferedRecords(100_000), kgo.ProducerBatchMaxBytes(900_000),
		kgo.ProducerBatchCompression(kgo.NoCompression()))
	rep.Must(err)
	defer client.Close()
	created, err := kadm.NewClient(client).CreateTopic(context.Background(), 1, 1, nil, topic)
	rep.Must(err)
	rep.Must(created.Err)
	for i := range n {
		key, value := record(i)
		client.Produce(context.Background(), &kgo.Record{Topic: topic, Key: []byte(key), Value: value}, func(_ *kgo.Record, err error) { rep.Must(err) })
	}
	rep.Must(client.Flush(context.Background()))
}

// random returns the same keys each time.
func random(n int) func(i int) (string, []byte) {
	source := rand.New(rand.NewPCG(8, 9))
	value := make([]byte, 100)
	return func(int) (string, []byte) { return key(source.IntN(n)), value }
}

// remove deletes what an application has in the broker, and its input.
func remove(app string, topics ...string) {
	client, err := kgo.NewClient(kgo.SeedBrokers(*broker))
	rep.Must(err)
	defer client.Close()
	admin := kadm.NewClient(client)
	all, err := admin.ListTopics(context.Background())
	rep.Must(err)
	for _, name := range all.Names() {
		if len(name) > len(app) && name[:len(app)+1] == app+"-" {
			topics = append(topics, name)
		}
	}
	_, err = admin.DeleteTopics(context.Background(), topics...)
	rep.Must(err)
}
