package record

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/twmb/franz-go/pkg/kgo"
)

var allCodecs = []Codec{None, Gzip, Snappy, LZ4, Zstd}

// inputs are the shapes that codecs treat differently: nothing, one byte, around a block's end, incompressible, repetitive, text.
func inputs() map[string][]byte {
	random := make([]byte, 200_000)
	source := rand.NewChaCha8([32]byte{1})
	source.Read(random)
	return map[string][]byte{
		"empty":                 {},
		"one byte":              {7},
		"one xerial block":      bytes.Repeat([]byte("ab"), xerialBlockBytes/2),
		"one byte over a block": bytes.Repeat([]byte("x"), lz4BlockBytes+1),
		"incompressible":        random,
		"zeros":                 make([]byte, 1<<20),
		"text":                  []byte(strings.Repeat(`{"user":"u1","page":"/home"}`, 10_000)),
	}
}

func TestDecompressUndoesCompressAtEveryLevel(t *testing.T) {
	for name, input := range inputs() {
		for _, codec := range allCodecs {
			for _, level := range []int{-5, 0, 1, 3, 9, 17, 22, 1000} {
				packed, err := Compress(codec, level, []byte("before"), input)
				if err != nil {
					t.Fatalf("%s, %v level %d: %v", name, codec, level, err)
				}
				if !bytes.HasPrefix(packed, []byte("before")) {
					t.Fatalf("%s, %v level %d: overwrote what dst held", name, codec, level)
				}
				plain, err := Decompress(codec, []byte("kept"), packed[len("before"):], len(input))
				if err != nil {
					t.Fatalf("%s, %v level %d: %v", name, codec, level, err)
				}
				if !bytes.Equal(plain, append([]byte("kept"), input...)) {
					t.Fatalf("%s, %v level %d: %d bytes came back, not the %d that went in", name, codec, level, len(plain)-4, len(input))
				}
			}
		}
	}
}

func TestFranzGoReadsWhatWeCompressAndTheOtherWayRound(t *testing.T) {
	ofKgo := map[Codec]kgo.CompressionCodec{
		Gzip: kgo.GzipCompression(), Snappy: kgo.SnappyCompression(), LZ4: kgo.Lz4Compression(), Zstd: kgo.ZstdCompression(),
	}
	for name, input := range inputs() {
		for codec, kgoCodec := range ofKgo {
			ours, err := Compress(codec, 0, nil, input)
			if err != nil {
				t.Fatal(err)
			}
			plain, err := kgo.DefaultDecompressor().Decompress(ours, kgo.CompressionCodecType(codec))
			if err != nil || !bytes.Equal(plain, input) {
				t.Errorf("%s, %v: franz-go reads %d bytes of %d: %v", name, codec, len(plain), len(input), err)
			}
			compressor, err := kgo.DefaultCompressor(kgoCodec)
			if err != nil {
				t.Fatal(err)
			}
			theirs, used := compressor.Compress(new(bytes.Buffer), input)
			plain, err = Decompress(Codec(used), nil, theirs, len(input))
			if err != nil || !bytes.Equal(plain, input) {
				t.Errorf("%s, %v: we read %d bytes of %d: %v", name, codec, len(plain), len(input), err)
			}
		}
	}
}

func TestSnappyIsReadRawAndFramed(t *testing.T) {
	input := inputs()["text"]
	for name, packed := range map[string][]byte{
		"raw":    s2.EncodeSnappy(nil, input),
		"framed": compressSnappy(nil, input),
	} {
		plain, err := Decompress(Snappy, nil, packed, len(input))
		if err != nil || !bytes.Equal(plain, input) {
			t.Errorf("%s: %d bytes of %d: %v", name, len(plain), len(input), err)
		}
	}
}

func TestSnappyFramingIsThatOfTheJavaClient(t *testing.T) {
	packed := compressSnappy(nil, make([]byte, 3*xerialBlockBytes))
	if !bytes.HasPrefix(packed, []byte("\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01")) {
		t.Fatalf("header % x", packed[:16])
	}
	blocks := 0
	for rest := packed[16:]; len(rest) > 0; blocks++ {
		size := int(binary.BigEndian.Uint32(rest))
		if decoded, err := s2.DecodedLen(rest[4 : 4+size]); err != nil || decoded != xerialBlockBytes {
			t.Fatalf("block %d: %d bytes, %v", blocks, decoded, err)
		}
		rest = rest[4+size:]
	}
	if blocks != 3 {
		t.Fatalf("%d blocks", blocks)
	}
}

func TestLZ4FramesOfEveryShapeAreRead(t *testing.T) {
	input := inputs()["text"]
	for name, options := range map[string][]lz4.Option{
		"block checksums":   {lz4.BlockChecksumOption(true)},
		"content checksum":  {lz4.ChecksumOption(true)},
		"content size":      {lz4.SizeOption(uint64(len(input)))},
		"4 MiB blocks":      {lz4.BlockSizeOption(lz4.Block4Mb)},
		"256 KiB, high":     {lz4.BlockSizeOption(lz4.Block256Kb), lz4.CompressionLevelOption(lz4.Level9)},
		"nothing but data":  {lz4.ChecksumOption(false), lz4.BlockSizeOption(lz4.Block64Kb)},
		"every check there": {lz4.ChecksumOption(true), lz4.BlockChecksumOption(true), lz4.SizeOption(uint64(len(input)))},
	} {
		var packed bytes.Buffer
		writer := lz4.NewWriter(&packed)
		if err := writer.Apply(options...); err != nil {
			t.Fatal(err)
		}
		writer.Write(input)
		if err := writer.Close(); err != nil {
			t.Fatal(err)
		}
		plain, err := Decompress(LZ4, nil, packed.Bytes(), len(input))
		if err != nil || !bytes.Equal(plain, input) {
			t.Errorf("%s: %d bytes of %d: %v", name, len(plain), len(input), err)
		}
	}
}

// lz4DependentFrame is a frame whose second block copies from the first, as the reference command writes by default.
func lz4DependentFrame(first, second []byte) []byte {
	frame := []byte{0x04, 0x22, 0x4d, 0x18, lz4Version, 0x40, 0}
	for i, block := range [][]byte{first, second} {
		if i == 0 {
			frame = binary.LittleEndian.AppendUint32(frame, uint32(len(block))|lz4Stored)
			frame = append(frame, block...)
			continue
		}
		// One sequence: no literals, a match of len(block)-5 bytes at a distance of len(first); then the last five as literals.
		matched := len(block) - 5
		packed := []byte{0x0f, byte(len(first)), byte(len(first) >> 8), byte(matched - 4 - 15), 0x50}
		packed = append(packed, block[matched:]...)
		frame = binary.LittleEndian.AppendUint32(frame, uint32(len(packed)))
		frame = append(frame, packed...)
	}
	return append(frame, 0, 0, 0, 0)
}

func TestLZ4BlocksMayCopyFromTheBlockBefore(t *testing.T) {
	block := []byte("a block of sixty bytes, more or less, that comes two times!!")
	plain, err := Decompress(LZ4, []byte("prefix"), lz4DependentFrame(block, block), 1<<20)
	if err != nil || string(plain) != "prefix"+string(block)+string(block) {
		t.Fatalf("%q %v", plain, err)
	}
}

// bombs are inputs that become much more than the bound, honest ones and such as lie about their size.
func bombs(t testing.TB) map[string]struct {
	codec  Codec
	packed []byte
} {
	type bomb = struct {
		codec  Codec
		packed []byte
	}
	const size = 64 << 20
	zeros := make([]byte, size)
	all := map[string]bomb{"none": {None, make([]byte, 2<<20)}}
	for _, codec := range allCodecs[1:] {
		packed, err := Compress(codec, 0, nil, zeros)
		if err != nil {
			t.Fatal(err)
		}
		all[codec.String()] = bomb{codec, packed}
	}
	all["snappy raw"] = bomb{Snappy, s2.EncodeSnappy(nil, zeros)}
	all["snappy that declares 4 GiB"] = bomb{Snappy, []byte{0xff, 0xff, 0xff, 0xff, 0x0f, 0}}

	var streamed bytes.Buffer // no content size in the header
	writer, err := zstd.NewWriter(&streamed, zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	for range size >> 20 {
		writer.Write(zeros[:1<<20])
	}
	writer.Close()
	all["zstd without a content size"] = bomb{Zstd, streamed.Bytes()}
	var linked bytes.Buffer
	lz4Writer := lz4.NewWriter(&linked)
	lz4Writer.Apply(lz4.BlockSizeOption(lz4.Block4Mb), lz4.ConcurrencyOption(1))
	lz4Writer.Write(zeros)
	lz4Writer.Close()
	all["lz4 of 4 MiB blocks"] = bomb{LZ4, linked.Bytes()}
	return all
}

func TestBombStopsAtTheBound(t *testing.T) {
	const bound = 1 << 20
	for name, bomb := range bombs(t) {
		t.Run(name, func(t *testing.T) {
			Decompress(bomb.codec, nil, bomb.packed, bound) // the pools are warm after this
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := Decompress(bomb.codec, nil, bomb.packed, bound)
			runtime.ReadMemStats(&after)
			if !errors.Is(err, ErrTooLarge) {
				t.Fatalf("%d bytes: %v", len(bomb.packed), err)
			}
			// Growing by doubling allocates twice the bound; one LZ4 block is 4 MiB at most.
			if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 4*bound+8<<20 {
				t.Errorf("allocated %d bytes under a bound of %d", allocated, bound)
			}
		})
	}
}

func TestDeclaredSizeIsNotBelieved(t *testing.T) {
	const bound = 1 << 30
	for name, lie := range map[string]struct {
		codec  Codec
		packed []byte
	}{
		"snappy raw":    {Snappy, append(binary.AppendUvarint(nil, 900<<20), 0, 0)},
		"snappy framed": {Snappy, append(append(bytes.Clone(xerialHeader), 0, 0, 0, 6), append(binary.AppendUvarint(nil, 900<<20), 0)...)},
		// A frame with a content size of 900 MiB in 8 bytes, then one raw block of 1 byte, the last.
		"zstd":                {Zstd, append(binary.LittleEndian.AppendUint64([]byte{0x28, 0xb5, 0x2f, 0xfd, 0xc0, 0x50}, 900<<20), 9, 0, 0, 'x')},
		"zstd of one segment": {Zstd, append(binary.LittleEndian.AppendUint64([]byte{0x28, 0xb5, 0x2f, 0xfd, 0xe0}, 100<<20), 9, 0, 0, 'x')},
		// A frame that declares a content of 900 MiB and has one stored byte.
		"lz4": {LZ4, append(binary.LittleEndian.AppendUint64([]byte{0x04, 0x22, 0x4d, 0x18, 0x68, 0x70}, 900<<20), 0, 1, 0, 0, 0x80, 'x', 0, 0, 0)},
	} {
		Decompress(lie.codec, nil, lie.packed, bound)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := Decompress(lie.codec, nil, lie.packed, bound)
		runtime.ReadMemStats(&after)
		if !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
		if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 2<<20 {
			t.Errorf("%s: %d bytes allocated for an input of %d", name, allocated, len(lie.packed))
		}
	}
}

func TestBoundIsExact(t *testing.T) {
	input := inputs()["text"]
	for _, codec := range allCodecs {
		packed, err := Compress(codec, 0, nil, input)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Decompress(codec, nil, packed, len(input)); err != nil {
			t.Errorf("%v: %d bytes under a bound of as many: %v", codec, len(input), err)
		}
		if _, err := Decompress(codec, nil, packed, len(input)-1); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%v: %d bytes under a bound of one less: %v", codec, len(input), err)
		}
	}
}

func TestTruncatedOrForeignInputIsAnError(t *testing.T) {
	input := inputs()["text"]
	for _, codec := range allCodecs[1:] {
		packed, err := Compress(codec, 0, nil, input)
		if err != nil {
			t.Fatal(err)
		}
		for _, cut := range []int{1, 3, 5, len(packed) / 2, len(packed) - 3} {
			if plain, err := Decompress(codec, nil, packed[:cut], len(input)); err == nil && len(plain) == len(input) {
				t.Errorf("%v: %d of %d bytes gave all", codec, cut, len(packed))
			}
		}
		if _, err := Decompress(codec, nil, []byte("these are no compressed bytes at all"), 1<<20); !errors.Is(err, ErrInvalid) {
			t.Errorf("%v: foreign bytes: %v", codec, err)
		}
	}
	for _, codec := range []Codec{-1, 5, 6, 7} {
		if _, err := Decompress(codec, nil, nil, 1); !errors.Is(err, ErrCodec) {
			t.Errorf("decompress codec %d: %v", codec, err)
		}
		if _, err := Compress(codec, 0, nil, nil); !errors.Is(err, ErrCodec) {
			t.Errorf("compress codec %d: %v", codec, err)
		}
	}
}

func TestCodecNamesReadBack(t *testing.T) {
	for _, codec := range allCodecs {
		if parsed, err := ParseCodec(codec.String()); err != nil || parsed != codec {
			t.Errorf("%v: %v %v", codec, parsed, err)
		}
	}
	if _, err := ParseCodec("brotli"); !errors.Is(err, ErrCodec) {
		t.Error(err)
	}
}

func TestWarmCodecsAllocateNothing(t *testing.T) {
	input := inputs()["text"]
	for _, codec := range allCodecs {
		packed, _ := Compress(codec, 0, nil, input)
		plain := make([]byte, 0, 2*len(input))
		scratch := make([]byte, 0, 2*len(input))
		allocations := testing.AllocsPerRun(20, func() {
			if _, err := Decompress(codec, plain, packed, len(input)); err != nil {
				t.Fatal(err)
			}
			if _, err := Compress(codec, 0, scratch, input); err != nil {
				t.Fatal(err)
			}
		})
		if allocations >= 2 && !raceEnabled { // the race detector makes sync.Pool forget at random
			t.Errorf("%v: %v allocations", codec, allocations)
		}
	}
}
