package engine

import (
	"fmt"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/streams/serde"
)

// Each key of an input is told once, before its record's turn, in order, however the records arrive; and only to whom its codec suits.
func TestKeysAreToldAhead(t *testing.T) {
	var site Site
	var told []string
	site.OnAhead(serde.String, func(keys [][]byte) {
		for _, key := range keys {
			told = append(told, string(key))
		}
	})
	site.OnAhead(serde.Bytes, func([][]byte) { t.Error("keys of another codec are told") })
	site.OnAhead(struct{ f func() }{}, func([][]byte) { t.Error("keys of a codec that cannot be compared are told") })
	in := &input{topic: "t", next: -1, lastOffset: -1, ahead: newAhead(site.onAhead, serde.String)}
	var want []string
	for i, portion := range []int{1, 3, 40, 16, 17, 5} {
		var records []*kgo.Record
		for range portion {
			key := fmt.Sprintf("key-%d", len(want))
			records = append(records, &kgo.Record{Key: []byte(key), Offset: int64(len(want))})
			want = append(want, key)
		}
		if err := in.add(records, int64(len(want)), int64(len(want))); err != nil {
			t.Fatal(err)
		}
		leave := 0
		if i%2 == 0 { // so that some portions are added behind what waits
			leave = 1
		}
		for in.waiting() > leave {
			if record := in.take(); !slices.Contains(told, string(record.Key)) {
				t.Fatalf("%s was not told before its turn", record.Key)
			}
		}
	}
	for in.waiting() > 0 {
		in.take()
	}
	if !slices.Equal(told, want) {
		t.Errorf("told %d keys, want %d: %v", len(told), len(want), told)
	}
}
