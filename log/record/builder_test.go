package record

import (
	"bytes"
	"testing"
)

func TestBuiltBatchReadsBackTheSame(t *testing.T) {
	for codec := None; codec <= Zstd; codec++ {
		t.Run(codec.String(), func(t *testing.T) {
			builder := NewBuilder(Options{Codec: codec, Producer: &Producer{ID: 7, Epoch: 3, BaseSequence: 41}})
			builder.Add(1000, []byte("k"), []byte("v"), Header{Key: []byte("h"), Value: nil}, Header{Key: []byte("h2"), Value: []byte{}})
			builder.Add(900, nil, nil)
			builder.Add(2000, []byte{}, bytes.Repeat([]byte("x"), 100_000))
			batch, err := builder.Build()
			if err != nil {
				t.Fatal(err)
			}
			if err := batch.ValidateProduced(1 << 20); err != nil {
				t.Fatal(err)
			}
			if batch.ProducerID() != 7 || batch.ProducerEpoch() != 3 || batch.BaseSequence() != 41 || batch.LastSequence() != 43 ||
				batch.Count() != 3 || batch.BaseTimestampMs() != 1000 || batch.MaxTimestampMs() != 2000 || batch.Codec() != codec {
				t.Fatalf("header %x", []byte(batch[:HeaderSize]))
			}
			batch.SetBaseOffset(50)
			reader, err := batch.Records(1 << 20)
			if err != nil {
				t.Fatal(err)
			}
			want := []struct {
				offset, timestampMs int64
				key, value          []byte
				headers             int
			}{{50, 1000, []byte("k"), []byte("v"), 2}, {51, 900, nil, nil, 0}, {52, 2000, []byte{}, bytes.Repeat([]byte("x"), 100_000), 0}}
			for i, w := range want {
				if !reader.Next() {
					t.Fatalf("record %d: %v", i, reader.Err())
				}
				r := reader.Record()
				if reader.Offset() != w.offset || reader.TimestampMs() != w.timestampMs || !bytes.Equal(r.Key, w.key) || !bytes.Equal(r.Value, w.value) ||
					(r.Key == nil) != (w.key == nil) || (r.Value == nil) != (w.value == nil) || r.Headers.Len() != w.headers {
					t.Fatalf("record %d: %+v", i, r)
				}
			}
			if reader.Next() || reader.Err() != nil {
				t.Fatalf("after the last record: %v", reader.Err())
			}
		})
	}
}
