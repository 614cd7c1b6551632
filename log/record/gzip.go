package record

import (
	"bytes"
	"sync"

	"github.com/klauspost/compress/gzip"
)

type gzipDecoder struct {
	source bytes.Reader
	reader gzip.Reader
}

var gzipDecoders = sync.Pool{New: func() any { return new(gzipDecoder) }}

func decompressGzip(dst, src []byte, maxBytes int) ([]byte, error) {
	decoder := gzipDecoders.Get().(*gzipDecoder)
	defer gzipDecoders.Put(decoder)
	decoder.source.Reset(src)
	defer decoder.source.Reset(nil) // the pool must not keep src alive
	if err := decoder.reader.Reset(&decoder.source); err != nil {
		return nil, err
	}
	return readBounded(dst, &decoder.reader, maxBytes)
}

// gzipEncoders has a pool for every level, 0 being the default.
var gzipEncoders [gzip.BestCompression + 1]sync.Pool

type gzipEncoder struct {
	writer *gzip.Writer
	out    appender
}

// appender is an io.Writer that appends to a slice.
type appender struct{ buf []byte }

func (a *appender) Write(p []byte) (int, error) {
	a.buf = append(a.buf, p...)
	return len(p), nil
}

func compressGzip(level int, dst, src []byte) ([]byte, error) {
	level = min(max(level, 0), gzip.BestCompression)
	encoder, ok := gzipEncoders[level].Get().(*gzipEncoder)
	if !ok {
		gzipLevel := level
		if level == 0 {
			gzipLevel = gzip.DefaultCompression
		}
		writer, err := gzip.NewWriterLevel(nil, gzipLevel)
		if err != nil {
			return dst, err
		}
		encoder = &gzipEncoder{writer: writer}
	}
	defer gzipEncoders[level].Put(encoder)
	encoder.out.buf = dst
	encoder.writer.Reset(&encoder.out)
	if _, err := encoder.writer.Write(src); err != nil {
		return dst, err
	}
	if err := encoder.writer.Close(); err != nil {
		return dst, err
	}
	out := encoder.out.buf
	encoder.out.buf = nil
	return out, nil
}
