package record

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Codec is how the records of a batch are compressed, as in the attribute bits.
type Codec int8

// The codecs, with the numbers of the attribute bits.
const (
	None   Codec = 0
	Gzip   Codec = 1
	Snappy Codec = 2
	LZ4    Codec = 3
	Zstd   Codec = 4
)

var codecNames = [...]string{"none", "gzip", "snappy", "lz4", "zstd"}

// Known says whether Compress and Decompress can handle c.
func (c Codec) Known() bool { return c >= None && c <= Zstd }

// String is Kafka's name of the codec, which ParseCodec reads.
func (c Codec) String() string {
	if !c.Known() {
		return fmt.Sprintf("codec-%d", int8(c))
	}
	return codecNames[c]
}

// ParseCodec reads a name as String writes it. Errors: ErrCodec.
func ParseCodec(name string) (Codec, error) {
	if i := slices.Index(codecNames[:], name); i >= 0 {
		return Codec(i), nil
	}
	return 0, fmt.Errorf("%w: %q, not one of %s", ErrCodec, name, strings.Join(codecNames[:], ", "))
}

// Compress appends src, compressed, to dst, which may be nil. level is the codec's own, 0 for its default;
// a level out of the codec's range takes the nearest. Errors: ErrCodec. Safe for concurrent use.
func Compress(codec Codec, level int, dst, src []byte) ([]byte, error) {
	switch codec {
	case None:
		return append(dst, src...), nil
	case Gzip:
		return compressGzip(level, dst, src)
	case Snappy:
		return compressSnappy(dst, src), nil
	case LZ4:
		return compressLZ4(level, dst, src)
	case Zstd:
		return compressZstd(level, dst, src)
	}
	return dst, fmt.Errorf("%w: %d", ErrCodec, int8(codec))
}

// Decompress appends src, decompressed, to dst, which may be nil, and appends at most maxBytes.
// No size that src declares is believed: memory grows with what was really decompressed, up to the bound.
// Errors: ErrTooLarge beyond the bound, ErrInvalid if src is not of the codec, ErrCodec. After an error dst comes back as it was.
// Safe for concurrent use.
func Decompress(codec Codec, dst, src []byte, maxBytes int) ([]byte, error) {
	var out []byte
	var err error
	switch codec {
	case None:
		if len(src) > maxBytes {
			err = errOverLimit
		} else {
			out = append(dst, src...)
		}
	case Gzip:
		out, err = decompressGzip(dst, src, maxBytes)
	case Snappy:
		out, err = decompressSnappy(dst, src, maxBytes)
	case LZ4:
		out, err = decompressLZ4(dst, src, maxBytes)
	case Zstd:
		out, err = decompressZstd(dst, src, maxBytes)
	default:
		return dst, fmt.Errorf("%w: %d", ErrCodec, int8(codec))
	}
	switch {
	case err == nil:
		return out, nil
	case errors.Is(err, errOverLimit):
		return dst, fmt.Errorf("%w: %d bytes of %v become more than %d", ErrTooLarge, len(src), codec, maxBytes)
	default:
		return dst, fmt.Errorf("%w: %v: %w", ErrInvalid, codec, err)
	}
}

// errOverLimit is how the codecs tell Decompress that the output passed the bound.
var errOverLimit = errors.New("over the limit")

// leastGrowth is how much free space readBounded makes at least.
const leastGrowth = 4 << 10

// readBounded appends what source gives to dst, at most maxBytes of it.
func readBounded(dst []byte, source io.Reader, maxBytes int) ([]byte, error) {
	start := len(dst)
	for {
		if len(dst) == cap(dst) {
			dst = slices.Grow(dst, max(leastGrowth, min(len(dst)-start, maxBytes-(len(dst)-start)+1)))
		}
		read, err := source.Read(dst[len(dst):cap(dst)])
		dst = dst[:len(dst)+read]
		if len(dst)-start > maxBytes {
			return nil, errOverLimit
		}
		if err == io.EOF {
			return dst, nil
		}
		if err != nil {
			return nil, err
		}
	}
}
