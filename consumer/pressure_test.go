package consumer

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Headers and markers of transactions take memory as keys and values do, and leave the queue with their batch.
func TestAQueueCountsHeadersAndMarkers(t *testing.T) {
	p := &Partition{worker: &worker{group: &Group{}}, group: &Group{}}
	marker := &kgo.Record{Offset: 1, Attrs: kgo.NewRecordAttrs(kgo.RecordAttrsOpts{Control: true})}
	headers := []kgo.RecordHeader{{Key: "trace", Value: make([]byte, 10_000)}}
	p.push([]*kgo.Record{{Offset: 0, Headers: headers}, marker}, 2, 2)
	if _, full := p.pressure(10_000); !full {
		t.Errorf("%d bytes are counted", p.bytes)
	}
	for len(p.queue) > 0 {
		p.cutLocked(1)
	}
	if p.bytes != 0 {
		t.Errorf("%d bytes are left of an empty queue", p.bytes)
	}
}
