package streams_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/streams"
	"github.com/millrace/millrace/streams/serde"
	"github.com/millrace/millrace/streams/streamstest"
)

var (
	entries = streams.NewTopic("entries", serde.String, serde.String)
	totals  = streams.NewTopic("totals", serde.String, serde.Int64)
)

// at is a timestamp that reads well in milliseconds.
func at(ms int64) streamstest.SendOption { return streamstest.At(time.UnixMilli(ms)) }

// send sends one record per text, "key=value@timestamp": "-" for a key or a value that is missing.
func send(d *streamstest.Driver, topic streams.Topic[string, string], records ...string) {
	for _, text := range records {
		var key, value string
		var ms int64
		rest, stamp, _ := strings.Cut(text, "@")
		if _, err := fmt.Sscan(stamp, &ms); err != nil {
			panic(text)
		}
		key, value, _ = strings.Cut(rest, "=")
		options := []streamstest.SendOption{at(ms)}
		if key == "-" {
			options = append(options, streamstest.NoKey())
		}
		if value == "-" {
			options = append(options, streamstest.NoValue())
		}
		streamstest.Send(d, topic, key, value, options...)
	}
	d.Drain()
}

// read returns what was committed to a topic, as send takes it.
func read[K, V any](d *streamstest.Driver, topic streams.Topic[K, V]) (all []string) {
	for _, r := range streamstest.Read(d, topic) {
		key, value := fmt.Sprint(r.Key), fmt.Sprint(r.Value)
		if r.NoKey {
			key = "-"
		}
		if r.NoValue {
			value = "-"
		}
		all = append(all, fmt.Sprintf("%s=%s@%d", key, value, r.Timestamp.UnixMilli()))
	}
	return all
}

// expect compares what was committed to a topic.
func expect[K, V any](t *testing.T, d *streamstest.Driver, topic streams.Topic[K, V], want ...string) {
	t.Helper()
	if got := read(d, topic); !slices.Equal(got, want) {
		t.Errorf("topic %s:\n got %s\nwant %s", topic.Name(), strings.Join(got, "  "), strings.Join(want, "  "))
	}
}

func expectDropped(t *testing.T, d *streamstest.Driver, node, reason string, want int64) {
	t.Helper()
	if got := d.Dropped(node, reason); got != want {
		t.Errorf("node %s left out %d records as %s, want %d", node, got, reason, want)
	}
}
