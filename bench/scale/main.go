// scale loads a Kafka-compatible broker with many of something and prints what they cost: partitions, groups or idle
// connections. It starts the broker itself, on a new directory, and starts it again to see what a start costs then.
//
//	scale -mode partitions -count 10000 -addr 127.0.0.1:19099 -clean DIR -- PROGRAM ARGUMENT...
package main

import (
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/bench/internal/rep"
)

var (
	mode    = flag.String("mode", "partitions", "partitions, groups or connections")
	count   = flag.Int("count", 10000, "how many")
	address = flag.String("addr", "127.0.0.1:27092", "where the broker will listen")
	clean   = flag.String("clean", "", "the broker's directory, deleted before the first start")
	label   = flag.String("label", "", "put before each row")
	idleFor = flag.Duration("idle", 10*time.Second, "how long the processor time of an idle broker is measured")
)

func main() {
	flag.Parse()
	if *clean != "" {
		rep.Must(os.RemoveAll(*clean))
	}
	load := map[string]func(*server){"partitions": partitions, "groups": groups, "connections": connections}[*mode]
	if load == nil {
		rep.Must(fmt.Errorf("-mode %s: partitions, groups or connections", *mode))
	}
	s := start()
	defer s.kill()
	s.tell("empty")
	load(s)
}

// row prints one figure.
func row(what string, value float64, unit string) {
	rep.Row(*label+" "+what, unit, []float64{value})
}

// admin returns a client for administration; it lives as long as the program.
func admin() *kadm.Client {
	client, err := kgo.NewClient(kgo.SeedBrokers(*address), kgo.RequestTimeoutOverhead(time.Minute))
	rep.Must(err)
	return kadm.NewClient(client)
}
