package streams

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/consumer"
	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams/internal/engine"
	"github.com/millrace/millrace/streams/serde"
)

var errWanted = errors.New("wanted")

// picky are topologies with one node that cannot process the value "bad", and what it counts that as.
var picky = map[string]struct {
	node   string
	reason engine.Reason
	build  func(*Topology, Policy)
}{
	"decode": {"ints", engine.Decode, func(t *Topology, policy Policy) {
		s := From(t, NewTopic("ints", serde.String, picks), OnDecodeError(policy))
		s.To(result)
	}},
	"encode": {"out", engine.Produce, func(t *Topology, policy Policy) {
		From(t, NewTopic("ints", serde.String, serde.String)).To(NewTopic("out", serde.String, picks), OnProduceError(policy))
	}},
	"partition": {"out", engine.Produce, func(t *Topology, policy Policy) {
		From(t, NewTopic("ints", serde.String, serde.String)).To(result, OnProduceError(policy),
			PartitionBy(func(_, value string, n int) int { return n - 1 + strings.Count(value, "bad") }))
	}},
	"try filter": {"try", engine.Failed, func(t *Topology, policy Policy) {
		s := From(t, NewTopic("ints", serde.String, serde.String))
		TryFilter(s, "try", func(_, value string) (bool, error) { return true, badness(value) }, policy).To(result)
	}},
	"try map values": {"try", engine.Failed, func(t *Topology, policy Policy) {
		s := From(t, NewTopic("ints", serde.String, serde.String))
		TryMapValues(s, "try", func(value string) (string, error) { return value, badness(value) }, policy).To(result)
	}},
	"try map": {"try", engine.Failed, func(t *Topology, policy Policy) {
		s := From(t, NewTopic("ints", serde.String, serde.String))
		TryMap(s, "try", func(key, value string) (string, string, error) { return key, value, badness(value) }, policy).To(result)
	}},
	"try flat map values": {"try", engine.Failed, func(t *Topology, policy Policy) {
		s := From(t, NewTopic("ints", serde.String, serde.String))
		TryFlatMapValues(s, "try", func(value string) (iter.Seq[string], error) {
			return strings.FieldsSeq(value), badness(value)
		}, policy).To(result)
	}},
	"process": {"try", engine.Failed, func(t *Topology, policy Policy) {
		s := From(t, NewTopic("ints", serde.String, serde.String))
		Process(s, "try", func() Processor[string, string, string, string] {
			return ProcessFunc[string, string, string, string](func(ctx *Context[string, string], r Record[string, string]) error {
				if err := badness(r.Value); err != nil {
					return err
				}
				return ctx.Forward(r)
			})
		}, ProcessOptions{OnError: policy}).To(result)
	}},
}

func badness(value string) error {
	if value == "bad" {
		return errWanted
	}
	return nil
}

// picks is text but for "bad".
var picks = serde.Of("picks",
	func(dst []byte, value string) ([]byte, error) { return append(dst, value...), badness(value) },
	func(data []byte) (string, error) { return string(data), badness(string(data)) })

func TestPolicies(t *testing.T) {
	for name, c := range picky {
		t.Run(name, func(t *testing.T) {
			for policyName, policy := range map[string]Policy{"fail": Fail, "skip": Skip, "dead letter": DeadLetter("dead")} {
				topology := NewTopology()
				c.build(topology, policy)
				h := newHarness(t, topology)
				h.mustSend("ints", 1, "k", "good")
				err := h.send("ints", 2, []byte("k"), []byte("bad"), header("own", "x"))
				if policyName == "fail" {
					checkNodeError(t, err, c.node, "ints", 1)
					continue
				}
				if err != nil {
					t.Fatalf("%s: %v", policyName, err)
				}
				h.mustSend("ints", 3, "k", "fine")
				if got := strings.Join(h.text("out"), " "); got != "k=good@1 k=fine@3" {
					t.Errorf("%s: %s", policyName, got)
				}
				if n := h.counters.Nodes()[c.node].Dropped[c.reason]; n != 1 {
					t.Errorf("%s: %d are counted as %v at node %s", policyName, n, c.reason, c.node)
				}
				if letters := h.topics["dead"]; (len(letters) > 0) != (policyName == "dead letter") {
					t.Errorf("%s: %d dead letters", policyName, len(letters))
				} else if len(letters) > 0 {
					checkLetter(t, letters[0], c.node)
				}
			}
		})
	}
}

func checkNodeError(t *testing.T, err error, node, topic string, offset int64) {
	t.Helper()
	var where *engine.NodeError
	if !errors.As(err, &where) || where.Node != node || where.Topic != topic || where.Offset != offset {
		t.Errorf("%v, want an error of node %s at offset %d of %s", err, node, offset, topic)
	}
}

func checkLetter(t *testing.T, letter *kgo.Record, node string) {
	t.Helper()
	got := map[string]string{}
	for _, header := range letter.Headers {
		got[header.Key] = string(header.Value)
	}
	want := map[string]string{"own": "x", DeadLetterNode: node, consumer.DeadLetterTopic: "ints",
		consumer.DeadLetterPartition: "0", consumer.DeadLetterOffset: "1", consumer.DeadLetterCause: got[consumer.DeadLetterCause]}
	if len(got) != len(want) || got[consumer.DeadLetterCause] == "" {
		t.Errorf("headers %q", got)
	}
	for key, value := range want {
		if got[key] != value {
			t.Errorf("header %s is %q, want %q", key, got[key], value)
		}
	}
	if string(letter.Key) != "k" || string(letter.Value) != "bad" || letter.Timestamp.UnixMilli() != 2 {
		t.Errorf("the letter is %s=%s@%v", letter.Key, letter.Value, letter.Timestamp)
	}
}

func TestRecordsWithoutATimeAreNotTaken(t *testing.T) {
	topology := NewTopology()
	From(topology, texts, OnDecodeError(Skip)).To(result)
	h := newHarness(t, topology)
	h.mustSend("in", -1, "k", "v")
	h.mustSend("in", 0, "k", "v")
	if got := strings.Join(h.text("out"), " "); got != "k=v@0" || h.counters.Nodes()["in"].Dropped[engine.Decode] != 1 {
		t.Errorf("%s, counted %v", got, h.counters.Nodes()["in"])
	}
	failing := NewTopology()
	From(failing, texts).To(result)
	err := newHarness(t, failing).send("in", -1, nil, nil)
	checkNodeError(t, err, "in", "in", 0)
	if err == nil || !strings.Contains(err.Error(), "TimestampBy") {
		t.Errorf("%v does not say what to do", err)
	}
}

func TestRecordsThatAreTooLargeAreNotProduced(t *testing.T) {
	topology := NewTopology()
	From(topology, texts).To(result, OnProduceError(Skip))
	h := newHarness(t, topology)
	h.mustSend("in", 1, "k", strings.Repeat("x", 2_000_000))
	h.mustSend("in", 2, "k", "v")
	if got := strings.Join(h.text("out"), " "); got != "k=v@2" || h.counters.Nodes()["out"].Dropped[engine.Produce] != 1 {
		t.Errorf("%.100s, counted %v", got, h.counters.Nodes()["out"])
	}
	failing := NewTopology()
	From(failing, texts).To(result)
	err := newHarness(t, failing).send("in", 1, nil, make([]byte, 2_000_000))
	checkNodeError(t, err, "out", "in", 0)
	if !errors.Is(err, kerr.MessageTooLarge) {
		t.Error(err)
	}
	letters := NewTopology()
	From(letters, texts).To(result, OnProduceError(DeadLetter("dead")))
	err = newHarness(t, letters).send("in", 1, nil, make([]byte, 2_000_000))
	checkNodeError(t, err, "out", "in", 0)
	if err == nil || !strings.Contains(err.Error(), "the dead letter for topic dead") {
		t.Errorf("%v does not say that the dead letter is too large as well", err)
	}
}

func TestPanicsNameTheNodeAndTheRecord(t *testing.T) {
	panics := func(value string) string {
		if value == "bad" {
			panic("boom")
		}
		return value
	}
	for name, build := range map[string]func(Stream[string, string]) Stream[string, string]{
		"op-2": func(s Stream[string, string]) Stream[string, string] { return MapValues(s, panics) },
		"try": func(s Stream[string, string]) Stream[string, string] {
			return TryMapValues(s, "try", func(value string) (string, error) { return panics(value), nil }, Skip)
		},
		"op-3": func(s Stream[string, string]) Stream[string, string] {
			return FlatMapValues(MapValues(s, func(value string) string { return value }), func(value string) iter.Seq[string] {
				return func(yield func(string) bool) { _ = yield("first") && yield(panics(value)) }
			})
		},
	} {
		topology := NewTopology()
		s := From(topology, texts).Peek(func(string, string) {})
		build(s).FilterNot(func(_, value string) bool { return value == "" }).To(result)
		h := newHarness(t, topology)
		h.mustSend("in", 1, "k", "good")
		err := h.send("in", 2, []byte("k"), []byte("bad"))
		checkNodeError(t, err, name, "in", 1)
		var panicked *consumer.PanicError
		if !errors.As(err, &panicked) || panicked.Value != "boom" || !strings.Contains(string(panicked.Stack), "policy_test.go") {
			t.Errorf("%v has no stack of the function", err)
		}
	}
}

// TestErrorsThatNoRecordIsToBlameForAreNotThePolicys has a processor pass on that the stores are broken: to leave the record out would
// lose it.
func TestErrorsThatNoRecordIsToBlameForAreNotThePolicys(t *testing.T) {
	for _, cause := range []error{state.ErrBroken, state.ErrDamaged, state.ErrClosed} {
		topology := NewTopology()
		processFunc(From(topology, texts), ProcessOptions{OnError: Skip}, func(*Context[string, string], Record[string, string]) error {
			return fmt.Errorf("put: %w", cause)
		}).To(result)
		err := newHarness(t, topology).send("in", 1, nil, nil)
		var where *engine.NodeError
		if !errors.Is(err, cause) || errors.As(err, &where) {
			t.Errorf("%v", err)
		}
	}
	topology := NewTopology()
	ctx, cancel := context.WithCancel(t.Context())
	processFunc(From(topology, texts), ProcessOptions{OnError: DeadLetter("dead")}, func(c *Context[string, string], _ Record[string, string]) error {
		cancel()
		return c.Context().Err()
	}).To(result)
	h := newHarness(t, topology)
	if err := h.tasks[0].Add("in", []*kgo.Record{{Topic: "in", Timestamp: time.UnixMilli(1)}}, 1, 1); err != nil {
		t.Fatal(err)
	}
	if err := h.tasks[0].Process(ctx); !errors.Is(err, context.Canceled) || len(h.topics["dead"]) > 0 {
		t.Errorf("%v, %d dead letters", err, len(h.topics["dead"]))
	}
}
