package broker

import (
	"bytes"
	"encoding/binary"
	"runtime"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/internal/invariant"
	"github.com/millrace/millrace/log/record"
)

// bombBatch returns a batch of about 100 KB that becomes a gigabyte: many frames of zeros after one another.
func bombBatch(t testing.TB, codec record.Codec) record.Batch {
	t.Helper()
	frame, err := record.Compress(codec, 0, nil, make([]byte, 16<<20))
	if err != nil {
		t.Fatal(err)
	}
	sound := buildBatch(t, func(o *record.Options) { o.Codec = codec }, "v")
	bomb := record.Batch(append(bytes.Clone(sound[:record.HeaderSize]), bytes.Repeat(frame, 64)...))
	binary.BigEndian.PutUint32(bomb[8:], uint32(len(bomb)-12))
	bomb.SetMaxTimestampMs(sound.MaxTimestampMs()) // and the CRC
	return bomb
}

// bombCostMax is what a bomb, which becomes 1 GiB, may make the broker allocate in all: buffers double as they grow up
// to the bound. The race detector makes sync.Pool drop a part of what it is given, so that decoders are made anew.
func bombCostMax() uint64 {
	if invariant.Enabled {
		return 600 << 20
	}
	return 400 << 20
}

// TestDecompressionBombIsRefusedAtItsBound sends bombs to topics whose settings make the broker look inside.
func TestDecompressionBombIsRefusedAtItsBound(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	topicWith(t, b, "compacted", 1, map[string]string{"cleanup.policy": "compact"})
	topicWith(t, b, "recompressed", 1, map[string]string{"compression.type": "lz4"})
	other := dial(t, b)
	for _, codec := range []record.Codec{record.Gzip, record.Zstd} {
		bomb := bombBatch(t, codec)
		for _, topic := range []string{"compacted", "recompressed"} {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			r := produceRequest(topic, acksAll, bytes.Clone(bomb))
			r.TimeoutMillis = 60_000
			c := dial(t, b)
			wantCode(t, produced(t, c.ask(r)).ErrorCode, kerr.MessageTooLarge)
			runtime.ReadMemStats(&after)
			if cost := after.TotalAlloc - before.TotalAlloc; cost > bombCostMax() {
				t.Errorf("%v to %s: %d bytes were allocated for a batch of %d", codec, topic, cost, len(bomb))
			}
			if end := b.partitions.lookup(topic, 0).Offsets().LogEnd; end != 0 {
				t.Errorf("%v to %s: log end %d", codec, topic, end)
			}
			c.expectServed()
			other.expectServed()
		}
	}
}

// TestStoredBombHarmsNobody: where nothing makes the broker look inside, a bomb is bytes like any other. A look-up by time,
// which has to look, ends at its bound.
func TestStoredBombHarmsNobody(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	createTopic(t, b, "t", 1)
	c := dial(t, b)
	bomb := bombBatch(t, record.Zstd)
	wantCode(t, produced(t, c.ask(produceRequest("t", acksAll, bytes.Clone(bomb)))).ErrorCode, nil)
	answer := c.ask(fetchRequest("t", 0, 0)).(*kmsg.FetchResponse).Topics[0].Partitions[0]
	if answer.ErrorCode != 0 || !bytes.Equal(answer.RecordBatches[record.HeaderSize:], bomb[record.HeaderSize:]) {
		t.Errorf("error %d, %d bytes", answer.ErrorCode, len(answer.RecordBatches))
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	found := listed(t, c, 5, "t", 0, bomb.MaxTimestampMs()-time.Minute.Milliseconds())
	runtime.ReadMemStats(&after)
	if found.ErrorCode != 0 || found.Offset != 0 {
		t.Errorf("look-up by time: %+v", found)
	}
	if cost := after.TotalAlloc - before.TotalAlloc; cost > bombCostMax() {
		t.Errorf("%d bytes were allocated for a look-up", cost)
	}
	c.expectServed()
}
