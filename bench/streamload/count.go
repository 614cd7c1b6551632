package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/pprof"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/bench/internal/proc"
	"github.com/millrace/millrace/bench/internal/rep"
	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams"
	"github.com/millrace/millrace/streams/serde"
)

var counts = state.NewKV("counts", serde.String, serde.Int64)

// figures are those of each run of a guarantee.
type figures struct{ rate, own, broker []float64 }

// counting measures from the first record that is processed until all are counted and committed.
func counting() {
	topic := fmt.Sprintf("in-%d", time.Now().UnixNano())
	fill(topic, *records, random(*keys))
	guarantees := []streams.Guarantee{streams.ExactlyOnce}
	if *loose {
		guarantees = append(guarantees, streams.AtLeastOnce)
	}
	all := make([]figures, len(guarantees))
	for run := 0; run <= *runs; run++ {
		for i, guarantee := range guarantees {
			one := countOnce(topic, fmt.Sprintf("count-%d-%d-%d", time.Now().UnixNano(), run, i), guarantee, run == *runs && i == 0)
			if run > 0 { // the first is not counted
				all[i].rate = append(all[i].rate, one.rate...)
				all[i].own = append(all[i].own, one.own...)
				all[i].broker = append(all[i].broker, one.broker...)
			}
		}
	}
	remove(topic, topic)
	for i, name := range []string{"exactly once", "at least once"}[:len(guarantees)] {
		rep.Row(fmt.Sprintf("%scount %s, %d keys, commits each %v", *label, name, *keys, *commit), "records/s", all[i].rate)
		rep.Row("  application cpu", "ns/record", all[i].own)
		if *pid != 0 {
			rep.Row("  broker cpu", "ns/record", all[i].broker)
		}
	}
}

func countOnce(topic, name string, guarantee streams.Guarantee, last bool) figures {
	stateDir := filepath.Join(*dir, name)
	defer os.RemoveAll(stateDir)
	defer remove(name)
	var seen int
	first, all := make(chan struct{}), make(chan struct{})
	topology := streams.NewTopology()
	streams.From(topology, streams.NewTopic(topic, serde.String, serde.Bytes)).Peek(func(string, []byte) {
		switch seen++; seen {
		case 1:
			close(first)
		case *records:
			close(all)
		}
	}).GroupByKey().Count(counts)
	app, err := streams.New(topology, streams.Config{
		App: name, Brokers: []string{*broker}, StateDir: stateDir, Guarantee: guarantee, CommitInterval: *commit, CacheBytes: 1 << 30,
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	rep.Must(err)
	ended := make(chan error, 1)
	go func() { ended <- app.Run(context.Background()) }()
	await(first, ended)
	if last && *profile != "" {
		file, err := os.Create(*profile)
		rep.Must(err)
		rep.Must(pprof.StartCPUProfile(file))
		defer file.Close()
		defer pprof.StopCPUProfile()
	}
	user, system := rep.CPU()
	brokerCPU, start := proc.CPU(*pid), time.Now()
	await(all, ended)
	awaitCommit(name, topic)
	took := time.Since(start)
	userEnd, systemEnd := rep.CPU()
	n := float64(*records)
	f := figures{
		rate:   []float64{n / took.Seconds()},
		own:    []float64{float64((userEnd - user + systemEnd - system).Nanoseconds()) / n},
		broker: []float64{float64((proc.CPU(*pid) - brokerCPU).Nanoseconds()) / n},
	}
	checkCounts(app)
	app.Close()
	rep.Must(<-ended)
	return f
}

func await(done <-chan struct{}, ended <-chan error) {
	select {
	case <-done:
	case err := <-ended:
		rep.Must(fmt.Errorf("the application ended: %w", err))
	}
}

// awaitCommit waits until the group's offset is behind the last record.
func awaitCommit(group, topic string) {
	client, err := kgo.NewClient(kgo.SeedBrokers(*broker))
	rep.Must(err)
	defer client.Close()
	admin := kadm.NewClient(client)
	for {
		offsets, err := admin.FetchOffsets(context.Background(), group)
		rep.Must(err)
		if o, found := offsets.Lookup(topic, 0); found && o.At >= int64(*records) {
			return
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// checkCounts stops the program if the counts do not add up: a figure of something wrong says nothing. The application learns of its last
// commit a little later than the group does.
func checkCounts(app *streams.App) {
	var sum int64
	for deadline := time.Now().Add(5 * time.Second); sum != int64(*records); {
		if time.Now().After(deadline) {
			rep.Must(fmt.Errorf("%d records are counted as %d", *records, sum))
		}
		sum = 0
		for row, err := range streams.Range(context.Background(), app, counts, nil, nil) {
			rep.Must(err)
			sum += row.Value
		}
	}
}
