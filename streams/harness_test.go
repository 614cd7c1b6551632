package streams

import (
	"errors"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/consumer"
	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams/internal/engine"
	"github.com/millrace/millrace/streams/serde"
)

// harness runs the tasks of a topology for one partition, on topics in memory. What they produce they also read.
type harness struct {
	t        testing.TB
	app      string
	tasks    []*engine.Task
	topics   map[string][]*kgo.Record // by their names in Kafka
	offsets  map[*engine.Task]map[string]int
	counters *engine.Counters
	now      time.Time

	keepNothing bool           // of what is produced
	partitions  map[string]int // of topics, by their names in Kafka; others have one
}

func newHarness(t testing.TB, topology *Topology) *harness {
	t.Helper()
	return newHarnessAt(t, topology, nil, nil)
}

// newHarnessAt begins with what was committed as metadata, by topic. Topics have one partition unless partitions says otherwise.
func newHarnessAt(t testing.TB, topology *Topology, metadata map[string]string, partitions map[string]int) *harness {
	t.Helper()
	h, err := openHarness(t, topology, metadata, partitions)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func openHarness(t testing.TB, topology *Topology, metadata map[string]string, partitions map[string]int) (*harness, error) {
	t.Helper()
	program, err := Compile(topology)
	if err != nil {
		return nil, err
	}
	h := &harness{t: t, app: "app", topics: map[string][]*kgo.Record{}, offsets: map[*engine.Task]map[string]int{},
		counters: engine.NewCounters(), now: time.UnixMilli(1_000_000), partitions: partitions}
	for _, sub := range program.Subtopologies {
		task, err := engine.OpenTask(sub, engine.TaskID{Subtopology: sub.Name}, h.environment())
		if err != nil {
			return nil, err
		}
		t.Cleanup(func() {
			if err := task.Close(); err != nil {
				t.Error(err)
			}
		})
		contained := map[string]state.Changelog{}
		for _, log := range task.Changelogs() {
			contained[log.Store] = state.Changelog{}
		}
		if err := errors.Join(task.RestoreDone(contained), task.Resume(metadata)); err != nil {
			return nil, err
		}
		h.tasks = append(h.tasks, task)
		h.offsets[task] = map[string]int{}
		for _, topic := range sub.Sources {
			h.offsets[task][sub.Graph.KafkaTopic(h.app, topic)] = 0
		}
	}
	return h, nil
}

func (h *harness) environment() engine.Environment {
	return engine.Environment{
		App: h.app, Session: "s", State: state.Options{Dir: h.t.TempDir()}, Produce: h.produce,
		Now: func() time.Time { return h.now },
		PartitionsOf: func(topic string) int {
			if n, set := h.partitions[topic]; set {
				return n
			}
			return 1
		},
		Counters: h.counters,
	}
}

func (h *harness) produce(records ...*kgo.Record) error {
	for _, record := range records {
		if h.keepNothing {
			record.Offset = 1
			continue
		}
		kept := *record
		kept.Offset = int64(len(h.topics[record.Topic]))
		record.Offset = kept.Offset
		h.topics[record.Topic] = append(h.topics[record.Topic], &kept)
	}
	return nil
}

// send appends a record to a topic and has everything processed that comes of it. Key and value may be nil.
func (h *harness) send(topic string, timestampMs int64, key, value []byte, headers ...kgo.RecordHeader) error {
	_ = h.produce(&kgo.Record{Topic: topic, Key: key, Value: value, Timestamp: time.UnixMilli(timestampMs), Headers: headers})
	return h.process()
}

func (h *harness) process() error {
	for range 10 { // as deep as topologies of tests go
		for _, task := range h.tasks {
			for topic, from := range h.offsets[task] {
				end := len(h.topics[topic])
				if err := task.Add(topic, h.topics[topic][from:], int64(end), int64(end)); err != nil {
					return err
				}
				h.offsets[task][topic] = end
			}
			if err := task.Process(h.t.Context()); err != nil {
				return err
			}
		}
	}
	return nil
}

// mustSend is send of text that must not fail.
func (h *harness) mustSend(topic string, timestampMs int64, key, value string) {
	h.t.Helper()
	if err := h.send(topic, timestampMs, []byte(key), []byte(value)); err != nil {
		h.t.Fatal(err)
	}
}

// commit commits all tasks.
func (h *harness) commit() map[string]consumer.Offset {
	h.t.Helper()
	all := map[string]consumer.Offset{}
	for _, task := range h.tasks {
		offsets, err := task.Prepare(h.t.Context())
		if err != nil {
			h.t.Fatal(err)
		}
		for topic, offset := range offsets {
			all[topic] = offset
		}
		if err := task.Committed(h.t.Context()); err != nil {
			h.t.Fatal(err)
		}
	}
	return all
}

// text shows what is in a topic: "key=value@timestamp" of each record, nil as "-".
func (h *harness) text(topic string) []string {
	var all []string
	for _, r := range h.topics[topic] {
		all = append(all, part(r.Key)+"="+part(r.Value)+"@"+itoa(r.Timestamp.UnixMilli()))
	}
	return all
}

func part(data []byte) string {
	if data == nil {
		return "-"
	}
	return string(data)
}

var (
	texts  = NewTopic("in", serde.String, serde.String)
	result = NewTopic("out", serde.String, serde.String)
)

func header(key, value string) kgo.RecordHeader {
	return kgo.RecordHeader{Key: key, Value: []byte(value)}
}
