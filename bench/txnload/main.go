// txnload measures transactions of a Kafka-compatible broker with the franz-go client, beside idempotent produce of the same
// records in the same run, and read_committed beside read_uncommitted. It prints medians.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/millrace/millrace/bench/internal/proc"
	"github.com/millrace/millrace/bench/internal/rep"
)

var (
	brokers    = flag.String("brokers", "127.0.0.1:19092", "seed brokers")
	sizes      = flag.String("records", "1,10,100,1000", "records of a transaction, one row each")
	size       = flag.Int("size", 100, "bytes in a value")
	partitions = flag.Int("partitions", 1, "partitions of the topic; the records of a transaction go to all of them in turn")
	producers  = flag.Int("c", 1, "producers at once")
	old        = flag.Bool("old", false, "the protocol before KIP-890")
	dur        = flag.Duration("d", 3*time.Second, "length of a run")
	runs       = flag.Int("n", 5, "runs")
	pid        = flag.Int("pid", 0, "the broker's process id, or 0")
	dir        = flag.String("dir", "", "a directory on the broker's disk, to measure its syncs; empty: none")
	consume    = flag.Bool("consume", false, "consume what was written, by isolation level, instead")
	label      = flag.String("label", "", "put before each row")
)

func main() {
	flag.Parse()
	rep.Header()
	value()
	if *consume {
		isolation()
		return
	}
	for _, s := range strings.Split(*sizes, ",") {
		n, err := strconv.Atoi(s)
		rep.Must(err)
		row(n)
	}
}

// figures are those of each run of a way to produce.
type figures struct{ rate, p50, p99, commit50, commit99, cpu []float64 }

func row(records int) {
	var plain, txn figures
	var syncs, multiple, cost []float64
	for r := 0; r <= *runs; r++ {
		topic := fmt.Sprintf("x%d-%d", time.Now().UnixNano()%1e9, r)
		create(topic)
		counted := r > 0 // the first run warms up
		sync := syncTime()
		p := produce(topic, records, false)
		x := produce(topic, records, true)
		remove(topic)
		if !counted {
			continue
		}
		plain.add(p)
		txn.add(x)
		cost = append(cost, (p.rate/x.rate-1)*100)
		if sync > 0 {
			syncs = append(syncs, us(sync))
			multiple = append(multiple, x.commit50/us(sync))
		}
	}
	h := fmt.Sprintf("%s %d records, %d producers", *label, records, *producers)
	plain.show(h+" plain", "batches")
	txn.show(h+" txn", "txns")
	rep.Row(h+" txn over plain", "% more time a record", cost)
	if len(syncs) > 0 {
		rep.Row(h+" disk sync p50", "us", syncs)
		rep.Row(h+" commit over a sync", "times", multiple)
	}
}

// run is what one run came to.
type run struct{ rate, p50, p99, commit50, commit99, cpu float64 }

func (f *figures) add(r run) {
	f.rate, f.p50, f.p99 = append(f.rate, r.rate), append(f.p50, r.p50), append(f.p99, r.p99)
	f.commit50, f.commit99, f.cpu = append(f.commit50, r.commit50), append(f.commit99, r.commit99), append(f.cpu, r.cpu)
}

func (f *figures) show(h, what string) {
	rep.Row(h, "records/s", f.rate)
	rep.Row(h+" p50", "us", f.p50)
	rep.Row(h+" p99", "us", f.p99)
	if what == "txns" {
		rep.Row(h+" commit p50", "us", f.commit50)
		rep.Row(h+" commit p99", "us", f.commit99)
	}
	if *pid != 0 {
		rep.Row(h+" broker cpu", "us a record", f.cpu)
	}
}

// produce lets all producers write for a while, and each wait until its records are acknowledged or committed.
func produce(topic string, records int, transactional bool) run {
	var mu sync.Mutex
	var whole, commits []time.Duration
	var clients []*kgo.Client
	for i := range *producers {
		o := options(topic)
		if transactional {
			o = append(o, kgo.TransactionalID(fmt.Sprintf("%s-%d", topic, i)))
		}
		c, err := kgo.NewClient(o...)
		rep.Must(err)
		defer c.Close()
		write(c, records, transactional) // producer id, connections
		clients = append(clients, c)
	}
	cpu, start := proc.CPU(*pid), time.Now()
	var wg sync.WaitGroup
	for _, c := range clients {
		wg.Go(func() {
			var w, e []time.Duration
			for time.Since(start) < *dur {
				all, commit := write(c, records, transactional)
				w, e = append(w, all), append(e, commit)
			}
			mu.Lock()
			defer mu.Unlock()
			whole, commits = append(whole, w...), append(commits, e...)
		})
	}
	wg.Wait()
	elapsed, n := time.Since(start), float64(len(whole)*records)
	return run{
		rate: n / elapsed.Seconds(), p50: us(rep.Pct(whole, .5)), p99: us(rep.Pct(whole, .99)),
		commit50: us(rep.Pct(commits, .5)), commit99: us(rep.Pct(commits, .99)), cpu: us(proc.CPU(*pid)-cpu) / n,
	}
}

// write produces the records and waits for them, and says how long that took, and how long the commit at its end.
func write(c *kgo.Client, records int, transactional bool) (whole, commit time.Duration) {
	ctx := context.Background()
	batch := make([]*kgo.Record, records)
	for i := range batch {
		batch[i] = &kgo.Record{Value: value(), Partition: int32(i % *partitions)}
	}
	start := time.Now()
	if transactional {
		rep.Must(c.BeginTransaction())
	}
	rep.Must(c.ProduceSync(ctx, batch...).FirstErr())
	if transactional {
		middle := time.Now()
		rep.Must(c.EndTransaction(ctx, kgo.TryCommit))
		commit = time.Since(middle)
	}
	return time.Since(start), commit
}

var values []byte

func value() []byte {
	if values == nil {
		values = make([]byte, *size)
		for i := range values {
			values[i] = 'a' + byte(i%26)
		}
	}
	return values
}

func options(topic string, more ...kgo.Opt) []kgo.Opt {
	o := []kgo.Opt{
		kgo.SeedBrokers(strings.Split(*brokers, ",")...), kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.ProducerLinger(0), kgo.FetchMaxBytes(8 << 20), kgo.FetchMaxPartitionBytes(8 << 20),
	}
	if *old {
		o = append(o, kgo.MaxVersions(kversion.V3_8_0()))
	}
	return append(o, more...)
}

// syncTime is the median of small appends with an fdatasync each: one group commit of the disk.
func syncTime() time.Duration {
	if *dir == "" {
		return 0
	}
	f, err := os.CreateTemp(*dir, "sync")
	rep.Must(err)
	defer os.Remove(f.Name())
	defer f.Close()
	const count = 300
	var took []time.Duration
	for range count {
		start := time.Now()
		_, err := f.Write(value())
		rep.Must(err)
		rep.Must(syscall.Fdatasync(int(f.Fd())))
		took = append(took, time.Since(start))
	}
	return rep.Pct(took, .5)
}

// isolation reads a topic of transactions, of which every tenth is aborted.
func isolation() {
	const ofATransaction, transactions = 100, 10000
	topic := fmt.Sprintf("i%d", time.Now().UnixNano()%1e9)
	create(topic)
	c, err := kgo.NewClient(options(topic, kgo.TransactionalID(topic))...)
	rep.Must(err)
	committed := 0
	for i := range transactions {
		rep.Must(c.BeginTransaction())
		batch := make([]*kgo.Record, ofATransaction)
		for i := range batch {
			batch[i] = &kgo.Record{Value: value(), Partition: int32(i % *partitions)}
		}
		rep.Must(c.ProduceSync(context.Background(), batch...).FirstErr())
		commit := i%10 != 9
		rep.Must(c.EndTransaction(context.Background(), kgo.TransactionEndTry(commit)))
		if commit {
			committed += ofATransaction
		}
	}
	c.Close()
	h := *label + " consume"
	all := rep.Repeat(h+" read_uncommitted", "records/s", *runs, func() float64 {
		return read(topic, ofATransaction*transactions, kgo.ReadUncommitted())
	})
	some := rep.Repeat(h+" read_committed", "records/s", *runs, func() float64 { return read(topic, committed, kgo.ReadCommitted()) })
	fmt.Printf("# read_committed reads %.0f%% of the offsets a second that read_uncommitted reads\n", some/all*100*float64(ofATransaction*transactions)/float64(committed))
	remove(topic)
}

func read(topic string, want int, level kgo.IsolationLevel) float64 {
	c, err := kgo.NewClient(options(topic, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(level))...)
	rep.Must(err)
	defer c.Close()
	start := time.Now()
	for got := 0; got < want; {
		fetches := c.PollFetches(context.Background())
		rep.Must(fetches.Err())
		got += fetches.NumRecords()
	}
	return float64(want) / time.Since(start).Seconds()
}

func create(topic string) {
	c, err := kgo.NewClient(options(topic)...)
	rep.Must(err)
	defer c.Close()
	r := kmsg.NewPtrCreateTopicsRequest()
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = topic, int32(*partitions), 1
	r.Topics = append(r.Topics, t)
	_, err = r.RequestWith(context.Background(), c)
	rep.Must(err)
}

// remove deletes the topic, so that the next run can take the memory and the disk this one had.
func remove(topic string) {
	c, err := kgo.NewClient(options(topic)...)
	rep.Must(err)
	defer c.Close()
	d := kmsg.NewPtrDeleteTopicsRequest()
	d.TopicNames = []string{topic}
	t := kmsg.NewDeleteTopicsRequestTopic()
	t.Topic = kmsg.StringPtr(topic)
	d.Topics = append(d.Topics, t)
	_, _ = d.RequestWith(context.Background(), c)
}

func us(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }
