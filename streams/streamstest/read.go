package streamstest

import (
	"fmt"
	"math"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/streams"
	"github.com/millrace/millrace/streams/internal/engine"
)

// Record is a record of a topic, decoded.
type Record[K, V any] struct {
	streams.Record[K, V]
	Partition int
	Offset    int64
}

// Read returns all committed records of a topic, partition by partition.
func Read[K, V any](d *Driver, topic streams.Topic[K, V]) []Record[K, V] {
	d.t.Helper()
	var all []Record[K, V]
	for _, r := range d.Records(topic.Name()) {
		key, value, err := topic.Decode(r)
		if err != nil {
			d.t.Fatalf("offset %d of %s-%d does not decode: %v", r.Offset, r.Topic, r.Partition, err)
		}
		all = append(all, Record[K, V]{
			Record: streams.Record[K, V]{
				Key: key, Value: value, NoKey: r.Key == nil, NoValue: r.Value == nil, Timestamp: r.Timestamp, Headers: r.Headers,
			},
			Partition: int(r.Partition), Offset: r.Offset,
		})
	}
	return all
}

// Latest returns the last committed value of each key of a topic. Keys whose last record is a deletion are not in it.
func Latest[K comparable, V any](d *Driver, topic streams.Topic[K, V]) map[K]V {
	d.t.Helper()
	all := map[K]V{}
	for _, r := range Read(d, topic) {
		if r.NoValue {
			delete(all, r.Key)
		} else {
			all[r.Key] = r.Value
		}
	}
	return all
}

// Records returns all committed records of a topic as they are, partition by partition. The name is the topology's, that of a
// topic of dead letters, or that of a [Driver.Changelog]. They must not be changed.
func (d *Driver) Records(topic string) (all []*kgo.Record) {
	d.t.Helper()
	for i, log := range d.topic(topic).Partitions {
		records, _, err := log.Read(log.Start(), math.MaxInt)
		if err != nil {
			d.t.Fatalf("read %s-%d: %v", topic, i, err)
		}
		all = append(all, records...)
	}
	return all
}

// Dropped returns how many records a node has left out for a reason: "ahead", "decode", "error", "late", "null_key",
// "null_value" or "produce". It is what the metrics show: records that were processed again after a crash count again.
func (d *Driver) Dropped(node, reason string) int64 {
	d.t.Helper()
	if d.program.Graph.Node(node) == nil {
		var names []string
		for _, n := range d.program.Graph.Nodes {
			names = append(names, n.Name)
		}
		d.t.Fatalf("no node %s: the topology has %s", node, strings.Join(names, ", "))
	}
	r, err := reasonOf(reason)
	if err != nil {
		d.t.Fatal(err)
	}
	return d.counters.Nodes()[node].Dropped[r]
}

func reasonOf(name string) (engine.Reason, error) {
	for _, r := range engine.Reasons() {
		if r.String() == name {
			return r, nil
		}
	}
	return 0, fmt.Errorf("no reason %s: there are %v", name, engine.Reasons())
}
