// Command recount is the application of the end-to-end tests of streams: everything that it puts out can be computed again
// from what it was given, record by record. It runs until SIGTERM.
//
//	recount -brokers host:port,... -state DIR [-session 6s]
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams"
	"github.com/millrace/millrace/streams/serde"
	"github.com/millrace/millrace/windows"
	"github.com/twmb/franz-go/pkg/kgo"
)

func main() {
	brokers := flag.String("brokers", "127.0.0.1:9092", "brokers, as `host:port,...`")
	stateDir := flag.String("state", "", "where the process keeps its state")
	session := flag.Duration("session", 6*time.Second, "after what time without a sign of life the process's partitions go to others")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	err := topology().Run(ctx, streams.Config{
		App:      "recount",
		Brokers:  strings.Split(*brokers, ","),
		StateDir: *stateDir,
		Client:   []kgo.Opt{kgo.SessionTimeout(*session), kgo.HeartbeatInterval(*session / 6)},
		Logger:   slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "recount:", err)
		os.Exit(1)
	}
}

// Window is how long a window of the topic "windows" is, and Grace how long it stays open.
const (
	Window = 10 * time.Second
	Grace  = 5 * time.Second
)

var (
	data     = topic("data")
	echo     = topic("echo")
	least    = topic("min")
	greatest = topic("max")
	sum      = topic("sum")
	count    = topic("count")
	late     = topic("late")
	windowed = streams.NewTopic("windows", serde.Windowed(serde.String), serde.Int64)
	byKey    = topic("by-key") // a repartition topic, though each record stays where it is
)

func topic(name string) streams.Topic[string, int64] {
	return streams.NewTopic(name, serde.String, serde.Int64)
}

func store(name string) state.KV[string, int64] { return state.NewKV(name, serde.String, serde.Int64) }

// topology has an output for each way in which records go through an application: as they are, through a store, through
// several stores, through another topic, through windows.
func topology() *streams.Topology {
	t := streams.NewTopology()
	in := streams.From(t, data)
	in.To(echo)
	keyed := in.GroupByKey()
	keyed.Reduce(store("min"), func(a, b int64) int64 { return min(a, b) }).ToStream().To(least)
	keyed.Reduce(store("max"), func(a, b int64) int64 { return max(a, b) }).ToStream().To(greatest)
	keyed.Reduce(store("sum"), func(a, b int64) int64 { return a + b }).ToStream().To(sum)
	streams.GroupBy(in, byKey, func(key string, _ int64) string { return key }).Count(store("count")).ToStream().To(count)
	w := keyed.Window(windows.Tumbling(Window).Grace(Grace))
	w.Late().To(late)
	streams.WindowsToStream(w.Count(state.NewWindow("windows", serde.String, serde.Int64))).To(windowed)
	return t
}
