package record

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// sieved is a record as a test remembers it.
type sieved struct {
	offset, timestampMs int64
	key, value, headers string
}

func sievedAll(t *rapid.T, b Batch) (all []sieved) {
	if err := b.CheckCRC(); err != nil {
		t.Fatal(err)
	}
	reader, err := b.Records(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	for reader.Next() {
		all = append(all, sievedOf(reader))
	}
	if err := reader.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

func sievedOf(reader *Reader) sieved {
	r := reader.Record()
	return sieved{reader.Offset(), reader.TimestampMs(), string(r.Key), fmt.Sprintf("%v %q", r.Value == nil, r.Value), fmt.Sprint(r.Headers.AppendTo(nil))}
}

// TestRewritingKeepsAllButTheRecordsThatGo sieves batches of every shape and holds what is built against what was kept.
func TestRewritingKeepsAllButTheRecordsThatGo(t *testing.T) {
	var rewriter Rewriter
	rapid.Check(t, func(t *rapid.T) {
		b := drawBatch(t)
		all := sievedAll(t, b)
		goes := rapid.SliceOfN(rapid.Bool(), len(all), len(all)).Draw(t, "goes")
		horizonMs := rapid.SampledFrom([]int64{NoTimestamp, 0, 5000, 1 << 41}).Draw(t, "horizon")
		var want []sieved
		i := 0
		kept, err := rewriter.Sieve(b, 1<<20, func(r *Reader) bool {
			keep := !goes[i]
			if keep {
				want = append(want, sievedOf(r))
			}
			i++
			return keep
		})
		if err != nil || kept != len(want) {
			t.Fatalf("%d kept of %d, %v", kept, len(want), err)
		}
		built := rewriter.Empty(b)
		if kept > 0 {
			if built, err = rewriter.Build(horizonMs); err != nil {
				t.Fatal(err)
			}
		}
		if got := sievedAll(t, built); !slices.Equal(got, want) {
			t.Fatalf("got %v\nwant %v", got, want)
		}
		if built.BaseOffset() != b.BaseOffset() || built.LastOffset() != b.LastOffset() || built.LastSequence() != b.LastSequence() ||
			built.ProducerID() != b.ProducerID() || built.PartitionLeaderEpoch() != b.PartitionLeaderEpoch() ||
			built.IsTransactional() != b.IsTransactional() || built.TimestampType() != b.TimestampType() || int(built.Count()) != kept {
			t.Fatalf("header % x\nwas % x", built[:HeaderSize], b[:HeaderSize])
		}
		if size, err := Size(built); err != nil || size != len(built) {
			t.Fatalf("size %d of %d, %v", size, len(built), err)
		}
		if kept == 0 {
			return
		}
		if horizonMs > NoTimestamp && (!built.HasDeleteHorizon() || built.BaseTimestampMs() != horizonMs) || built.Codec() != b.Codec() {
			t.Fatalf("horizon %d of %d, codec %v", built.BaseTimestampMs(), horizonMs, built.Codec())
		}
		newest := slices.MaxFunc(want, func(a, b sieved) int { return int(a.timestampMs - b.timestampMs) }).timestampMs
		if built.MaxTimestampMs() != newest {
			t.Fatalf("max timestamp %d of %d", built.MaxTimestampMs(), newest)
		}
	})
}

func drawBatch(t *rapid.T) Batch {
	builder := NewBuilder(Options{
		Codec:         Codec(rapid.IntRange(0, 4).Draw(t, "codec")),
		Producer:      &Producer{ID: 7, Epoch: 1, BaseSequence: rapid.Int32().Draw(t, "sequence") & 0x7fffffff},
		Transactional: rapid.Bool().Draw(t, "transactional"),
	})
	for range rapid.IntRange(1, 12).Draw(t, "records") {
		var key, value []byte
		if rapid.Bool().Draw(t, "has key") {
			key = rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "key")
		}
		if rapid.Bool().Draw(t, "has value") {
			value = rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "value")
		}
		var headers []Header
		if rapid.Bool().Draw(t, "has headers") {
			headers = []Header{{Key: []byte("a"), Value: []byte("b")}, {Key: []byte("null")}}
		}
		builder.Add(rapid.Int64Range(0, 1<<42).Draw(t, "timestamp"), key, value, headers...)
	}
	b, err := builder.Build()
	if err != nil {
		t.Fatal(err)
	}
	b = slices.Clone(b)
	b.SetBaseOffset(rapid.Int64Range(0, 1<<50).Draw(t, "base offset"))
	b.SetPartitionLeaderEpoch(3)
	if rapid.Bool().Draw(t, "log append time") {
		b.SetLogAppendTime(1 << 40)
	}
	return b
}
