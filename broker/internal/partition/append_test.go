package partition

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/disk"
	"github.com/millrace/millrace/internal/invariant"
	"github.com/millrace/millrace/log"
	"github.com/millrace/millrace/log/record"
)

func TestAppendRefusesWhatAProducerMayNotSend(t *testing.T) {
	const hourMs = 3600_000
	at := func(timestampMs int64) record.Batch {
		builder := record.NewBuilder(record.Options{})
		builder.Add(timestampMs, nil, []byte("v"))
		b, err := builder.Build()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	logAppendTime := batch(t, nil, "v")
	logAppendTime.SetLogAppendTime(nowMs)
	corrupt := batch(t, nil, "value")
	corrupt[len(corrupt)-2] ^= 1
	shifted := batch(t, nil, "v")
	shifted.SetBaseOffset(7)
	tests := map[string]struct {
		change func(*Config)
		batch  record.Batch
		want   error
	}{
		"sound":                   {nil, batch(t, nil, "v"), nil},
		"crc":                     {nil, corrupt, record.ErrCorrupt},
		"base offset":             {nil, shifted, record.ErrInvalid},
		"control":                 {nil, batch(t, func(o *record.Options) { o.Control = true }, "v"), record.ErrInvalid},
		"no sequence":             {nil, batch(t, from(1, 0, -1), "v"), record.ErrInvalid},
		"transactional":           {nil, batch(t, func(o *record.Options) { from(1, 0, 0)(o); o.Transactional = true }, "v"), log.ErrInvalidTxnState},
		"claims LogAppendTime":    {nil, logAppendTime, record.ErrTimestamp},
		"an hour ahead":           {nil, at(nowMs + hourMs), nil},
		"too far ahead":           {nil, at(nowMs + hourMs + 1), ErrTimestamp},
		"end of time":             {nil, at(1<<63 - 1), ErrTimestamp},
		"ahead without limit":     {func(c *Config) { c.TimestampAfterMaxMs = 1<<63 - 1 }, at(1<<63 - 1), nil},
		"long ago":                {nil, at(0), nil},
		"just in time":            {func(c *Config) { c.TimestampBeforeMaxMs = 10 }, at(nowMs - 10), nil},
		"too old":                 {func(c *Config) { c.TimestampBeforeMaxMs = 10 }, at(nowMs - 11), ErrTimestamp},
		"no timestamp":            {func(c *Config) { c.TimestampBeforeMaxMs = 10 }, at(-1), nil},
		"broker's time is kept":   {func(c *Config) { c.TimestampBeforeMaxMs, c.Log.LogAppendTime = 10, true }, at(nowMs + 2*hourMs), nil},
		"compacted, with key":     {func(c *Config) { c.Log.Compacted = true }, batch(t, nil, "v"), nil},
		"compacted, without":      {func(c *Config) { c.Log.Compacted = true }, at(nowMs), ErrNoKey},
		"before the bytes' crc 2": {func(c *Config) { c.MaxMessageBytes = 10 }, corrupt, &TooLargeError{Size: len(corrupt), Limit: 10}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			p := open(t, disk.NewMem(), func(o *Options) {
				if test.change != nil {
					test.change(&o.Config)
				}
			})
			_, err := p.Append(slices.Clone(test.batch), nowMs, Client)
			if large, ok := errors.AsType[*TooLargeError](test.want); ok {
				got, _ := errors.AsType[*TooLargeError](err)
				if got == nil || *got != *large {
					t.Errorf("error %v, want %v", err, large)
				}
				return
			}
			if test.want == nil && err != nil || test.want != nil && !errors.Is(err, test.want) {
				t.Errorf("error %v, want %v", err, test.want)
			}
			if end := p.Offsets().LogEnd; err != nil && end != 0 {
				t.Errorf("refused, and log end is %d", end)
			}
		})
	}
}

func TestSizeLimitsAreOnTheBatch(t *testing.T) {
	b := batch(t, nil, strings.Repeat("x", 1000))
	for limit, want := range map[int]bool{len(b) - 1: false, len(b): true} {
		p := open(t, disk.NewMem(), func(o *Options) { o.Config.MaxMessageBytes = int32(limit) })
		if _, err := p.Append(slices.Clone(b), nowMs, Client); (err == nil) != want {
			t.Errorf("limit %d for %d bytes: %v", limit, len(b), err)
		}
	}
	p := open(t, disk.NewMem(), func(o *Options) { o.Config.Log.SegmentBytes = int64(len(b)) - 1 })
	_, err := p.Append(b, nowMs, Client)
	if large, ok := errors.AsType[*TooLargeError](err); !ok || !large.Segment {
		t.Errorf("larger than a segment: %v", err)
	}
}

func TestInternalAppendsMayBeControlBatches(t *testing.T) {
	p := open(t, disk.NewMem(), nil)
	if _, err := p.Append(batch(t, func(o *record.Options) { o.Control = true }, "v"), nowMs, Internal); err != nil {
		t.Error(err)
	}
}

func TestRejectedRecordsAreNamed(t *testing.T) {
	p := open(t, disk.NewMem(), func(o *Options) { o.Config.Log.Compacted = true })
	for _, codec := range []record.Codec{record.None, record.Zstd} {
		builder := record.NewBuilder(record.Options{Codec: codec})
		builder.Add(nowMs, []byte("k"), nil)
		builder.Add(nowMs, nil, []byte("v"))
		builder.Add(nowMs, []byte(""), []byte("v"))
		builder.Add(nowMs, nil, []byte("v"))
		b, err := builder.Build()
		if err != nil {
			t.Fatal(err)
		}
		_, err = p.Append(b, nowMs, Client)
		rejected, ok := errors.AsType[*RejectedError](err)
		if !ok || !slices.Equal(positions(rejected), []int32{1, 3}) {
			t.Errorf("%v: %v", codec, err)
		}
	}
}

func positions(e *RejectedError) []int32 {
	var positions []int32
	for _, r := range e.Records {
		positions = append(positions, r.Index)
	}
	return positions
}

// All that is wrong is told in the batch's order, each record for its own reason; a timestamp decides about the code.
func TestRecordsAreRejectedForDifferentReasons(t *testing.T) {
	const hourMs = 3600_000
	p := open(t, disk.NewMem(), func(o *Options) { o.Config.Log.Compacted, o.Config.TimestampBeforeMaxMs = true, hourMs })
	for _, codec := range []record.Codec{record.None, record.LZ4} {
		builder := record.NewBuilder(record.Options{Codec: codec})
		builder.Add(nowMs, []byte("k"), nil)
		builder.Add(nowMs+2*hourMs, nil, []byte("v"))
		builder.Add(nowMs-2*hourMs, []byte("k"), []byte("v"))
		builder.Add(nowMs+2*hourMs, []byte("k"), []byte("v"))
		b, err := builder.Build()
		if err != nil {
			t.Fatal(err)
		}
		_, err = p.Append(b, nowMs, Client)
		rejected, ok := errors.AsType[*RejectedError](err)
		if !ok || !slices.Equal(positions(rejected), []int32{1, 2, 3}) || !errors.Is(err, ErrTimestamp) {
			t.Fatalf("%v: %v", codec, err)
		}
		for i, want := range []error{ErrNoKey, ErrTimestamp, ErrTimestamp} {
			if !errors.Is(rejected.Records[i].Err, want) {
				t.Errorf("%v: record %d: %v, want %v", codec, rejected.Records[i].Index, rejected.Records[i].Err, want)
			}
		}
	}
}

func TestAGreatestTimestampThatNoRecordHasIsCorrected(t *testing.T) {
	const dayMs = 24 * 3600_000
	for _, codec := range []record.Codec{record.None, record.Gzip, record.Zstd} {
		p := open(t, disk.NewMem(), nil)
		b := batch(t, func(o *record.Options) { o.Codec = codec }, "a", "b")
		want := b.MaxTimestampMs()
		b.SetMaxTimestampMs(nowMs + dayMs)
		if _, err := p.Append(b, nowMs, Client); err != nil {
			t.Fatalf("%v: %v", codec, err)
		}
		if got := b.MaxTimestampMs(); got != want || b.CheckCRC() != nil {
			t.Errorf("%v: stored with %d, want %d", codec, got, want)
		}
	}
}

func TestRecordsFromTooFarAheadAreNamed(t *testing.T) {
	const ahead = 2 * 3600_000
	p := open(t, disk.NewMem(), nil)
	for _, codec := range []record.Codec{record.None, record.Zstd} {
		builder := record.NewBuilder(record.Options{Codec: codec})
		for _, offMs := range []int64{0, ahead, -ahead, ahead} {
			builder.Add(nowMs+offMs, nil, []byte("v"))
		}
		b, err := builder.Build()
		if err != nil {
			t.Fatal(err)
		}
		_, err = p.Append(b, nowMs, Client)
		rejected, ok := errors.AsType[*RejectedError](err)
		if !ok || !slices.Equal(positions(rejected), []int32{1, 3}) || !errors.Is(err, ErrTimestamp) {
			t.Errorf("%v: %v", codec, err)
		}
	}
}

func TestRetryOfADuplicateGetsTheFirstOffsets(t *testing.T) {
	p := open(t, disk.NewMem(), nil)
	produce(t, p, batch(t, nil, "before"))
	var firsts []log.Appended
	for i := range 5 {
		firsts = append(firsts, produce(t, p, batch(t, from(9, 0, int32(2*i)), "a", "b")))
	}
	for i := range 5 {
		again := produce(t, p, batch(t, from(9, 0, int32(2*i)), "a", "b"))
		if !again.Duplicate || again.BaseOffset != firsts[i].BaseOffset || again.LastOffset != firsts[i].LastOffset {
			t.Errorf("retry %d: %+v, first %+v", i, again, firsts[i])
		}
	}
	wantOffsets(t, p, 0, 11, 11, 11)
	_, err := p.Append(batch(t, from(9, 0, 11), "gap"), nowMs, Client)
	wantError(t, err, log.ErrOutOfOrderSequence)
	produce(t, p, batch(t, from(9, 1, 0), "new epoch"))
	_, err = p.Append(batch(t, from(9, 0, 10), "old epoch"), nowMs, Client)
	wantError(t, err, log.ErrInvalidProducerEpoch)
}

func TestDuplicateWindowSurvivesRestart(t *testing.T) {
	mem := disk.NewMem()
	p := open(t, mem, nil)
	var firsts []log.Appended
	for i := range 5 {
		firsts = append(firsts, produce(t, p, batch(t, from(9, 0, int32(i)), "v")))
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	p = open(t, mem, nil)
	if again := produce(t, p, batch(t, from(9, 0, 0), "v")); !again.Duplicate || again.BaseOffset != firsts[0].BaseOffset {
		t.Errorf("%+v, first %+v", again, firsts[0])
	}
}

func TestLogAppendTimeIsTheBrokers(t *testing.T) {
	p := open(t, disk.NewMem(), func(o *Options) { o.Config.Log.LogAppendTime = true })
	appended, err := p.Append(batch(t, nil, "a"), nowMs+5, Client)
	if err != nil || appended.LogAppendTimeMs != nowMs+5 {
		t.Errorf("%+v, %v", appended, err)
	}
	p = open(t, disk.NewMem(), nil)
	if appended := produce(t, p, batch(t, nil, "a")); appended.LogAppendTimeMs != -1 {
		t.Errorf("CreateTime: %+v", appended)
	}
}

func TestRecompressionChangesTheCodecAndNothingElse(t *testing.T) {
	codecs := []record.Codec{record.None, record.Gzip, record.Snappy, record.LZ4, record.Zstd}
	for _, to := range codecs {
		for _, source := range codecs {
			t.Run(fmt.Sprintf("%v to %v", source, to), func(t *testing.T) {
				p := open(t, disk.NewMem(), func(o *Options) { o.Config.Recompress, o.Config.Codec = true, to })
				sent := batch(t, func(o *record.Options) { from(3, 2, 0)(o); o.Codec = source }, "a", "b", "c")
				produce(t, p, sent)
				r, _, err := p.Read(0, 1<<20, true, ReadUncommitted)
				if err != nil {
					t.Fatal(err)
				}
				defer r.Release()
				data := make([]byte, r.Size())
				if _, err := r.ReadAt(data, 0); err != nil {
					t.Fatal(err)
				}
				stored := record.Batch(data)
				if err := stored.Validate(); err != nil {
					t.Fatal(err)
				}
				if stored.Codec() != to || stored.ProducerID() != 3 || stored.ProducerEpoch() != 2 || stored.BaseSequence() != 0 ||
					stored.MaxTimestampMs() != nowMs+2 || stored.BaseTimestampMs() != nowMs || stored.PartitionLeaderEpoch() != 5 {
					t.Errorf("stored %v, producer %d/%d/%d, timestamps %d to %d, epoch %d", stored.Codec(), stored.ProducerID(),
						stored.ProducerEpoch(), stored.BaseSequence(), stored.BaseTimestampMs(), stored.MaxTimestampMs(), stored.PartitionLeaderEpoch())
				}
				if got := values(t, p, 0); !slices.Equal(got, []string{"a", "b", "c"}) {
					t.Errorf("read %q", got)
				}
				v, err := p.BeginVerification(4, 0, 0, true)
				if err != nil {
					t.Fatal(err)
				}
				sent = batch(t, func(o *record.Options) { from(4, 0, 0)(o); o.Codec, o.Transactional = source, true }, "d")
				if _, err := p.AppendInTransaction(sent, nowMs, Client, v); err != nil {
					t.Fatal(err)
				}
				if first, open := p.log.OpenTransaction(4); !open || first != 3 {
					t.Errorf("a batch of a transaction opens none: %d, %v", first, open)
				}
			})
		}
	}
}

func TestRecompressionOfGarbageIsRefused(t *testing.T) {
	p := open(t, disk.NewMem(), func(o *Options) { o.Config.Recompress, o.Config.Codec = true, record.LZ4 })
	b := batch(t, func(o *record.Options) { o.Codec = record.Zstd }, strings.Repeat("a", 1000))
	clear(b[record.HeaderSize : record.HeaderSize+4])
	b.SetMaxTimestampMs(nowMs) // and a CRC that matches
	_, err := p.Append(b, nowMs, Client)
	wantError(t, err, record.ErrInvalid)
}

func TestAppendAllocatesNothing(t *testing.T) {
	if invariant.Enabled {
		t.Skip("assertions allocate")
	}
	p := open(t, disk.NewMem(), withFlush(FlushOS))
	b := batch(t, nil, slices.Repeat([]string{"value"}, 100)...)
	crc := slices.Clone(b)
	produce(t, p, b)
	allocations := testing.AllocsPerRun(200, func() {
		copy(b, crc)
		if _, err := p.Append(b, nowMs, Client); err != nil {
			t.Fatal(err)
		}
	})
	// The memory file itself grows now and then.
	if allocations > 1 {
		t.Errorf("%v allocations an append of 100 records", allocations)
	}
}

func BenchmarkAppend(b *testing.B) {
	p := open(b, disk.NewMem(), func(o *Options) { o.Config.Flush, o.Config.Log.RetentionBytes = FlushOS, 1<<20 })
	sent := batch(b, nil, slices.Repeat([]string{strings.Repeat("v", 100)}, 500)...)
	b.SetBytes(int64(len(sent)))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		binary.BigEndian.PutUint64(sent, 0)
		if _, err := p.Append(sent, nowMs, Client); err != nil {
			b.Fatal(err)
		}
	}
}
