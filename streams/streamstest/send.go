package streamstest

import (
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/streams"
)

// SendOption says more about a record than its key and value.
type SendOption func(*kgo.Record)

// At sets the record's timestamp. Default: what the driver's clock shows.
func At(timestamp time.Time) SendOption { return func(r *kgo.Record) { r.Timestamp = timestamp } }

// OnPartition sets the partition. Default: the one that Kafka's clients choose for the key.
func OnPartition(partition int) SendOption {
	return func(r *kgo.Record) { r.Partition = int32(partition) }
}

// WithHeader adds a header.
func WithHeader(key, value string) SendOption {
	return func(r *kgo.Record) { r.Headers = append(r.Headers, kgo.RecordHeader{Key: key, Value: []byte(value)}) }
}

// NoKey leaves the key out; records without one go around the partitions.
func NoKey() SendOption { return func(r *kgo.Record) { r.Key = nil } }

// NoValue leaves the value out, as for a deletion.
func NoValue() SendOption { return func(r *kgo.Record) { r.Value = nil } }

// Send appends a record to a topic that the topology reads.
func Send[K, V any](d *Driver, topic streams.Topic[K, V], key K, value V, options ...SendOption) {
	d.t.Helper()
	r, err := topic.Record(key, value)
	if err != nil {
		d.t.Fatalf("send to %s: %v", topic.Name(), err)
	}
	r.Timestamp, r.Partition = d.now, -1
	for _, set := range options {
		set(r)
	}
	d.SendRecord(r)
}

// Delete appends a record without a value.
func Delete[K, V any](d *Driver, topic streams.Topic[K, V], key K, options ...SendOption) {
	d.t.Helper()
	var none V
	Send(d, topic, key, none, append(options, NoValue())...)
}

// SendRecord appends a record as it is: bytes that do not decode, for example. It goes to r.Topic, and to r.Partition unless that
// is negative. The zero timestamp is sent as -1, which stands for none.
func (d *Driver) SendRecord(r *kgo.Record) {
	d.t.Helper()
	r = copyOf(r)
	r.Topic = d.topic(r.Topic).Name
	if r.Timestamp.IsZero() {
		r.Timestamp = time.UnixMilli(-1)
	}
	if err := d.outside.Produce(r); err != nil {
		d.t.Fatalf("send: %v", err)
	}
}
