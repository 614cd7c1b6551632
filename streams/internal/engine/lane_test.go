package engine

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/streams/internal/graph"
)

// TestSlowFunctionsAreNoGap has a lane process one record for longer than it waits for an input that does not come: that input has not been
// waited for meanwhile, and its next records may be in hand already.
func TestSlowFunctionsAreNoGap(t *testing.T) {
	clock := time.UnixMilli(0)
	now := func() time.Time { return clock }
	var got []string
	receive := func(record *kgo.Record) error {
		clock = clock.Add(gapMax)
		got = append(got, record.Topic)
		return nil
	}
	sub := &Subtopology{
		Subtopology: &graph.Subtopology{Name: "two", Sources: []string{"a", "b"}}, Graph: &graph.Topology{},
		Build: func(*Site) (map[string]Input, error) {
			return map[string]Input{"a": {Receive: receive}, "b": {Receive: receive}}, nil
		},
	}
	task, err := OpenTask(sub, TaskID{Subtopology: "two"}, Environment{
		App: "app", Now: now, PartitionsOf: func(string) int { return 1 }, Counters: NewCounters(),
	})
	if err != nil {
		t.Fatal(err)
	}
	l := &lane{shell: &Shell{reach: newReach(nil), now: now}, topics: []string{"a", "b"}, task: task, news: map[string]news{}}
	for topic, end := range map[string]int64{"a": 1, "b": 2} { // of b there is one more to come
		record := &kgo.Record{Topic: topic, Timestamp: time.UnixMilli(10 - end)}
		if err := l.add(topic, []*kgo.Record{record}, 1, end); err != nil {
			t.Fatal(err)
		}
	}
	processed := func() int {
		if err := l.process(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := l.skipGap("b", now()); err != nil {
			t.Fatal(err)
		}
		if err := l.process(t.Context()); err != nil {
			t.Fatal(err)
		}
		return len(got)
	}
	if n := processed(); n != 1 || got[0] != "b" {
		t.Fatalf("processed %v: b was not waited for", got)
	}
	clock = clock.Add(gapMax)
	if processed(); len(got) != 2 {
		t.Errorf("processed %v: b does not come, and is waited for for ever", got)
	}
}
