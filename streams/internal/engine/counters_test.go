package engine

import (
	"reflect"
	"testing"
	"time"
)

func TestCountersOfTasksAddUpWhenPublished(t *testing.T) {
	all := NewCounters()
	first, second := all.Task(), all.Task()
	for _, task := range []*TaskCounters{first, second} {
		n := task.Node("filter")
		n.Processed += 3
		n.Emitted++
		n.Drop(NullKey)
		n.Lateness.Observe(100)
		n.Lateness.Observe(101)
	}
	if got := all.Nodes()["filter"]; got.Processed != 0 {
		t.Errorf("%d records before anything was published", got.Processed)
	}
	first.Publish()
	first.Publish() // has nothing more
	second.Close()
	got := all.Nodes()["filter"]
	if got.Processed != 6 || got.Emitted != 2 || got.Dropped[NullKey] != 2 || got.Dropped[Late] != 0 {
		t.Errorf("%+v", got)
	}
	if l := got.Lateness; l.Counts[0] != 2 || l.Counts[1] != 2 || l.SumMs != 402 {
		t.Errorf("lateness %+v", l)
	}
}

func TestGaugesGoWithTheirTask(t *testing.T) {
	all := NewCounters()
	first, second, third := all.Task(), all.Task(), all.Task()
	*first.Input("a") = InputGauges{Topic: "a", WatermarkMs: 500, LagRecords: 2}
	*second.Input("a") = InputGauges{Topic: "a", WatermarkMs: 300, LagRecords: 5}
	third.Input("a")
	for _, task := range []*TaskCounters{first, second, third} {
		task.Publish()
	}
	if got, want := all.Inputs(), []InputGauges{{"a", 300, 7}}; !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	second.Close()
	if got, want := all.Inputs(), []InputGauges{{"a", 500, 2}}; !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	third.CachedBytes, third.DirtyBytes = 7, 3
	third.Publish()
	if tasks, cached, dirty := all.Tasks(); tasks != 2 || cached != 7 || dirty != 3 {
		t.Errorf("%d tasks, %d bytes, %d of them dirty", tasks, cached, dirty)
	}
}

func TestRestoresAddUp(t *testing.T) {
	all := NewCounters()
	first, second := all.Task(), all.Task()
	*first.Restore("users") = RestoreCounters{Restored: 3, Remaining: 10, Took: 3 * time.Second}
	*second.Restore("users") = RestoreCounters{Restored: 4, Remaining: 20, Took: time.Second}
	first.Publish()
	second.Publish()
	first.Restore("users").Remaining = 0
	first.Publish()
	if got, want := all.Stores(), []StoreFigures{{"users", 7, 20, 3 * time.Second}}; !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	second.Close()
	second.Publish() // changes nothing: it is closed
	if got, want := all.Stores(), []StoreFigures{{"users", 7, 0, 3 * time.Second}}; !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestCommitsAreCountedByHowLongTheyTook(t *testing.T) {
	var p ProcessCounters
	p.Committed(time.Millisecond)
	p.Committed(3 * time.Millisecond)
	p.Committed(time.Minute)
	p.Aborted()
	p.Rebalanced()
	got := p.Figures()
	if got.Committed != 3 || got.Aborted != 1 || got.Rebalances != 1 || got.Committing != time.Minute+4*time.Millisecond {
		t.Errorf("%+v", got)
	}
	if d := got.Durations; d[0] != 1 || d[2] != 1 || d[len(d)-1] != 1 {
		t.Errorf("%v", d)
	}
}

func TestReasonsHaveNames(t *testing.T) {
	for at, reason := range Reasons() {
		if int(reason) != at || reason.String() == "" {
			t.Errorf("reason %d is %q", reason, reason)
		}
	}
	if len(Reasons()) != int(reasons) {
		t.Errorf("%d reasons are listed, %d exist", len(Reasons()), reasons)
	}
}
