package broker

import (
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/log/record"
)

// decodeFuzzed decodes a request as a connection does: bounded first. ok is false for what no handler gets to see.
func decodeFuzzed(b *Broker, key, version int16, body []byte) (request kmsg.Request, ok bool) {
	a := b.apis.byKey(key)
	request = a.newRequest()
	request.SetVersion(a.min + version%(a.max-a.min+1))
	w := scanner{rest: body, version: request.GetVersion(), flexible: request.IsFlexible(), limit: 1 << 20}
	if w.request(a.shape) != nil {
		return nil, false
	}
	return request, request.ReadFrom(body) == nil
}

// FuzzProduceHandler puts any produce request through the handler. Whatever it says, what is then in the log is sound.
func FuzzProduceHandler(f *testing.F) {
	b := startBroker(f, Options{Config: map[string]string{"millrace.flush": "os"}}, nil)
	createTopic(f, b, "t", 1)
	for version := int16(3); version <= 13; version++ {
		for _, change := range []func(*record.Options){nil, codec(record.LZ4), producer(1, 0, 0)} {
			r := produceRequest("t", acksAll, buildBatch(f, change, "a", "b"))
			r.SetVersion(version)
			f.Add(version-3, r.AppendTo(nil))
		}
	}
	p := b.partitions.lookup("t", 0)
	f.Fuzz(func(t *testing.T, version int16, body []byte) {
		request, ok := decodeFuzzed(b, int16(kmsg.Produce), max(version, 0), slices.Clone(body))
		if !ok {
			t.Skip()
		}
		produce := request.(*kmsg.ProduceRequest)
		repairChecksums(produce)
		from := p.Offsets().LogEnd
		answer, err := b.produce(&call{ctx: t.Context(), version: produce.Version, now: time.Now()}, produce)
		if err == nil && answer.later != nil {
			answer.response = answer.later(t.Context())
		}
		if err == nil && answer.response == nil && produce.Acks != acksNone {
			t.Fatal("no answer")
		}
		for from < p.Offsets().HighWatermark {
			r, _, err := p.Read(from, 1<<20, true, 0)
			if err != nil {
				t.Fatal(err)
			}
			data := make([]byte, r.Size())
			_, err = r.ReadAt(data, 0)
			r.Release()
			if err != nil {
				t.Fatal(err)
			}
			for len(data) > 0 {
				var stored record.Batch
				if stored, data, err = record.Next(data); err != nil {
					t.Fatal(err)
				}
				if err := stored.Validate(); err != nil || stored.BaseOffset() != from {
					t.Fatalf("stored at %d, expected %d: %v", stored.BaseOffset(), from, err)
				}
				from = stored.NextOffset()
			}
		}
	})
}

// repairChecksums makes the checks behind the CRC reachable.
func repairChecksums(r *kmsg.ProduceRequest) {
	for i := range r.Topics {
		for j := range r.Topics[i].Partitions {
			if b, _, err := record.Next(r.Topics[i].Partitions[j].Records); err == nil {
				b.SetMaxTimestampMs(b.MaxTimestampMs())
			}
		}
	}
}

// FuzzFetchHandler puts any fetch request through the handler. The answer is one that kmsg reads, and reads whole.
func FuzzFetchHandler(f *testing.F) {
	b := startBroker(f, Options{Config: map[string]string{"millrace.flush": "os"}}, nil)
	topic := topicWith(f, b, "t", 2, nil)
	appendBatch(f, b, "t", 0, "a", "b")
	appendBatch(f, b, "t", 1, "c")
	for version := int16(4); version <= 18; version++ {
		for _, epoch := range []int32{-1, 0, 1} {
			r := fetchOf(topic, version, 0, 1)
			r.SessionEpoch = epoch
			f.Add(version-4, r.AppendTo(nil))
		}
	}
	f.Fuzz(func(t *testing.T, version int16, body []byte) {
		request, ok := decodeFuzzed(b, int16(kmsg.Fetch), max(version, 0), body)
		if !ok {
			t.Skip()
		}
		fetch := request.(*kmsg.FetchRequest)
		fetch.MaxWaitMillis = min(fetch.MaxWaitMillis, 1)
		answer, err := b.fetch(&call{ctx: t.Context(), version: fetch.Version, now: time.Now()}, fetch)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.release()
		var encoded []byte
		for _, p := range answer.body {
			encoded = append(encoded, p.bytes...)
			if p.file != nil {
				data := make([]byte, p.file.Size())
				if _, err := p.file.ReadAt(data, 0); err != nil {
					t.Fatal(err)
				}
				encoded = append(encoded, data...)
			}
		}
		response := kmsg.NewPtrFetchResponse()
		response.SetVersion(fetch.Version)
		if err := response.ReadFrom(encoded); err != nil {
			t.Fatal(err)
		}
		if again := response.AppendTo(nil); !slices.Equal(again, encoded) {
			t.Fatalf("version %d: kmsg encodes\n%x\nwe encode\n%x", fetch.Version, again, encoded)
		}
	})
}

// appendBatch writes one batch past the network.
func appendBatch(t testing.TB, b *Broker, topic string, index int32, values ...string) {
	t.Helper()
	if _, err := b.partitions.lookup(topic, index).Append(batchOf(t, values...), time.Now().UnixMilli(), 0); err != nil {
		t.Fatal(err)
	}
}
