package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/streams/serde"
	"github.com/millrace/millrace/windows"
)

// The windows of the program recount.
var recountWindow = windows.Tumbling(10 * time.Second).Grace(5 * time.Second)

// recounted are values by topic and key, in order. The keys of the topic "windows" have the beginning of the window in them.
type recounted map[string]map[string][]int64

func (r recounted) add(topic, key string, value int64) {
	if r[topic] == nil {
		r[topic] = map[string][]int64{}
	}
	r[topic][key] = append(r[topic][key], value)
}

var recountOutputs = []string{"echo", "min", "max", "sum", "count", "windows", "late"}

// recount computes from what was put in, record by record, all that has to come out.
func recount(data []*kgo.Record) (recounted, error) {
	r := recounted{}
	last := map[string]map[string]int64{} // the last value by topic and key
	for _, topic := range recountOutputs {
		last[topic] = map[string]int64{}
	}
	next := func(topic, key string, value int64) {
		last[topic][key] = value
		r.add(topic, key, value)
	}
	streamMs := map[int32]int64{}
	for _, d := range data {
		key := string(d.Key)
		value, err := serde.Int64.Decode(d.Value)
		if err != nil {
			return nil, err
		}
		before, known := last["min"][key]
		next("echo", key, value)
		if !known {
			before = value
		}
		next("min", key, min(before, value))
		next("max", key, max(last["max"][key], value)) // values are not negative
		next("sum", key, last["sum"][key]+value)
		next("count", key, last["count"][key]+1)
		atMs := d.Timestamp.UnixMilli()
		streamMs[d.Partition] = max(streamMs[d.Partition], atMs)
		startMs := atMs - atMs%recountWindow.SizeMs()
		if startMs+recountWindow.SizeMs()+recountWindow.GraceMs() <= streamMs[d.Partition] {
			next("late", key, value)
		} else {
			in := windowedKey(key, startMs)
			next("windows", in, last["windows"][in]+1)
		}
	}
	return r, nil
}

func windowedKey(key string, startMs int64) string { return fmt.Sprintf("%s@%d", key, startMs) }

// observe gathers what has come out.
func (r recounted) observe(records []*kgo.Record) error {
	for _, record := range records {
		key := string(record.Key)
		if record.Topic == "windows" {
			k, err := serde.Windowed(serde.String).Decode(record.Key)
			if err != nil {
				return err
			}
			key = windowedKey(k.Key, k.Window.StartMs)
		}
		value, err := serde.Int64.Decode(record.Value)
		if err != nil {
			return err
		}
		r.add(record.Topic, key, value)
	}
	return nil
}

// differences says where what came out is not what had to.
func (r recounted) differences(want recounted) (found []string) {
	for _, topic := range recountOutputs {
		keys := map[string]bool{}
		for key := range want[topic] {
			keys[key] = true
		}
		for key := range r[topic] {
			keys[key] = true
		}
		for key := range keys {
			got, want := r[topic][key], want[topic][key]
			if slices.Equal(got, want) {
				continue
			}
			place := 0
			for place < min(len(got), len(want)) && got[place] == want[place] {
				place++
			}
			found = append(found, fmt.Sprintf("%s of %s: %d values, not %d; from place %d on %v, not %v",
				topic, key, len(got), len(want), place, got[place:min(place+3, len(got))], want[place:min(place+3, len(want))]))
		}
	}
	slices.Sort(found)
	return found
}

func TestRecountingFindsWhatIsWrong(t *testing.T) {
	record := func(topic, key string, value int64, atMs int64) *kgo.Record {
		encoded, _ := serde.Int64.Append(nil, value)
		return &kgo.Record{Topic: topic, Key: []byte(key), Value: encoded, Timestamp: time.UnixMilli(atMs)}
	}
	data := []*kgo.Record{record("data", "a", 5, 1_000), record("data", "a", 3, 30_000), record("data", "b", 4, 2_000), record("data", "a", 9, 31_000)}
	want, err := recount(data)
	if err != nil {
		t.Fatal(err)
	}
	for topic, values := range map[string][]int64{
		"echo": {5, 3, 9}, "min": {5, 3, 3}, "max": {5, 5, 9}, "sum": {5, 8, 17}, "count": {1, 2, 3}, "late": nil,
	} {
		if got := want[topic]["a"]; !slices.Equal(got, values) {
			t.Errorf("%s of a: %v, not %v", topic, got, values)
		}
	}
	if got := want["late"]["b"]; !slices.Equal(got, []int64{4}) {
		t.Errorf("late of b: %v, not 4", got)
	}
	if got := want["windows"]["a@30000"]; !slices.Equal(got, []int64{1, 2}) {
		t.Errorf("a in the window from 30 s on: %v, not 1 and 2", got)
	}
	sums := func(values ...int64) (records []*kgo.Record) {
		for _, value := range values {
			records = append(records, record("sum", "a", value, 0))
		}
		return records
	}
	for name, wrong := range map[string][]*kgo.Record{
		"lost": sums(5, 17), "doubled": sums(5, 8, 8, 17), "counted twice": sums(5, 10, 19), "reordered": sums(8, 5, 17), "the end is missing": sums(5, 8),
	} {
		got := recounted{}
		if err := got.observe(wrong); err != nil {
			t.Fatal(err)
		}
		delete(want["sum"], "b")
		if found := got.differences(recounted{"sum": want["sum"]}); len(found) != 1 || !strings.HasPrefix(found[0], "sum of a:") {
			t.Errorf("%s: found %q", name, found)
		}
	}
}
