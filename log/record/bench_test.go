package record

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// The batch of the reports: 500 records of 100 bytes, 16 of them the key, no headers.
func benchmarkBatch(b *testing.B, codec Codec) Batch {
	records := many(500)
	for i := range records {
		records[i].Headers = Headers{}
	}
	return build(b, Options{Codec: codec}, records...)
}

func perRecord(b *testing.B, count int32) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(count), "ns/record")
}

func BenchmarkCheckCRC(b *testing.B) {
	batch := benchmarkBatch(b, None)
	for b.Loop() {
		if batch.CheckCRC() != nil {
			b.Fatal("corrupt")
		}
	}
	perRecord(b, batch.Count())
}

func BenchmarkValidate(b *testing.B) {
	batch := benchmarkBatch(b, None)
	b.ReportAllocs()
	for b.Loop() {
		if batch.Validate() != nil {
			b.Fatal("invalid")
		}
	}
	perRecord(b, batch.Count())
}

func BenchmarkValidateProduced(b *testing.B) {
	for _, codec := range allCodecs {
		b.Run(codec.String(), func(b *testing.B) {
			batch := benchmarkBatch(b, codec)
			b.ReportAllocs()
			for b.Loop() {
				if batch.ValidateProduced(1<<20) != nil {
					b.Fatal("invalid")
				}
			}
			perRecord(b, batch.Count())
		})
	}
}

func BenchmarkWalk(b *testing.B) {
	for _, codec := range allCodecs {
		b.Run(codec.String(), func(b *testing.B) {
			batch := benchmarkBatch(b, codec)
			var reader Reader
			b.ReportAllocs()
			for b.Loop() {
				if err := reader.Reset(batch, 1<<20); err != nil {
					b.Fatal(err)
				}
				bytes := 0
				for reader.Next() {
					record := reader.Record()
					bytes += len(record.Value)
				}
				if bytes != 500*84 {
					b.Fatal(bytes)
				}
			}
			perRecord(b, batch.Count())
		})
	}
}

func BenchmarkBuild(b *testing.B) {
	for _, codec := range allCodecs {
		b.Run(codec.String(), func(b *testing.B) {
			records := many(500)
			builder := NewBuilder(Options{Codec: codec})
			b.ReportAllocs()
			for b.Loop() {
				builder.Reset()
				for i := range records {
					builder.Add(int64(i), records[i].Key, records[i].Value)
				}
				if _, err := builder.Build(); err != nil {
					b.Fatal(err)
				}
			}
			perRecord(b, 500)
		})
	}
}

// BenchmarkCodec goes over 1 MiB of JSON-like records of 1 KiB.
func BenchmarkCodec(b *testing.B) {
	plain := jsonLike(1 << 20)
	for _, codec := range allCodecs[1:] {
		packed, err := Compress(codec, 0, nil, plain)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(codec.String()+"/compress", func(b *testing.B) {
			var dst []byte
			b.SetBytes(int64(len(plain)))
			for b.Loop() {
				if dst, err = Compress(codec, 0, dst[:0], plain); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(plain))/float64(len(dst)), "ratio")
		})
		b.Run(codec.String()+"/decompress", func(b *testing.B) {
			var dst []byte
			b.SetBytes(int64(len(plain)))
			for b.Loop() {
				if dst, err = Decompress(codec, dst[:0], packed, len(plain)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func jsonLike(size int) []byte {
	random := rand.New(rand.NewPCG(1, 2))
	var text []byte
	for i := 0; len(text) < size; i++ {
		text = fmt.Appendf(text, `{"id":%d,"user":"u%d","page":"/products/%d","ms":%d,"token":"%016x","tags":["a%d","b%d"]}`,
			i, random.IntN(100_000), random.IntN(5000), random.IntN(1_000_000), random.Uint64(), random.IntN(50), random.IntN(50))
	}
	return text[:size]
}
