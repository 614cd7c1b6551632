package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/consumer"
	"github.com/millrace/millrace/streams/serde"
)

const (
	recountPartitions = 4
	recountKeys       = 40
	recountWorkers    = 3
	recountRecords    = 10_000 // a round
	recountSeed       = 1
	// recountRounds is how often something is done to the processes: with MILLRACE_LONG for minutes.
	recountRoundsOfASmoke   = 6
	recountRoundsOfALongRun = 80
	// disturbedWithin is how long after the first results of a round the disturbance comes, at most.
	disturbedWithin = 100 * time.Millisecond
)

// TestStreamsKillsChangeNoResult runs an application in several processes, whose partitions move, while they and the broker
// are killed with -9, stopped and continued, and computes everything that came out again from what went in.
func TestStreamsKillsChangeNoResult(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-X", "group.initial.rebalance.delay.ms=0", "-X", "group.min.session.timeout.ms=1000")
	rounds := recountRoundsOfASmoke
	if long() {
		rounds = recountRoundsOfALongRun
	}
	newRecounting(t, s.addr, s).run(rounds)
	if code := s.terminate(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	s.verifyLogs()
}

// recounting is a run of the program recount in several processes, and what is done to them.
type recounting struct {
	t       *testing.T
	brokers string
	broker  *server // nil: it is not killed
	random  *rand.Rand
	workers []*worker
	client  *kgo.Client
	made    int64 // records that were put in
	clockMs int64 // about when the last of them happened
	counted atomic.Int64
}

func newRecounting(t *testing.T, brokers string, broker *server) *recounting {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers), kgo.AlwaysRetryEOF(), kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	r := &recounting{t: t, brokers: brokers, broker: broker, client: client, random: rand.New(rand.NewPCG(recountSeed, 0)), clockMs: 1_760_000_000_000}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	forever := map[string]*string{"retention.ms": kadm.StringPtr("-1")} // the records have times that are long past
	if _, err := kadm.NewClient(client).CreateTopics(ctx, recountPartitions, 1, forever, append(recountOutputs, "data")...); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *recounting) run(rounds int) {
	stop := r.follow()
	defer stop()
	for range recountWorkers {
		r.workers = append(r.workers, startWorker(r.t, r.brokers))
	}
	r.putInAborted()
	for round := range rounds {
		before := r.counted.Load()
		r.putIn()
		eventually(r.t, "the round is being counted", func() bool { return r.counted.Load() > before })
		<-time.After(rand.N(disturbedWithin)) // the moment is the point of it
		for _, w := range r.workers {
			w.checkAlive()
		}
		name, disturb := r.disturbance(round)
		r.t.Logf("%s: round %d with %d of %d counted: %s", time.Now().Format("15:04:05"), round, r.counted.Load(), r.made, name)
		disturb()
	}
	r.putIn()
	eventually(r.t, "all is counted", func() bool { return r.counted.Load() >= r.made })
	for _, w := range r.workers {
		w.terminate()
	}
	r.judge()
}

// disturbance returns what happens in a round: first each kind in turn, then any.
func (r *recounting) disturbance(round int) (name string, disturb func()) {
	w := r.workers[r.random.IntN(len(r.workers))]
	type kind struct {
		name    string
		disturb func()
	}
	kinds := []kind{
		{"a process is killed", func() { w.kill(); w.start() }},
		{"a process is stopped until others have its partitions", func() { r.stopped(w) }},
		{"a process is told to end, and started again", func() { w.terminate(); w.start() }},
		{"a process is killed and its disk is lost", func() { w.kill(); r.loseState(w); w.start() }},
	}
	if r.broker != nil {
		kinds = append(kinds,
			kind{"the broker is killed", func() { r.broker.kill(); r.broker.start() }},
			kind{"all are killed, the broker too", r.allKilled})
	}
	chosen := kinds[round%len(kinds)]
	if round >= len(kinds) {
		chosen = kinds[r.random.IntN(len(kinds))]
	}
	return chosen.name, chosen.disturb
}

func (r *recounting) allKilled() {
	for _, w := range r.workers {
		w.kill()
	}
	r.broker.kill()
	r.broker.start()
	for _, w := range r.workers {
		w.start()
	}
}

// stopped makes a zombie: a process that does not know that its partitions are no longer its own, with a transaction open.
func (r *recounting) stopped(w *worker) {
	r.putIn()
	w.signal(syscall.SIGSTOP)
	eventually(r.t, "the others have counted what the zombie had", func() bool { return r.counted.Load() >= r.made })
	r.putIn()
	w.signal(syscall.SIGCONT)
	r.putIn()
}

func (r *recounting) loseState(w *worker) {
	if err := os.RemoveAll(w.state); err != nil {
		r.t.Fatal(err)
	}
}

// putIn puts the records of a round in.
func (r *recounting) putIn() {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	if err := r.client.ProduceSync(ctx, r.records()...).FirstErr(); err != nil {
		r.t.Fatal(err)
	}
	r.made += recountRecords
}

// records are at times that advance, one in twenty of them too late for its window.
func (r *recounting) records() []*kgo.Record {
	records := make([]*kgo.Record, recountRecords)
	for i := range records {
		r.clockMs += r.random.Int64N(100)
		atMs := r.clockMs - r.random.Int64N(2_000)
		if r.random.IntN(20) == 0 {
			atMs -= 30_000
		}
		value, _ := serde.Int64.Append(nil, r.random.Int64N(1_000_000))
		key := fmt.Sprintf("key-%d", r.random.IntN(recountKeys))
		records[i] = &kgo.Record{Topic: "data", Key: []byte(key), Value: value, Timestamp: time.UnixMilli(atMs)}
	}
	return records
}

// putInAborted puts records in that nobody may count.
func (r *recounting) putInAborted() {
	r.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(r.brokers), kgo.TransactionalID("undecided"))
	if err != nil {
		r.t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	if err := client.BeginTransaction(); err != nil {
		r.t.Fatal(err)
	}
	if err := client.ProduceSync(ctx, r.records()...).FirstErr(); err != nil {
		r.t.Fatal(err)
	}
	if err := client.EndTransaction(ctx, kgo.TryAbort); err != nil {
		r.t.Fatal(err)
	}
}

// follow counts the records of the topic "count" as they are committed.
func (r *recounting) follow() (stop func()) {
	ctx, cancel := context.WithCancel(r.t.Context())
	client, err := kgo.NewClient(kgo.SeedBrokers(r.brokers), kgo.AlwaysRetryEOF(), kgo.ConsumeTopics("count"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if err != nil {
		r.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			r.counted.Add(int64(client.PollFetches(ctx).NumRecords()))
		}
	}()
	return func() { cancel(); <-done; client.Close() }
}

// judge reads all topics to their ends and holds what came out against what had to.
func (r *recounting) judge() {
	r.t.Helper()
	data := r.read("data")
	want, err := recount(data)
	if err != nil {
		r.t.Fatal(err)
	}
	got := recounted{}
	for _, topic := range recountOutputs {
		if err := got.observe(r.read(topic)); err != nil {
			r.t.Fatalf("%s: %v", topic, err)
		}
	}
	differences := got.differences(want)
	for _, difference := range differences[:min(len(differences), 10)] {
		r.t.Error(difference)
	}
	if int64(len(data)) != r.made {
		r.t.Errorf("%d records were put in, not %d", len(data), r.made)
	}
	r.t.Logf("in %d, windows %d, differences %d", len(data), len(want["windows"]), len(differences))
}

// read returns the committed records of a topic, in the order of each partition.
func (r *recounting) read(topic string) (records []*kgo.Record) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	spans, err := consumer.Resolve(ctx, r.client, consumer.AtStart(), consumer.AtLogEnd(), topic)
	if err != nil {
		r.t.Fatal(err)
	}
	reader, err := consumer.NewReader(consumer.ReaderOptions{Client: []kgo.Opt{kgo.SeedBrokers(r.brokers)}, Spans: spans})
	if err != nil {
		r.t.Fatal(err)
	}
	defer reader.Close()
	for {
		portion, err := reader.Next(ctx)
		if errors.Is(err, io.EOF) {
			return records
		}
		if err != nil {
			r.t.Fatalf("read %s: %v", topic, err)
		}
		records = append(records, portion.Records...)
	}
}
