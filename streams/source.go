package streams

import (
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/streams/internal/engine"
	"github.com/millrace/millrace/streams/internal/graph"
	"github.com/millrace/millrace/streams/serde"
)

// From returns the records of a topic.
func From[K, V any](t *Topology, topic Topic[K, V], options ...SourceOption) Stream[K, V] {
	return FromAll(t, []Topic[K, V]{topic}, options...)
}

// FromAll returns the records of several topics, which need not have the same codecs. Those of one partition number take turns by
// timestamp.
func FromAll[K, V any](t *Topology, topics []Topic[K, V], options ...SourceOption) Stream[K, V] {
	if t == nil {
		panic("streams: a source without a topology: make one with NewTopology")
	}
	if len(topics) == 0 {
		t.fail("source", "it reads no topic: name at least one")
		return Stream[K, V]{newPort[K, V](t, &graph.Node{Name: "source", Kind: graph.Source})}
	}
	return from(t, topics, false, options)
}

func from[K, V any](t *Topology, topics []Topic[K, V], internal bool, options []SourceOption) Stream[K, V] {
	var o sourceOptions
	for _, option := range options {
		if option == nil {
			t.fail(topics[0].name, "one of its options is nil")
			continue
		}
		option(&o)
	}
	n := graph.Node{Name: t.free(topics[0].name), Kind: graph.Source, Operator: "source"}
	policy := t.follow(n.Name, o.onDecodeError)
	n.DeadLetters = policy.DeadLetters
	for _, topic := range topics {
		if topic.lacksCodec(t) {
			return Stream[K, V]{newPort[K, V](t, &n)}
		}
		t.graph.AddTopic(topic.describe(internal))
		n.Topics = append(n.Topics, topic.name)
	}
	added := t.node(n)
	timestamp, ok := o.timestamp.(func(K, V) time.Time)
	if o.timestamp != nil && !ok {
		t.fail(n.Name, "TimestampBy has a %T, needed is a %T", o.timestamp, timestamp)
	} else if o.timestamp != nil {
		t.needs(added, argument{"of TimestampBy", timestamp})
	}
	if o.fromEnd {
		t.fromEnd = append(t.fromEnd, n.Topics...)
	}
	out := newPort[K, V](t, added)
	t.sources = append(t.sources, &source{topics: n.Topics, build: func(b *build) (map[string]engine.Input, error) {
		next, err := out.receiver(b)
		if err != nil {
			return nil, err
		}
		inputs := map[string]engine.Input{}
		for _, topic := range topics {
			d := &decoder[K, V]{site: b.site, node: b.site.Node(added.Name), key: topic.key, value: topic.value,
				policy: policy, timestamp: timestamp, next: next}
			inputs[topic.name] = d.input()
		}
		return inputs, nil
	}})
	return Stream[K, V]{out}
}

// SourceOption is an option of From, FromAll and TableFrom.
type SourceOption func(*sourceOptions)

type sourceOptions struct {
	onDecodeError Policy
	timestamp     any // func(K, V) time.Time
	fromEnd       bool
}

// OnDecodeError sets what becomes of records whose key or value is not what the topic's codecs say, and of records without a
// timestamp (-1). Otherwise they end Run.
func OnDecodeError(policy Policy) SourceOption {
	return func(o *sourceOptions) { o.onDecodeError = policy }
}

// TimestampBy takes the time of a record from its contents; otherwise it is the record's own timestamp. It must depend on nothing
// else. K and V are the topic's. Records without a value keep their own timestamp.
func TimestampBy[K, V any](timestamp func(key K, value V) time.Time) SourceOption {
	return func(o *sourceOptions) { o.timestamp = timestamp }
}

// FromEnd decides about partitions of which the application has committed nothing: they are read from their end, as it is when a
// process first has them, and not from their start. The next commit says so, and from then on all is read, also what comes while
// no process runs. Where something is committed it changes nothing. So it counts at the first start, after a reset, and for
// partitions that are added to a topic, of which the records before a process notices them are not read. It holds for a topic, for
// all sources that read it; a table from the end lacks the rows from before.
func FromEnd() SourceOption {
	return func(o *sourceOptions) { o.fromEnd = true }
}

// decoder makes typed records of those of one topic.
type decoder[K, V any] struct {
	site      *engine.Site
	node      *engine.Node
	key       serde.Serde[K]
	value     serde.Serde[V]
	policy    engine.Policy
	timestamp func(K, V) time.Time // nil: the record's own
	next      receive[K, V]

	ahead struct { // a record whose time was asked for before its turn
		record *kgo.Record
		key    K
		value  V
		timeMs int64
		err    error
	}
}

func (d *decoder[K, V]) input() engine.Input {
	if d.timestamp == nil {
		return engine.Input{Receive: d.receive, Keys: d.key}
	}
	return engine.Input{Receive: d.receiveTimed, TimestampMs: d.lookAhead, Keys: d.key}
}

func (d *decoder[K, V]) receive(record *kgo.Record) error {
	m := d.site.Begin(d.node, record)
	key, value, err := d.decode(record)
	return d.pass(key, value, record.Timestamp.UnixMilli(), err, m)
}

// lookAhead returns the time of a record before its turn, and keeps what it had to decode for that.
func (d *decoder[K, V]) lookAhead(record *kgo.Record) int64 {
	a := &d.ahead
	d.site.Begin(d.node, record)
	a.record, a.timeMs = record, record.Timestamp.UnixMilli()
	a.key, a.value, a.err = d.decode(record)
	if a.err == nil && record.Value != nil {
		a.timeMs = d.timestamp(a.key, a.value).UnixMilli()
	}
	return a.timeMs
}

func (d *decoder[K, V]) receiveTimed(record *kgo.Record) error {
	if d.ahead.record != record {
		d.lookAhead(record)
	}
	d.ahead.record = nil
	return d.pass(d.ahead.key, d.ahead.value, d.ahead.timeMs, d.ahead.err, d.site.Begin(d.node, record))
}

// pass lets a record begin its way through the operators.
func (d *decoder[K, V]) pass(key K, value V, timestampMs int64, err error, m *engine.Meta) error {
	d.node.Processed++
	if err == nil && timestampMs < 0 {
		err = fmt.Errorf("timestamp %d: a record needs a time, its own or one by TimestampBy", timestampMs)
	}
	if err != nil {
		return d.site.Reject(d.node, d.policy, engine.Decode, err, m, nil)
	}
	d.site.Observe(timestampMs)
	d.node.Emitted++
	return d.next(key, value, m)
}

func (d *decoder[K, V]) decode(record *kgo.Record) (key K, value V, err error) {
	if record.Key != nil {
		if key, err = d.key.Decode(record.Key); err != nil {
			return key, value, fmt.Errorf("decode the key: %w", err)
		}
	}
	if record.Value != nil {
		if value, err = d.value.Decode(record.Value); err != nil {
			return key, value, fmt.Errorf("decode the value: %w", err)
		}
	}
	return key, value, nil
}

// both gives an input's records to the receivers of two sources of one topic.
func both(a, b engine.Input) engine.Input {
	if a.Receive == nil {
		return b
	}
	joined := engine.Input{TimestampMs: a.TimestampMs, Keys: a.Keys, Receive: func(record *kgo.Record) error {
		if err := a.Receive(record); err != nil {
			return err
		}
		return b.Receive(record)
	}}
	if joined.TimestampMs == nil {
		joined.TimestampMs = b.TimestampMs
	}
	return joined
}
