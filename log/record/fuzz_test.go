package record

import (
	"bytes"
	"errors"
	"testing"
)

// FuzzBatch feeds any bytes to all that reads a batch: nothing may panic, every error is one of ours,
// and what passes validation must be walked without an error and give as many records as it counts.
func FuzzBatch(f *testing.F) {
	for _, codec := range allCodecs {
		f.Add([]byte(build(f, Options{Codec: codec, Producer: &Producer{ID: 1, BaseSequence: 5}}, many(3)...)))
	}
	f.Add([]byte(EndTxnMarker{Type: ControlAbort, ProducerID: 1}.Batch()))
	const maxBytes = 1 << 20
	f.Fuzz(func(t *testing.T, raw []byte) {
		checkBatches(t, bytes.Clone(raw), maxBytes)
		// The fuzzer does not find checksums; make them match, so that it gets to what lies behind them.
		if size, err := Size(raw); err == nil && size <= len(raw) {
			resummed := bytes.Clone(raw)
			Batch(resummed[:size]).resum()
			checkBatches(t, resummed, maxBytes)
		}
	})
}

func checkBatches(t *testing.T, raw []byte, maxBytes int) {
	for len(raw) > 0 {
		b, rest, err := Next(raw)
		if err != nil {
			expectOneOf(t, err, ErrShort, ErrCorrupt, ErrMagic)
			return
		}
		if len(b)+len(rest) != len(raw) {
			t.Fatalf("%d bytes and %d, of %d", len(b), len(rest), len(raw))
		}
		invalid := b.Validate()
		if invalid != nil {
			expectOneOf(t, invalid, ErrCorrupt, ErrCodec, ErrInvalid)
		}
		if _, err := b.ParseEndTxnMarker(); err != nil {
			expectOneOf(t, err, ErrInvalid)
		}
		walked, err := walk(b, maxBytes)
		if err != nil {
			expectOneOf(t, err, ErrInvalid, ErrCodec, ErrTooLarge)
		}
		if invalid == nil && b.Codec() == None && (err != nil || walked != int(b.Count())) {
			t.Fatalf("valid, yet %d records of %d: %v", walked, b.Count(), err)
		}
		if err := b.ValidateProduced(maxBytes); err != nil {
			expectOneOf(t, err, ErrCorrupt, ErrCodec, ErrInvalid, ErrTimestamp, ErrTooLarge)
		} else if err := b.ValidateProduced(maxBytes); err != nil {
			t.Fatalf("valid once, and not twice: %v", err)
		}
		raw = rest
	}
}

func walk(b Batch, maxBytes int) (records int, err error) {
	reader, err := b.Records(maxBytes)
	if err != nil {
		return 0, err
	}
	for reader.Next() {
		records++
		record := reader.Record()
		if got := len(record.Headers.AppendTo(nil)); got != record.Headers.Len() {
			return records, errors.New("headers get lost")
		}
	}
	return records, reader.Err()
}

func expectOneOf(t *testing.T, err error, kinds ...error) {
	t.Helper()
	for _, kind := range kinds {
		if errors.Is(err, kind) {
			return
		}
	}
	t.Fatalf("an error of no kind that is documented: %v", err)
}

// FuzzRecord holds the quick way through a record against the thorough one.
func FuzzRecord(f *testing.F) {
	for _, r := range []Record{{}, {Key: []byte("k"), Value: bytes.Repeat([]byte("v"), 70)}, many(1)[0], {Value: make([]byte, 1<<14)}} {
		f.Add([]byte(build(f, Options{}, r).Payload()), 0)
	}
	f.Fuzz(func(t *testing.T, p []byte, at int) {
		if at < 0 || at > len(p) {
			return
		}
		var quick, thorough Record
		quickNext, next := parseRecord(p, at, &quick), parseAnyRecord(p, at, &thorough)
		offsetDelta, timestampDeltaMs, checkedNext := checkRecord(p, at)
		if quickNext != next || checkedNext != next {
			t.Fatalf("next record at %d, %d and %d", quickNext, checkedNext, next)
		}
		if next == malformed {
			return
		}
		if quick.OffsetDelta != thorough.OffsetDelta || quick.TimestampDeltaMs != thorough.TimestampDeltaMs ||
			offsetDelta != int64(thorough.OffsetDelta) || timestampDeltaMs != thorough.TimestampDeltaMs ||
			!sameField(quick.Key, thorough.Key) || !sameField(quick.Value, thorough.Value) || quick.Headers.Len() != thorough.Headers.Len() {
			t.Fatalf("%+v, %+v", quick, thorough)
		}
	})
}

func fuzzDecompress(f *testing.F, codec Codec) {
	for _, input := range [][]byte{{}, []byte("x"), bytes.Repeat([]byte("0123456789"), 500), make([]byte, 200_000)} {
		packed, err := Compress(codec, 0, nil, input)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(packed)
		f.Add(packed[:len(packed)/2])
	}
	const maxBytes = 1 << 18
	f.Fuzz(func(t *testing.T, packed []byte) {
		plain, err := Decompress(codec, []byte("prefix"), packed, maxBytes)
		if err != nil {
			expectOneOf(t, err, ErrInvalid, ErrTooLarge)
		}
		if !bytes.HasPrefix(plain, []byte("prefix")) {
			t.Fatal("overwrote what dst held")
		}
		if len(plain) > maxBytes+len("prefix") {
			t.Fatalf("%d bytes", len(plain))
		}
		if err != nil {
			return
		}
		again, err := Compress(codec, 0, nil, plain)
		if err != nil {
			t.Fatal(err)
		}
		back, err := Decompress(codec, nil, again, maxBytes+len("prefix"))
		if err != nil || !bytes.Equal(back, plain) {
			t.Fatalf("%d bytes became %d: %v", len(plain), len(back), err)
		}
	})
}

func FuzzDecompressGzip(f *testing.F)   { fuzzDecompress(f, Gzip) }
func FuzzDecompressSnappy(f *testing.F) { fuzzDecompress(f, Snappy) }
func FuzzDecompressLZ4(f *testing.F)    { fuzzDecompress(f, LZ4) }
func FuzzDecompressZstd(f *testing.F)   { fuzzDecompress(f, Zstd) }
