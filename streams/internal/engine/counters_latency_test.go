package engine

import (
	"reflect"
	"testing"
	"time"
)

func TestLatenciesAreCountedByBound(t *testing.T) {
	var l Latency
	l.Observe(time.Microsecond, 1)
	l.Observe(2*time.Microsecond, 3)
	l.Observe(-time.Second, 1)
	l.Observe(2*time.Hour, 1)
	var want Latency
	want.Counts[0], want.Counts[1], want.Counts[len(LatencyBounds)] = 2, 3, 1
	want.Sum = 7*time.Microsecond + 2*time.Hour
	if l != want {
		t.Errorf("%+v, want %+v", l, want)
	}
	l.add(&want)
	if l.Counts[1] != 6 || l.Sum != 2*want.Sum {
		t.Errorf("twice: %+v", l)
	}
}

// A node is sampled once for all records of a slice, and not for those of a slice before.
func TestANodeIsSampledOnceASlice(t *testing.T) {
	n := &Node{NodeCounters: &NodeCounters{}}
	n.sample(5_000)
	(&Meta{TimestampMs: 1_000}).Enter(n)
	(&Meta{TimestampMs: 2_000}).Enter(n)
	n.sample(5_000)
	n.sample(6_000)
	var want Latency
	want.Observe(3*time.Second, 1)
	if n.EndToEnd != want || n.Processed != 2 {
		t.Errorf("%+v, want %+v", n.EndToEnd, want)
	}
}

func TestReadsAndProcessingAddUp(t *testing.T) {
	all := NewCounters()
	for range 2 {
		task := all.Task()
		task.Subtopology = "counts"
		task.Processing.Observe(time.Millisecond, 10)
		task.Close()
		all.ReadTook("users", time.Second)
	}
	var processing, reads Latency
	processing.Observe(time.Millisecond, 20)
	reads.Observe(time.Second, 2)
	if got, want := all.Processing(), map[string]Latency{"counts": processing}; !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if got, want := all.Reads(), map[string]Latency{"users": reads}; !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
