package streams_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/consumer"
	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams"
	"github.com/millrace/millrace/streams/serde"
	"github.com/millrace/millrace/streams/streamstest"
	"github.com/millrace/millrace/windows"
)

// pickyCount is counts as text, but for two.
var pickyCount = serde.Of("picky-count",
	func(dst []byte, n int64) ([]byte, error) {
		if n == 2 {
			return nil, errors.New("no two")
		}
		return serde.Int64.Append(dst, n)
	}, serde.Int64.Decode)

// telling is a processor that forwards, at each multiple of 10 ms of stream time, a good record and a bad one.
type telling struct{ values []string }

func (p telling) Init(ctx *textContext) error {
	ctx.Schedule(streams.StreamTime, 10*ms, func(ctx *textContext, now time.Time) error {
		for _, value := range p.values {
			headers := []kgo.RecordHeader{{Key: "own", Value: []byte("x")}}
			if err := ctx.Forward(streams.Record[string, string]{Key: "k", Value: value, NoValue: value == "", Headers: headers}); err != nil {
				return err
			}
		}
		return nil
	})
	return nil
}

func (telling) Process(*textContext, streams.Record[string, string]) error { return nil }

// TestDeadLettersOfWhatCameOfNoInput has each kind of node fail for what a window gives when it closes, or a timer forwards: the record
// itself becomes the letter, what comes besides it goes on, and the application too.
func TestDeadLettersOfWhatCameOfNoInput(t *testing.T) {
	dead := streams.DeadLetter("dead")
	onClose := func(s texts) streams.Stream[windows.Key[string], int64] {
		return streams.WindowsToStream(s.GroupByKey().Window(windows.Tumbling(10 * ms)).Emit(windows.OnClose).Count(inWindows))
	}
	told := func(s texts, values ...string) texts {
		return streams.Process(s, "told", processorOf(telling{values}), streams.ProcessOptions{})
	}
	refuse := func(value string) error {
		if value == "bad" || value == "" {
			return errors.New("refused")
		}
		return nil
	}
	encodedKey, _ := serde.Windowed(serde.String).Append(nil, windows.Key[string]{Key: "b", Window: windows.Window{StartMs: 0, EndMs: 10}})
	number, _ := serde.Int64.Append(nil, 2)
	const asJSON = `{"key":"b","window":{"startMs":0,"endMs":10}}`
	for name, c := range map[string]struct {
		describe           func(s texts)
		node, maker, cause string
		reason             string
		key, value         string // "-": none
		good               int    // other results
	}{
		"a value that does not encode": {func(s texts) {
			onClose(s).To(streams.NewTopic("out", serde.Windowed(serde.String), pickyCount), streams.OnProduceError(dead))
		}, "out", "in-windows", "no two", "produce", string(encodedKey), "-", 1},
		"a partition that is not there": {func(s texts) {
			onClose(s).To(streams.NewTopic("out", serde.Windowed(serde.String), serde.Int64), streams.OnProduceError(dead),
				streams.PartitionBy(func(_ windows.Key[string], n int64, _ int) int { return int(n - 1) }))
		}, "out", "in-windows", "partition 1 of topic out", "produce", string(encodedKey), string(number), 1},
		"a value that is too large": {func(s texts) {
			streams.MapValues(onClose(s), func(n int64) string { return strings.Repeat("x", int(n*200)) }).
				To(streams.NewTopic("out", serde.Windowed(serde.String), serde.String), streams.OnProduceError(dead))
		}, "out", "in-windows", "MESSAGE_TOO_LARGE", "produce", string(encodedKey), "-", 1},
		"a step without codecs": {func(s texts) {
			streams.TryFilter(onClose(s), "pick", func(_ windows.Key[string], n int64) (bool, error) {
				if n == 2 {
					return false, errors.New("no two")
				}
				return true, nil
			}, dead).To(streams.NewTopic("out", serde.Windowed(serde.String), serde.Int64))
		}, "pick", "in-windows", "no two", "error", asJSON, "2", 1},
		"a session": {func(s texts) {
			visits := s.GroupByKey().Sessions(windows.Sessions(5 * ms)).Emit(windows.OnClose).Count(countedVisits)
			streams.TryMapValues(streams.WindowsToStream(visits), "pick", func(n int64) (int64, error) {
				if n == 2 {
					return 0, errors.New("no two")
				}
				return n, nil
			}, dead).To(streams.NewTopic("out", serde.Windowed(serde.String), serde.Int64))
		}, "pick", "counted-visits", "no two", "error", `{"key":"b","window":{"startMs":2,"endMs":3}}`, "2", 2},
		"behind a timer": {func(s texts) {
			streams.TryMapValues(told(s, "good", "bad"), "try", func(value string) (string, error) { return value, refuse(value) }, dead).
				To(streams.NewTopic("out", serde.String, serde.String))
		}, "try", "told", "refused", "error", `"k"`, `"bad"`, 1},
		"a processor behind a timer": {func(s texts) {
			streams.Process(told(s, "good", ""), "own", processorOf(streams.ProcessFunc[string, string, string, string](
				func(ctx *textContext, r streams.Record[string, string]) error {
					if err := refuse(r.Value); err != nil {
						return err
					}
					return ctx.Forward(r)
				})), streams.ProcessOptions{OnError: dead}).To(streams.NewTopic("out", serde.String, serde.String))
		}, "own", "told", "refused", "error", `"k"`, "-", 1},
		"a sink behind a timer": {func(s texts) {
			told(s, "good", strings.Repeat("x", 460)).To(streams.NewTopic("out", serde.String, serde.String), streams.OnProduceError(dead))
		}, "out", "told", "MESSAGE_TOO_LARGE", "produce", "k", "-", 1},
	} {
		t.Run(name, func(t *testing.T) {
			topology := streams.NewTopology()
			c.describe(streams.From(topology, entries))
			d := streamstest.New(t, topology, streamstest.Options{RecordBytesMax: 500, Partitions: map[string]int{"entries": 1, "out": 1}})
			send(d, entries, "a=x@1", "b=x@2", "b=x@3", "c=x@11")
			send(d, entries, "d=x@19")
			letters := d.Records("dead")
			if len(letters) != 1 || len(d.Records("out")) != c.good || d.Dropped(c.node, c.reason) != 1 {
				t.Fatalf("%d letters, %d results, %d left out as %s", len(letters), len(d.Records("out")), d.Dropped(c.node, c.reason), c.reason)
			}
			letter := letters[0]
			if key, value := orDash(letter.Key), orDash(letter.Value); key != c.key || value != c.value {
				t.Errorf("the letter is %q=%q, want %q=%q", key, value, c.key, c.value)
			}
			checkLetterHeaders(t, letter, c.node, c.maker, c.cause)
		})
	}
}

func orDash(data []byte) string {
	if data == nil {
		return "-"
	}
	return string(data)
}

func checkLetterHeaders(t *testing.T, letter *kgo.Record, node, maker, cause string) {
	t.Helper()
	got := map[string]string{}
	for _, header := range letter.Headers {
		got[header.Key] = string(header.Value)
	}
	if got[streams.DeadLetterNode] != node || got[streams.DeadLetterMaker] != maker || !strings.Contains(got[consumer.DeadLetterCause], cause) {
		t.Errorf("headers %q, want node %s, maker %s and cause %s", got, node, maker, cause)
	}
	if maker == "told" && got["own"] != "x" {
		t.Errorf("headers %q are not the record's", got)
	}
	for _, of := range []string{consumer.DeadLetterTopic, consumer.DeadLetterPartition, consumer.DeadLetterOffset} {
		if _, is := got[of]; is {
			t.Errorf("header %s is of an input record", of)
		}
	}
}

// TestALetterThatDoesNotFitEvenWithoutItsValue ends the application: there is nowhere else to put it.
func TestALetterThatDoesNotFitEvenWithoutItsValue(t *testing.T) {
	topology := streams.NewTopology()
	visits := state.NewWindow("visits", serde.String, serde.Int64)
	streams.WindowsToStream(streams.From(topology, entries).GroupByKey().Window(windows.Tumbling(10*ms)).Emit(windows.OnClose).Count(visits)).
		To(streams.NewTopic("out", serde.Windowed(serde.String), pickyCount), streams.OnProduceError(streams.DeadLetter("dead")))
	d := streamstest.New(t, topology, streamstest.Options{RecordBytesMax: 250})
	long := strings.Repeat("k", 100)
	for range 2 {
		streamstest.Send(d, entries, long, "x", at(1))
	}
	streamstest.Send(d, entries, long, "x", at(11))
	if err := d.DrainError(); err == nil || !strings.Contains(err.Error(), "the dead letter for topic dead has") {
		t.Errorf("it ended with %v", err)
	}
}
