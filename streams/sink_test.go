package streams

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/streams/internal/engine"
)

// TestSinksPutKeysWhereKafkasProducersDo compares with kgo's own partitioner; records without a key are spread, and a record that is
// processed again goes where it went.
func TestSinksPutKeysWhereKafkasProducersDo(t *testing.T) {
	topology := NewTopology()
	From(topology, texts).To(result)
	h := newHarnessAt(t, topology, nil, map[string]int{"out": 7})
	keys := kgo.StickyKeyPartitioner(nil).ForTopic("out")
	without := map[int32]bool{}
	for i := range 50 {
		h.mustSend("in", 1, itoa(int64(i)), "v")
		last := h.topics["out"][2*i]
		if want := keys.Partition(last, 7); int(last.Partition) != want {
			t.Errorf("key %d is in partition %d, want %d", i, last.Partition, want)
		}
		if err := h.send("in", 1, nil, []byte("v")); err != nil {
			t.Fatal(err)
		}
		without[h.topics["out"][2*i+1].Partition] = true
	}
	if len(without) != 7 {
		t.Errorf("records without a key are in partitions %v", without)
	}
}

func TestSinksLeaveThePartitionToTheProducerWhenTheyKnowNone(t *testing.T) {
	topology := NewTopology()
	From(topology, texts).To(result, OnProduceError(Skip))
	h := newHarnessAt(t, topology, nil, map[string]int{"out": 0})
	h.mustSend("in", 1, "k", "v")
	if at := h.topics["out"][0].Partition; at != -1 {
		t.Errorf("partition %d", at)
	}
}

func TestPartitionBy(t *testing.T) {
	topology := NewTopology()
	From(topology, texts).To(result, OnProduceError(Skip),
		PartitionBy(func(_, value string, partitions int) int { return len(value) - 1 + 0*partitions }))
	h := newHarnessAt(t, topology, nil, map[string]int{"out": 3})
	for _, value := range []string{"", "1", "22", "333", "4444"} {
		h.mustSend("in", 1, "k", value)
	}
	for i, record := range h.topics["out"] {
		if int(record.Partition) != i {
			t.Errorf("%s is in partition %d", record.Value, record.Partition)
		}
	}
	if n := h.counters.Nodes()["out"].Dropped[engine.Produce]; n != 2 || len(h.topics["out"]) != 3 {
		t.Errorf("%d of 5 are written, %d dropped", len(h.topics["out"]), n)
	}
}
