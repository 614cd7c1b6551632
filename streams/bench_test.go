package streams

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams/internal/engine"
	"github.com/millrace/millrace/streams/serde"
	"github.com/millrace/millrace/windows"
)

var numbers = NewTopic("numbers", serde.Int64, serde.Int64)

// stateless is a pipeline of four operators that lets nothing come out, and counts what got to its end.
func stateless(seen *int64) *Topology {
	t := NewTopology()
	s := From(t, numbers).Filter(func(_, value int64) bool { return value >= 0 })
	doubled := MapValues(s, func(value int64) int64 { return value * 2 })
	Map(doubled, func(key, value int64) (int64, int64) { return key + 1, value }).
		Filter(func(_, value int64) bool { *seen += value & 2; return false }).To(NewTopic("none", serde.Int64, serde.Int64))
	return t
}

func numberRecords(n int) []*kgo.Record {
	records := make([]*kgo.Record, n)
	for i := range records {
		data := binary.BigEndian.AppendUint64(nil, uint64(i))
		records[i] = &kgo.Record{Topic: "numbers", Key: data, Value: data, Offset: int64(i), Timestamp: time.UnixMilli(int64(i))}
	}
	return records
}

// feeding gives a task the same records again and again, with offsets that go on.
type feeding struct {
	task    *engine.Task
	records []*kgo.Record
	next    int64
}

func (f *feeding) run(t testing.TB) {
	for i, record := range f.records {
		record.Offset = f.next + int64(i)
	}
	f.next += int64(len(f.records))
	if err := f.task.Add("numbers", f.records, f.next, f.next); err != nil {
		t.Fatal(err)
	}
	if err := f.task.Process(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestStatelessPipelineDoesNotAllocatePerRecord(t *testing.T) {
	var seen int64
	f := &feeding{task: newHarness(t, stateless(&seen)).tasks[0], records: numberRecords(10_000)}
	f.run(t)
	allocs := testing.AllocsPerRun(10, func() { f.run(t) })
	if allocs > 100 { // of the batch, not of its records
		t.Errorf("%v allocations for %d records", allocs, len(f.records))
	}
	if seen == 0 {
		t.Error("nothing came to the end")
	}
}

func BenchmarkStatelessFourOperators(b *testing.B) {
	var seen int64
	f := &feeding{task: newHarness(b, stateless(&seen)).tasks[0], records: numberRecords(1000)}
	f.run(b)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N/len(f.records) + 1 {
		f.run(b)
	}
}

// BenchmarkCount100kKeys counts records of 100,000 keys, and commits with a changelog every 50,000.
func BenchmarkCount100kKeys(b *testing.B) {
	topology := NewTopology()
	From(topology, numbers).GroupByKey().Count(state.NewKV("counts", serde.Int64, serde.Int64))
	benchmarkStateful(b, topology)
}

func benchmarkStateful(b *testing.B, topology *Topology) {
	h := newHarness(b, topology)
	h.keepNothing = true
	const keys = 100_000
	records := numberRecords(50_000)
	f := &feeding{task: h.tasks[0], records: records}
	random := rand.New(rand.NewPCG(1, 2))
	timestampMs := int64(0)
	feed := func() {
		for _, record := range records {
			timestampMs++
			binary.BigEndian.PutUint64(record.Key, random.Uint64N(keys))
			record.Timestamp = time.UnixMilli(timestampMs / 100)
		}
	}
	commit := func() {
		f.run(b)
		h.commit()
	}
	for range 10 {
		feed()
		commit()
	}
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N/len(records) + 1 {
		b.StopTimer()
		feed()
		b.StartTimer()
		commit()
	}
}

// BenchmarkTumblingCount100kKeys does the same in windows of a second, of 100,000 records each.
func BenchmarkTumblingCount100kKeys(b *testing.B) {
	topology := NewTopology()
	From(topology, numbers).GroupByKey().Window(windows.Tumbling(time.Second)).Count(state.NewWindow("counts", serde.Int64, serde.Int64))
	benchmarkStateful(b, topology)
}
