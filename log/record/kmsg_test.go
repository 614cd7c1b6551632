package record

import (
	"bytes"
	"hash/crc32"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"
)

// plainRecord is a record without any encoding, to compare two encoders by.
type plainRecord struct {
	timestampMs int64
	key, value  []byte
	headers     []Header
}

func drawRecords(t *rapid.T) []plainRecord {
	nullable := rapid.OneOf(rapid.Just([]byte(nil)), rapid.SliceOfN(rapid.Byte(), 0, 300))
	header := rapid.Custom(func(t *rapid.T) Header {
		return Header{Key: append([]byte{}, rapid.String().Draw(t, "header key")...), Value: nullable.Draw(t, "header value")}
	})
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) plainRecord {
		return plainRecord{
			timestampMs: rapid.Int64Range(-1, 1<<42).Draw(t, "timestamp"),
			key:         nullable.Draw(t, "key"),
			value:       nullable.Draw(t, "value"),
			headers:     rapid.SliceOfN(header, 0, 4).Draw(t, "headers"),
		}
	}), 1, 70).Draw(t, "records")
}

func sameField(a, b []byte) bool { return bytes.Equal(a, b) && (a == nil) == (b == nil) }

// encodeByKmsg builds the batch with franz-go's own encoder, the way its producer fills it in.
func encodeByKmsg(t *rapid.T, records []plainRecord, codec Codec) Batch {
	base, latest := records[0].timestampMs, records[0].timestampMs
	var payload []byte
	for i, r := range records {
		latest = max(latest, r.timestampMs)
		encoded := kmsg.Record{TimestampDelta64: r.timestampMs - base, OffsetDelta: int32(i), Key: r.key, Value: r.value}
		for _, h := range r.headers {
			encoded.Headers = append(encoded.Headers, kmsg.Header{Key: string(h.Key), Value: h.Value})
		}
		body := encoded.AppendTo(nil)[1:] // without the length, which is still 0
		encoded.Length = int32(len(body))
		payload = encoded.AppendTo(payload)
	}
	if codec != None {
		kgoCodec := map[Codec]kgo.CompressionCodec{
			Gzip: kgo.GzipCompression(), Snappy: kgo.SnappyCompression(), LZ4: kgo.Lz4Compression(), Zstd: kgo.ZstdCompression(),
		}[codec]
		compressor, err := kgo.DefaultCompressor(kgoCodec)
		if err != nil {
			t.Fatal(err)
		}
		packed, used := compressor.Compress(new(bytes.Buffer), payload)
		payload, codec = packed, Codec(used)
	}
	batch := kmsg.RecordBatch{
		PartitionLeaderEpoch: -1, Magic: 2, Attributes: int16(codec), LastOffsetDelta: int32(len(records) - 1),
		FirstTimestamp: base, MaxTimestamp: latest, ProducerID: 9, ProducerEpoch: 2, FirstSequence: 77,
		NumRecords: int32(len(records)), Records: payload,
	}
	raw := batch.AppendTo(nil)
	batch.Length = int32(len(raw) - 12)
	batch.CRC = int32(crc32.Checksum(raw[21:], crc32.MakeTable(crc32.Castagnoli)))
	return batch.AppendTo(nil)
}

func TestFranzGoEncodesWhatWeRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		records := drawRecords(t)
		codec := rapid.SampledFrom(allCodecs).Draw(t, "codec")
		raw := encodeByKmsg(t, records, codec)
		b, rest, err := Next(append(bytes.Clone(raw), 1, 2, 3))
		if err != nil || len(rest) != 3 {
			t.Fatalf("%d bytes left: %v", len(rest), err)
		}
		if err := b.ValidateProduced(1 << 20); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(b, raw) {
			t.Fatal("validation changed a sound batch")
		}
		if b.ProducerID() != 9 || b.ProducerEpoch() != 2 || b.BaseSequence() != 77 || b.Count() != int32(len(records)) || b.PartitionLeaderEpoch() != -1 {
			t.Fatalf("header % x", []byte(b[:HeaderSize]))
		}
		b.SetBaseOffset(1 << 33)
		reader, err := b.Records(1 << 24)
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range records {
			if !reader.Next() {
				t.Fatalf("record %d of %d: %v", i, len(records), reader.Err())
			}
			got := reader.Record()
			if reader.Offset() != 1<<33+int64(i) || reader.TimestampMs() != want.timestampMs || !sameField(got.Key, want.key) || !sameField(got.Value, want.value) {
				t.Fatalf("record %d: %+v at %d, want %+v", i, got, reader.TimestampMs(), want)
			}
			headers := got.Headers.AppendTo(nil)
			if len(headers) != len(want.headers) || got.Headers.Len() != len(want.headers) {
				t.Fatalf("record %d: %d headers of %d", i, len(headers), len(want.headers))
			}
			for j := range headers {
				if !sameField(headers[j].Key, want.headers[j].Key) || !sameField(headers[j].Value, want.headers[j].Value) {
					t.Fatalf("record %d: header %d: %+v, want %+v", i, j, headers[j], want.headers[j])
				}
			}
		}
		if reader.Next() || reader.Err() != nil {
			t.Fatalf("after the last record: %v", reader.Err())
		}
	})
}

func TestFranzGoReadsWhatWeBuild(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		records := drawRecords(t)
		codec := rapid.SampledFrom(allCodecs).Draw(t, "codec")
		builder := NewBuilder(Options{Codec: codec, Producer: &Producer{ID: 9, Epoch: 2, BaseSequence: 77}})
		for _, r := range records {
			builder.Add(r.timestampMs, r.key, r.value, r.headers...)
		}
		b, err := builder.Build()
		if err != nil {
			t.Fatal(err)
		}
		if codec == None && !bytes.Equal(b, encodeByKmsg(t, records, None)) {
			t.Fatal("not the bytes of franz-go's encoder")
		}
		b.SetBaseOffset(1 << 33)
		b.SetPartitionLeaderEpoch(4)
		response := kmsg.NewFetchResponseTopicPartition()
		response.RecordBatches, response.HighWatermark = b, b.NextOffset()
		partition, next := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{Offset: 1 << 33, Topic: "t"}, &response, kgo.DefaultDecompressor(), nil)
		if partition.Err != nil || next != b.NextOffset() || len(partition.Records) != len(records) {
			t.Fatalf("%d records of %d, next offset %d: %v", len(partition.Records), len(records), next, partition.Err)
		}
		for i, want := range records {
			got := partition.Records[i]
			if got.Offset != 1<<33+int64(i) || got.Timestamp.UnixMilli() != want.timestampMs || !sameField(got.Key, want.key) || !sameField(got.Value, want.value) ||
				got.LeaderEpoch != 4 || got.ProducerID != 9 || got.ProducerEpoch != 2 || len(got.Headers) != len(want.headers) {
				t.Fatalf("record %d: %+v, want %+v", i, got, want)
			}
			for j, h := range got.Headers {
				if h.Key != string(want.headers[j].Key) || !sameField(h.Value, want.headers[j].Value) {
					t.Fatalf("record %d: header %d: %+v, want %+v", i, j, h, want.headers[j])
				}
			}
		}
	})
}
