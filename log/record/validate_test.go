package record

import (
	"encoding/binary"
	"errors"
	"fmt"
	"testing"
)

func build(t testing.TB, options Options, records ...Record) Batch {
	t.Helper()
	builder := NewBuilder(options)
	for i, r := range records {
		builder.Add(1000+int64(i), r.Key, r.Value, r.Headers.AppendTo(nil)...)
	}
	batch, err := builder.Build()
	if err != nil {
		t.Fatal(err)
	}
	return batch
}

func three(t testing.TB, codec Codec) Batch {
	return build(t, Options{Codec: codec}, Record{Key: []byte("a"), Value: []byte("1")}, Record{Value: []byte("2")}, Record{Key: []byte("c")})
}

// resum makes the CRC match after a field was changed, so that the check behind it is reached.
func (b Batch) resum() { b.SetMaxTimestampMs(b.MaxTimestampMs()) }

func TestValidateFindsEveryBrokenField(t *testing.T) {
	put16 := func(at int, v uint16) func(Batch) {
		return func(b Batch) { binary.BigEndian.PutUint16(b[at:], v); b.resum() }
	}
	put32 := func(at int, v uint32) func(Batch) {
		return func(b Batch) { binary.BigEndian.PutUint32(b[at:], v); b.resum() }
	}
	// The first record is: length 9, attributes, timestamp delta, offset delta, 1 'a', 1 '1', no headers.
	put8 := func(at int, v byte) func(Batch) {
		return func(b Batch) { b[at] = v; b.resum() }
	}
	for name, c := range map[string]struct {
		codec Codec
		spoil func(Batch)
		want  error
	}{
		"sound":                            {None, func(Batch) {}, nil},
		"sound, compressed":                {Gzip, func(Batch) {}, nil},
		"another leader epoch and offset":  {None, func(b Batch) { b.SetPartitionLeaderEpoch(9); b.SetBaseOffset(1 << 40) }, nil},
		"magic 0":                          {None, func(b Batch) { b[magicAt] = 0 }, ErrMagic},
		"magic 1":                          {None, func(b Batch) { b[magicAt] = 1 }, ErrMagic},
		"magic 3":                          {None, func(b Batch) { b[magicAt] = 3 }, ErrCorrupt},
		"magic -1":                         {None, func(b Batch) { b[magicAt] = 0xff }, ErrCorrupt},
		"length too small":                 {None, put32(lengthAt, leastLength-1), ErrCorrupt},
		"length negative":                  {None, put32(lengthAt, 0xffffffff), ErrCorrupt},
		"length one less":                  {None, func(b Batch) { binary.BigEndian.PutUint32(b[lengthAt:], uint32(len(b)-13)) }, ErrCorrupt},
		"crc":                              {None, func(b Batch) { b[crcAt] ^= 1 }, ErrCorrupt},
		"last byte":                        {None, func(b Batch) { b[len(b)-1] ^= 1 }, ErrCorrupt},
		"last byte, compressed":            {Zstd, func(b Batch) { b[len(b)-1] ^= 1 }, ErrCorrupt},
		"codec 5":                          {None, put16(attributesAt, 5), ErrCodec},
		"codec 7":                          {Gzip, put16(attributesAt, 7), ErrCodec},
		"count 0":                          {None, put32(countAt, 0), ErrInvalid},
		"count negative":                   {None, put32(countAt, 0xffffffff), ErrInvalid},
		"count of one more":                {Gzip, put32(countAt, 4), ErrInvalid},
		"last offset delta of one less":    {Gzip, put32(lastOffsetDeltaAt, 1), ErrInvalid},
		"count and delta of one more":      {None, func(b Batch) { put32(countAt, 4)(b); put32(lastOffsetDeltaAt, 3)(b) }, ErrInvalid},
		"count and delta of one less":      {None, func(b Batch) { put32(countAt, 2)(b); put32(lastOffsetDeltaAt, 1)(b) }, ErrInvalid},
		"largest count":                    {None, func(b Batch) { put32(countAt, 1<<31-1)(b); put32(lastOffsetDeltaAt, 1<<31-2)(b) }, ErrInvalid},
		"record longer than the batch":     {None, put8(HeaderSize, 0x7e), ErrInvalid},
		"record of length 0":               {None, put8(HeaderSize, 0), ErrInvalid},
		"record of negative length":        {None, put8(HeaderSize, 1), ErrInvalid},
		"record length never ends":         {None, func(b Batch) { fill(b[HeaderSize:], 0xff); b.resum() }, ErrInvalid},
		"offset delta 1 first":             {None, put8(HeaderSize+3, 2), ErrInvalid},
		"offset delta -1":                  {None, put8(HeaderSize+3, 1), ErrInvalid},
		"key longer than the record":       {None, put8(HeaderSize+4, 0x20), ErrInvalid},
		"key length -2":                    {None, put8(HeaderSize+4, 3), ErrInvalid},
		"value longer than the record":     {None, put8(HeaderSize+6, 0x20), ErrInvalid},
		"value shorter than the record":    {None, put8(HeaderSize+6, 0), ErrInvalid},
		"one header that is not there":     {None, put8(HeaderSize+8, 2), ErrInvalid},
		"negative number of headers":       {None, put8(HeaderSize+8, 1), ErrInvalid},
		"broken records are not looked at": {Gzip, put8(HeaderSize, 0), nil},
	} {
		b := three(t, c.codec)
		c.spoil(b)
		if err := b.Validate(); !errors.Is(err, c.want) || (c.want == nil) != (err == nil) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func fill(p []byte, v byte) {
	for i := range p {
		p[i] = v
	}
}

func TestClientMayNotDoWhatTheBrokerMay(t *testing.T) {
	marker := EndTxnMarker{Type: ControlCommit, ProducerID: 5, ProducerEpoch: 1, TimestampMs: 3}.Batch()
	if err := marker.Validate(); err != nil {
		t.Errorf("marker: %v", err)
	}
	moved := three(t, None)
	moved.SetBaseOffset(3)
	stamped := three(t, LZ4)
	stamped.SetLogAppendTime(99)
	for name, c := range map[string]struct {
		batch Batch
		want  error
	}{
		"control batch":            {marker, ErrInvalid},
		"base offset 3":            {moved, ErrInvalid},
		"LogAppendTime":            {stamped, ErrTimestamp},
		"producer id, no sequence": {build(t, Options{Producer: &Producer{ID: 0, Epoch: 0, BaseSequence: NoSequence}}, Record{}), ErrInvalid},
	} {
		if err := c.batch.Validate(); err != nil {
			t.Errorf("%s, from the broker: %v", name, err)
		}
		if err := c.batch.ValidateProduced(1 << 20); !errors.Is(err, c.want) {
			t.Errorf("%s, from a client: %v", name, err)
		}
	}
}

func TestMaximumTimestampOfAProducerIsCorrected(t *testing.T) {
	for _, codec := range allCodecs {
		b := three(t, codec) // timestamps 1000, 1001, 1002
		b.SetMaxTimestampMs(-1)
		if err := b.ValidateProduced(1 << 20); err != nil {
			t.Fatalf("%v: %v", codec, err)
		}
		if b.MaxTimestampMs() != 1002 || b.CheckCRC() != nil {
			t.Errorf("%v: maximum %d, %v", codec, b.MaxTimestampMs(), b.CheckCRC())
		}
	}
	early := three(t, None)
	early.SetMaxTimestampMs(1_000_000)
	if err := early.ValidateProduced(0); err != nil || early.MaxTimestampMs() != 1002 {
		t.Errorf("too late a maximum became %d, %v", early.MaxTimestampMs(), err)
	}
	bomb := build(t, Options{Codec: Zstd}, Record{Value: make([]byte, 1<<20)})
	bomb.SetMaxTimestampMs(-1)
	if err := bomb.ValidateProduced(1 << 19); !errors.Is(err, ErrTooLarge) {
		t.Errorf("bomb: %v", err)
	}
	liar := three(t, Zstd)
	binary.BigEndian.PutUint32(liar[countAt:], 2)
	binary.BigEndian.PutUint32(liar[lastOffsetDeltaAt:], 1)
	liar.SetMaxTimestampMs(-1)
	if err := liar.ValidateProduced(1 << 20); !errors.Is(err, ErrInvalid) {
		t.Errorf("wrong count under compression: %v", err)
	}
}

func TestNextTellsAShortBufferFromABrokenOne(t *testing.T) {
	b := three(t, None)
	two := append(append([]byte{}, b...), b...)
	first, rest, err := Next(two)
	if err != nil || len(first) != len(b) || len(rest) != len(b) || cap(first) != len(b) {
		t.Fatalf("%d, %d left, %v", len(first), len(rest), err)
	}
	for cut := range len(b) {
		if _, _, err := Next(b[:cut]); !errors.Is(err, ErrShort) {
			t.Errorf("%d bytes of %d: %v", cut, len(b), err)
		}
	}
	if _, _, err := Next(make([]byte, 100)); !errors.Is(err, ErrCorrupt) {
		t.Errorf("zeros: %v", err)
	}
	legacy := make([]byte, 40)
	legacy[lengthAt+3], legacy[magicAt] = 28, 1
	if _, _, err := Next(legacy); !errors.Is(err, ErrMagic) {
		t.Errorf("magic 1 with a length below version 2's: %v", err)
	}
}

func TestSequenceGoesFromTheGreatestToZero(t *testing.T) {
	for _, c := range []struct{ base, increment, want int32 }{
		{0, 0, 0}, {5, 3, 8}, {1<<31 - 1, 0, 1<<31 - 1}, {1<<31 - 1, 1, 0}, {1<<31 - 2, 3, 1}, {1<<31 - 1, 1<<31 - 1, 1<<31 - 2},
	} {
		if got := AddSequence(c.base, c.increment); got != c.want {
			t.Errorf("%d + %d = %d, want %d", c.base, c.increment, got, c.want)
		}
	}
	b := build(t, Options{Producer: &Producer{ID: 1, BaseSequence: 1<<31 - 1}}, Record{}, Record{})
	if b.LastSequence() != 0 {
		t.Errorf("last sequence %d", b.LastSequence())
	}
}

func TestLogAppendTimeIsTheTimestampOfEveryRecord(t *testing.T) {
	b := three(t, Snappy)
	b.SetLogAppendTime(777)
	if err := b.Validate(); err != nil {
		t.Fatal(err)
	}
	if b.TimestampType() != LogAppendTime || b.MaxTimestampMs() != 777 || b.Codec() != Snappy {
		t.Fatalf("%v %d %v", b.TimestampType(), b.MaxTimestampMs(), b.Codec())
	}
	reader, err := b.Records(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	for reader.Next() {
		if reader.TimestampMs() != 777 {
			t.Errorf("record at %d", reader.TimestampMs())
		}
	}
	if reader.Err() != nil {
		t.Error(reader.Err())
	}
}

func TestMarkerReadsBack(t *testing.T) {
	for _, controlType := range []ControlType{ControlAbort, ControlCommit} {
		marker := EndTxnMarker{Type: controlType, ProducerID: 1 << 40, ProducerEpoch: 7, CoordinatorEpoch: 12, TimestampMs: 1_700_000_000_000}
		b := marker.Batch()
		if err := b.Validate(); err != nil {
			t.Fatal(err)
		}
		if !b.IsControl() || !b.IsTransactional() || b.BaseSequence() != NoSequence || b.LastSequence() != NoSequence || b.Count() != 1 {
			t.Errorf("header % x", []byte(b[:HeaderSize]))
		}
		if got, err := b.ParseEndTxnMarker(); err != nil || got != marker {
			t.Errorf("%+v, %v", got, err)
		}
		if got, err := b.ControlType(); err != nil || got != controlType {
			t.Errorf("%v, %v", got, err)
		}
	}
	if _, err := three(t, None).ParseEndTxnMarker(); !errors.Is(err, ErrInvalid) {
		t.Errorf("data batch: %v", err)
	}
	leader := build(t, Options{Control: true}, Record{Key: []byte{0, 0, 0, 2}, Value: []byte{}})
	if _, err := leader.ParseEndTxnMarker(); !errors.Is(err, ErrInvalid) {
		t.Errorf("leader change: %v", err)
	}
	for _, key := range [][]byte{nil, {0, 0, 0}, {0xff, 0xff, 0, 1}} {
		b := build(t, Options{Control: true}, Record{Key: key})
		if _, err := b.ControlType(); !errors.Is(err, ErrInvalid) {
			t.Errorf("key % x: %v", key, err)
		}
	}
}

func TestSoundBatchIsValidatedAndWalkedWithoutAllocation(t *testing.T) {
	b := build(t, Options{}, many(500)...)
	var reader Reader
	if allocations := testing.AllocsPerRun(100, func() {
		if b.Validate() != nil || b.ValidateProduced(0) != nil {
			t.Fatal("invalid")
		}
		if reader.Reset(b, 0) != nil {
			t.Fatal("unreadable")
		}
		records, headers := 0, 0
		for reader.Next() {
			record := reader.Record()
			records++
			for header := range record.Headers.All() {
				headers += len(header.Key) & 1
			}
		}
		if records != 500 || headers != 500 || reader.Err() != nil {
			t.Fatal(records, headers, reader.Err())
		}
	}); allocations != 0 {
		t.Errorf("%v allocations for a batch of 500 records", allocations)
	}
}

func TestWarmBuilderAllocatesNothing(t *testing.T) {
	for _, codec := range allCodecs {
		builder := NewBuilder(Options{Codec: codec})
		key, value, header := []byte("0123456789abcdef"), make([]byte, 84), Header{Key: []byte("h")}
		allocations := testing.AllocsPerRun(50, func() {
			builder.Reset()
			for i := range 500 {
				builder.Add(int64(i), key, value, header)
			}
			if _, err := builder.Build(); err != nil {
				t.Fatal(err)
			}
		})
		if allocations >= 2 && !raceEnabled {
			t.Errorf("%v: %v allocations for a batch of 500 records", codec, allocations)
		}
	}
}

// many is count records of a 16 byte key, an 84 byte value and one header.
func many(count int) []Record {
	headers := Headers{raw: []byte{2, 'h', 2, 'v'}, count: 1}
	records := make([]Record, count)
	for i := range records {
		records[i] = Record{Key: fmt.Appendf(nil, "%016d", i), Value: fmt.Appendf(nil, "%084d", i), Headers: headers}
	}
	return records
}
