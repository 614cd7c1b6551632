package streams

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams/serde"
)

func TestSeveralTopicsInOneSource(t *testing.T) {
	topology := NewTopology()
	topics := []Topic[string, string]{texts, NewTopic("more", serde.String, serde.JSON[string]())}
	FromAll(topology, topics).To(result)
	h := newHarness(t, topology)
	_ = h.produce(&kgo.Record{Topic: "in", Key: []byte("a"), Value: []byte("late"), Timestamp: time.UnixMilli(20)})
	_ = h.produce(&kgo.Record{Topic: "more", Key: []byte("a"), Value: []byte(`"early"`), Timestamp: time.UnixMilli(10)})
	if err := h.send("more", 30, []byte("a"), []byte(`"last"`)); err != nil {
		t.Fatal(err)
	}
	if got, want := h.text("out"), []string{"a=early@10", "a=late@20", "a=last@30"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestTimestampsFromTheContents has records take turns by the times that are in their values.
func TestTimestampsFromTheContents(t *testing.T) {
	times := func(_ string, value string) time.Time {
		at, _ := time.Parse("15:04:05", value)
		return time.UnixMilli(at.Sub(time.Time{}.AddDate(-1, 0, 0)).Milliseconds())
	}
	topology := NewTopology()
	more := NewTopic("more", serde.String, serde.String)
	FromAll(topology, []Topic[string, string]{texts, more}, TimestampBy(times)).To(result)
	h := newHarness(t, topology)
	for _, value := range []string{"00:00:02", "00:00:01", "00:00:04"} {
		_ = h.produce(&kgo.Record{Topic: "in", Key: []byte("in"), Value: []byte(value), Timestamp: time.UnixMilli(1)})
	}
	_ = h.produce(&kgo.Record{Topic: "more", Key: []byte("more"), Value: []byte("00:00:03"), Timestamp: time.UnixMilli(1)})
	if err := h.send("more", 5, []byte("more"), nil); err != nil { // without a value: its own time
		t.Fatal(err)
	}
	want := []string{"in=00:00:02@2000", "in=00:00:01@1000", "more=00:00:03@3000", "more=-@5", "in=00:00:04@4000"}
	if got := h.text("out"); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// TestRecordsThatAreUsedAgainAreDecodedAgain gives a task the same structs with other contents, as a pool of records does.
func TestRecordsThatAreUsedAgainAreDecodedAgain(t *testing.T) {
	var seen []int64
	topology := NewTopology()
	From(topology, numbers, TimestampBy(func(key, _ int64) time.Time { return time.UnixMilli(key) })).
		Peek(func(key, _ int64) { seen = append(seen, key) })
	f := &feeding{task: newHarness(t, topology).tasks[0], records: numberRecords(1)}
	f.run(t)
	f.records[0].Key = numberRecords(2)[1].Key
	f.run(t)
	if !slices.Equal(seen, []int64{0, 1}) {
		t.Errorf("seen %v", seen)
	}
}

func TestATopicThatIsReadTwice(t *testing.T) {
	topology := NewTopology()
	From(topology, texts).To(result)
	From(topology, texts).Filter(func(_, value string) bool { return value == "x" }).To(result)
	h := newHarness(t, topology)
	h.mustSend("in", 1, "k", "x")
	h.mustSend("in", 2, "k", "y")
	if got := strings.Join(h.text("out"), " "); got != "k=x@1 k=x@1 k=y@2" {
		t.Error(got)
	}
}

func TestSourcesAndSinksOfAProgram(t *testing.T) {
	topology := NewTopology()
	From(topology, texts, FromEnd()).To(result)
	program, err := Compile(topology)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(program.FromEnd, []string{"in"}) {
		t.Errorf("from the end: %q", program.FromEnd)
	}
	if sub := program.Subtopologies[0]; len(program.Subtopologies) != 1 || !slices.Equal(sub.Sources, []string{"in"}) || !slices.Equal(sub.Sinks, []string{"out"}) {
		t.Errorf("%+v", sub)
	}
}

func TestTopicsEncodeAndDecode(t *testing.T) {
	record, err := texts.Record("", "")
	if err != nil || record.Topic != "in" || record.Key == nil || record.Value == nil {
		t.Errorf("%v, %v", record, err)
	}
	if record, err = texts.Record("k", "v"); err != nil {
		t.Fatal(err)
	}
	if key, value, err := texts.Decode(record); key != "k" || value != "v" || err != nil {
		t.Errorf("%s, %s, %v", key, value, err)
	}
	if key, value, err := numbers.Decode(&kgo.Record{}); key != 0 || value != 0 || err != nil {
		t.Errorf("%d, %d, %v", key, value, err)
	}
	if _, _, err := numbers.Decode(&kgo.Record{Key: []byte("x")}); err == nil {
		t.Error("a key of one byte is no number")
	}
	if _, err := NewTopic("t", picks, serde.String).Record("bad", ""); err == nil {
		t.Error("a key that does not encode")
	}
}

func TestMistakesOfADescription(t *testing.T) {
	other := From(NewTopology(), texts)
	wrongTime := TimestampBy(func(int64, string) time.Time { return time.Time{} })
	wrongPartition := PartitionBy(func(int64, string, int) int { return 0 })
	for want, build := range map[string]func(t *Topology){
		"TimestampBy has a func(int64, string) time.Time": func(t *Topology) { From(t, texts, wrongTime).To(result) },
		"PartitionBy has a func(int64, string, int) int":  func(t *Topology) { From(t, texts).To(result, wrongPartition) },
		"it reads no topic: name at least one":            func(t *Topology) { FromAll[string, string](t, nil) },
		"node bare-in: the topic lacks the codec": func(t *Topology) {
			From(t, NewTopic[string, string]("bare-in", nil, serde.String)).GroupByKey().Count(state.NewKV("n", serde.String, serde.Int64))
		},
		"node bare-out: the topic lacks the codec": func(t *Topology) {
			From(t, texts).To(NewTopic[string, string]("bare-out", serde.String, nil))
		},
		"node bare-between: the topic lacks the codec": func(t *Topology) {
			From(t, texts).Repartition(NewTopic[string, string]("bare-between", nil, nil)).To(result)
		},
		"it merges streams of two topologies":     func(t *Topology) { From(t, texts).Merge(other) },
		"the topology reads no topic":             func(t *Topology) {},
		"node try-filter: it has no name":         func(t *Topology) { TryFilter(From(t, texts), "", nil, Fail) },
		"node process: it has no name":            func(t *Topology) { Process[string, string, string, string](From(t, texts), "", nil, ProcessOptions{}) },
		"node twice: a second node has this name": func(t *Topology) { TryFilter(TryFilter(From(t, texts), "twice", nil, Fail), "twice", nil, Fail) },
		"op-1: it changes the keys": func(t *Topology) {
			s := SelectKey(From(t, texts), func(_, value string) string { return value })
			From(t, texts).Merge(s).Filter(nil).GroupByKey()
		},
		"topic in: it is used for repartitioning in two ways": func(t *Topology) { From(t, texts).Repartition(texts) },
	} {
		topology := NewTopology()
		build(topology)
		if err := topology.Err(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
		if _, err := Compile(topology); err == nil {
			t.Errorf("it compiles, though %q", want)
		}
	}
}
