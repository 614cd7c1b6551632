// kstreamsload is streamload's count for birdayz/kstreams, the other library of Go with exactly-once streams: the same records, keys and
// commits, one worker, its store on Pebble with a changelog. It prints medians.
package main

import (
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/birdayz/kstreams"
	"github.com/birdayz/kstreams/kdag"
	"github.com/birdayz/kstreams/kprocessor"
	"github.com/birdayz/kstreams/kserde"
	"github.com/birdayz/kstreams/kstate"
	"github.com/birdayz/kstreams/kstate/pebble"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/bench/internal/rep"
)

var (
	broker  = flag.String("broker", "127.0.0.1:19092", "a Kafka-compatible broker")
	keys    = flag.Int("keys", 100_000, "different keys")
	records = flag.Int("records", 1_000_000, "records of 100 bytes a run")
	commit  = flag.Duration("commit", 100*time.Millisecond, "time between commits")
	runs    = flag.Int("n", 5, "runs")
	dir     = flag.String("dir", ".", "where stores lie")
)

func main() {
	flag.Parse()
	client, err := kgo.NewClient(kgo.SeedBrokers(*broker), kgo.MaxBufferedRecords(100_000), kgo.ProducerBatchCompression(kgo.NoCompression()))
	rep.Must(err)
	defer client.Close()
	topic := fmt.Sprintf("kin-%d", time.Now().UnixNano())
	fill(client, topic)
	var rates, cpus []float64
	for run := 0; run <= *runs; run++ {
		rate, cpu := count(client, topic, fmt.Sprintf("kcount-%d", time.Now().UnixNano()))
		if run > 0 { // the first is not counted
			rates, cpus = append(rates, rate), append(cpus, cpu)
		}
	}
	remove(client, topic)
	rep.Header()
	rep.Row(fmt.Sprintf("kstreams count exactly once, %d keys, commits each %v", *keys, *commit), "records/s", rates)
	rep.Row("  application cpu", "ns/record", cpus)
}

func fill(client *kgo.Client, topic string) {
	create(client, topic)
	source, value := rand.New(rand.NewPCG(8, 9)), make([]byte, 100)
	for range *records {
		key := fmt.Appendf(nil, "key-%012d", source.IntN(*keys))
		client.Produce(context.Background(), &kgo.Record{Topic: topic, Key: key, Value: value}, func(_ *kgo.Record, err error) { rep.Must(err) })
	}
	rep.Must(client.Flush(context.Background()))
}

func create(client *kgo.Client, topic string) {
	created, err := kadm.NewClient(client).CreateTopic(context.Background(), 1, 1, nil, topic)
	rep.Must(err)
	rep.Must(created.Err)
}

func remove(client *kgo.Client, topic string) {
	_, err := kadm.NewClient(client).DeleteTopics(context.Background(), topic)
	rep.Must(err)
}

// count measures from the first record until all are counted and committed.
func count(client *kgo.Client, topic, group string) (rate, cpu float64) {
	changelog, stateDir := group+"-counts-changelog", filepath.Join(*dir, group)
	defer os.RemoveAll(stateDir)
	create(client, changelog)
	defer remove(client, changelog)
	// Its restore waits for ever for the end of a changelog that is empty.
	rep.Must(client.ProduceSync(context.Background(), &kgo.Record{Topic: changelog, Key: []byte("seed"), Value: make([]byte, 8)}).FirstErr())
	p := &progress{first: make(chan struct{}), all: make(chan struct{})}
	app := kstreams.MustNew(topology(topic, stateDir, p), group, kstreams.WithBrokers([]string{*broker}), kstreams.WithWorkersCount(1),
		kstreams.WithLog(slog.New(slog.NewTextHandler(io.Discard, nil))), kstreams.WithCommitInterval(*commit), kstreams.WithStateDir(stateDir),
		kstreams.WithExactlyOnce())
	ended := make(chan error, 1)
	go func() { ended <- app.Run() }()
	await(p.first, ended)
	user, system := rep.CPU()
	start := time.Now()
	await(p.all, ended)
	awaitCommit(client, group, topic)
	took := time.Since(start)
	userEnd, systemEnd := rep.CPU()
	rep.Must(app.Close())
	<-ended
	n := float64(*records)
	return n / took.Seconds(), float64((userEnd - user + systemEnd - system).Nanoseconds()) / n
}

func topology(topic, stateDir string, p *progress) *kdag.DAG {
	b := kdag.NewBuilder()
	rep.Must(kstreams.RegisterSource(b, "source", topic, kserde.StringDeserializer, kserde.StringDeserializer))
	counts := pebble.NewKeyValueStoreBuilder[string, int]("counts", stateDir).WithSerdes(kserde.StringSerializer, kserde.StringDeserializer,
		func(n int) ([]byte, error) { return binary.BigEndian.AppendUint64(nil, uint64(n)), nil },
		func(b []byte) (int, error) { return int(binary.BigEndian.Uint64(b)), nil })
	rep.Must(kdag.RegisterStore(b, counts, "counts"))
	rep.Must(kstreams.RegisterProcessor(b, func() kprocessor.Processor[string, string, string, string] { return &counter{progress: p} },
		"counter", "source", "counts"))
	return b.MustBuild()
}

// progress is how many records were counted.
type progress struct {
	seen       int
	first, all chan struct{} // closed
}

type counter struct {
	*progress
	store kstate.KeyValueStore[string, int]
}

func (c *counter) Init(ctx kprocessor.ProcessorContext[string, string]) (err error) {
	c.store, err = kstate.GetKeyValueStore[string, int](ctx, "counts")
	return err
}

func (c *counter) Close() error { return nil }

func (c *counter) Process(ctx context.Context, key, _ string) error {
	n, _, err := c.store.Get(ctx, key)
	if err == nil {
		err = c.store.Set(ctx, key, n+1)
	}
	switch c.seen++; c.seen {
	case 1:
		close(c.first)
	case *records:
		close(c.all)
	}
	return err
}

// waitMax bounds what is waited for; a run takes a fraction of it.
const waitMax = 5 * time.Minute

func await(done <-chan struct{}, ended <-chan error) {
	select {
	case <-done:
	case err := <-ended:
		rep.Must(fmt.Errorf("the application ended: %w", err))
	case <-time.After(waitMax):
		rep.Must(fmt.Errorf("nothing within %v", waitMax))
	}
}

// awaitCommit waits until the group's offset is behind the last record.
func awaitCommit(client *kgo.Client, group, topic string) {
	for start := time.Now(); ; time.Sleep(2 * time.Millisecond) {
		offsets, err := kadm.NewClient(client).FetchOffsets(context.Background(), group)
		rep.Must(err)
		if o, found := offsets.Lookup(topic, 0); found && o.At >= int64(*records) {
			return
		}
		if time.Since(start) > waitMax {
			rep.Must(fmt.Errorf("not committed within %v", waitMax))
		}
	}
}
