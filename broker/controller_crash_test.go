package broker

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/millrace/millrace/broker/internal/metadata"
	"github.com/millrace/millrace/broker/internal/partition"
	"github.com/millrace/millrace/internal/disk"
)

// survivals are the states after a power loss that each crash test looks at.
var survivals = []disk.Crash{
	{Data: disk.SurvivesNothing, Names: disk.SurvivesNothing},
	{Data: disk.SurvivesEverything, Names: disk.SurvivesEverything},
	{Data: disk.SurvivesNothing, Names: disk.SurvivesEverything},
	{Data: disk.SurvivesEverything, Names: disk.SurvivesNothing},
	{Data: disk.SurvivesPrefix, Names: disk.SurvivesPrefix, Seed: 1},
	{Data: disk.SurvivesSome, Names: disk.SurvivesSome, Torn: true, Seed: 2},
	{Data: disk.SurvivesSome, Names: disk.SurvivesSome, Seed: 3},
}

// crashState is what a crash after one operation can leave.
type crashState struct {
	title        string
	files        *disk.Mem
	acknowledged bool // what was under way had been answered
}

// crashesDuring performs do on a broker and returns the states that a crash after each of its file operations, and
// one after its answer, can leave.
func crashesDuring(t *testing.T, prepare, do func(*Broker)) []crashState {
	t.Helper()
	files := disk.NewCrashable(7)
	b, stop := startOn(t, files, nil)
	prepare(b)
	var mu sync.Mutex
	var states []crashState
	add := func(title string, acknowledged bool) {
		mu.Lock()
		defer mu.Unlock()
		for _, crash := range survivals {
			states = append(states, crashState{fmt.Sprintf("%s, %+v", title, crash), files.CrashCopy(crash), acknowledged})
		}
	}
	files.OnOperation(func(n int64, call disk.Call) { add(fmt.Sprintf("operation %d, %s", n, call), false) })
	do(b)
	files.OnOperation(nil)
	add("answered", true)
	stop()
	return states
}

// recordsIn are the bytes of a partition's log up to its high watermark.
func recordsIn(t *testing.T, b *Broker, topic string, index int32) []byte {
	t.Helper()
	p := b.partitions.lookup(topic, index)
	if p == nil {
		t.Fatalf("no partition %s-%d", topic, index)
	}
	r, _, err := p.Read(0, 1<<20, true, partition.ReadUncommitted)
	if err != nil {
		t.Fatal(err)
	}
	if r == nil {
		return nil
	}
	defer r.Release()
	records := make([]byte, r.Size())
	if _, err := r.ReadAt(records, 0); err != nil {
		t.Fatal(err)
	}
	return records
}

// checkOpen fails unless each partition of t is there and takes records.
func checkOpen(t *testing.T, b *Broker, topic *metadata.Topic) {
	t.Helper()
	for index := range topic.Partitions {
		p := b.partitions.lookup(topic.Name, index)
		if p == nil || p.Err() != nil {
			t.Fatalf("partition %s-%d is not open", topic.Name, index)
		}
		appendTo(t, b, topic.Name, index, "after the crash")
	}
}

// A topic whose creation is interrupted is absent or complete after the restart, and stays so; one that was
// acknowledged is there. Topics that were there before keep their records (A24).
func TestCrashDuringCreateTopicLeavesItAbsentOrComplete(t *testing.T) {
	var precious []byte
	states := crashesDuring(t, func(b *Broker) {
		createTopic(t, b, "old", 1)
		appendTo(t, b, "old", 0, "precious")
		precious = recordsIn(t, b, "old", 0)
	}, func(b *Broker) {
		if _, err := b.controller.ensureTopic(context.Background(), "new", 2, map[string]string{"retention.ms": "77"}, false); err != nil {
			t.Fatal(err)
		}
		appendTo(t, b, "new", 1, "acknowledged")
	})
	absent, complete := 0, 0
	for _, state := range states {
		t.Run(state.title, func(t *testing.T) {
			b, stop := startOn(t, state.files, nil)
			if got := recordsIn(t, b, "old", 0); !bytes.Equal(got, precious) {
				t.Errorf("the old topic has %d bytes, had %d", len(got), len(precious))
			}
			topic := b.controller.image().Topic("new")
			if topic == nil {
				absent++
				if state.acknowledged {
					t.Fatal("an acknowledged topic is gone")
				}
				if left := directories(t, b, "new"); len(left) > 0 {
					t.Errorf("absent, and yet %v", left)
				}
			} else {
				complete++
				if topic.Partitions != 2 || topic.Configs["retention.ms"] != "77" {
					t.Fatalf("half a topic: %+v", topic)
				}
				if end := b.partitions.lookup("new", 1).Offsets().LogEnd; state.acknowledged && end != 1 {
					t.Errorf("acknowledged record: log end %d", end)
				}
				checkOpen(t, b, topic)
			}
			stop()
			b, stop = startOn(t, state.files, nil)
			defer stop()
			if again := b.controller.image().Topic("new"); (again == nil) != (topic == nil) || again != nil && again.ID != topic.ID {
				t.Errorf("the second restart has %+v, the first had %+v", again, topic)
			}
		})
	}
	if absent == 0 || complete == 0 {
		t.Errorf("%d states without the topic and %d with it: the test looks at nothing", absent, complete)
	}
}

// A topic whose deletion is interrupted is all there or gone, with its files, after the restart; one whose deletion
// was acknowledged does not come back, and a new one of its name is empty.
func TestCrashDuringDeleteTopicLeavesItCompleteOrAbsent(t *testing.T) {
	var precious []byte
	states := crashesDuring(t, func(b *Broker) {
		for _, name := range []string{"old", "doomed"} {
			createTopic(t, b, name, 2)
			appendTo(t, b, name, 1, "precious")
		}
		precious = recordsIn(t, b, "old", 1)
	}, func(b *Broker) { deleteTopic(t, b, "doomed") })
	absent, complete := 0, 0
	for _, state := range states {
		t.Run(state.title, func(t *testing.T) {
			b, stop := startOn(t, state.files, nil)
			defer stop()
			if got := recordsIn(t, b, "old", 1); !bytes.Equal(got, precious) {
				t.Errorf("the topic beside it has %d bytes, had %d", len(got), len(precious))
			}
			topic := b.controller.image().Topic("doomed")
			if topic != nil {
				complete++
				if state.acknowledged {
					t.Fatal("a deleted topic is back")
				}
				if got := recordsIn(t, b, "doomed", 1); len(got) != len(precious) {
					t.Errorf("not deleted, and yet only %d bytes", len(got))
				}
				checkOpen(t, b, topic)
				return
			}
			absent++
			if left := directories(t, b, "doomed"); len(left) > 0 {
				t.Errorf("deleted, and yet %v", left)
			}
			createTopic(t, b, "doomed", 2)
			if got := recordsIn(t, b, "doomed", 1); len(got) > 0 {
				t.Errorf("a new topic has %d bytes of the deleted one", len(got))
			}
		})
	}
	if absent == 0 || complete == 0 {
		t.Errorf("%d states without the topic and %d with it: the test looks at nothing", absent, complete)
	}
}

// More partitions and other settings come all at once or not at all.
func TestCrashDuringAChangeOfATopicLeavesItBeforeOrAfter(t *testing.T) {
	states := crashesDuring(t, func(b *Broker) { createTopic(t, b, "clicks", 1) }, func(b *Broker) {
		value := "55"
		err := b.controller.change(context.Background(), func(image *metadata.Image) ([]metadata.Record, error) {
			records, _ := image.CreatePartitions([]metadata.MorePartitions{{Topic: "clicks", Count: 3}})
			more, err := image.ChangeConfigs(b.config, "clicks", []metadata.ConfigChange{{Name: "segment.ms", Value: &value}})
			return append(records, more...), err
		})
		if err != nil {
			t.Fatal(err)
		}
	})
	for _, state := range states {
		t.Run(state.title, func(t *testing.T) {
			b, stop := startOn(t, state.files, nil)
			defer stop()
			topic := b.controller.image().Topic("clicks")
			changed := topic.Partitions == 3 && topic.Configs["segment.ms"] == "55"
			if unchanged := topic.Partitions == 1 && topic.Configs == nil; !changed && (!unchanged || state.acknowledged) {
				t.Errorf("became %+v", topic)
			}
			checkOpen(t, b, topic)
			if p := b.partitions.lookup("clicks", 0); changed != (p.Config().Log.SegmentMs == 55) {
				t.Errorf("partition rolls after %d ms", p.Config().Log.SegmentMs)
			}
		})
	}
}

// A broker that is interrupted while it starts, starts.
func TestCrashDuringStart(t *testing.T) {
	files := disk.NewCrashable(7)
	b, stop := startOn(t, files, nil)
	createTopic(t, b, "clicks", 2)
	appendTo(t, b, "clicks", 0, "precious")
	crashed := files.CrashCopy(disk.Crash{})
	stop()

	var mu sync.Mutex
	var states []*disk.Mem
	crashed.OnOperation(func(int64, disk.Call) {
		mu.Lock()
		defer mu.Unlock()
		for _, crash := range survivals {
			states = append(states, crashed.CrashCopy(crash))
		}
	})
	_, stop = startOn(t, crashed, nil)
	crashed.OnOperation(nil)
	stop()
	for i, state := range states {
		b, stop := startOn(t, state, nil)
		if end := b.partitions.lookup("clicks", 0).Offsets().HighWatermark; end != 1 {
			t.Errorf("state %d: high watermark %d", i, end)
		}
		stop()
	}
}
