package main

import (
	"bufio"
	"errors"
	"io"
	"syscall"

	"github.com/millrace/millrace/cmd/millrace/internal/envelope"
	"github.com/twmb/franz-go/pkg/kgo"
)

func appendEnvelope(dst []byte, _ *kgo.FetchPartition, record *kgo.Record) []byte {
	return append(envelope.Append(dst, record), '\n')
}

// recordWriter prints records. What it was given is on its way to the reader only after flush.
type recordWriter struct {
	appender appender
	buffered *bufio.Writer
	line     []byte
}

func newRecordWriter(w io.Writer, a appender) *recordWriter {
	return &recordWriter{appender: a, buffered: bufio.NewWriterSize(w, 1<<16)}
}

func (w *recordWriter) write(partition *kgo.FetchPartition, record *kgo.Record) error {
	w.line = w.appender(w.line[:0], partition, record)
	_, err := w.buffered.Write(w.line)
	return err
}

func (w *recordWriter) flush() error { return w.buffered.Flush() }

// readerGone reports whether err means that whoever reads the output has had enough, as `head` does.
func readerGone(err error) bool {
	return errors.Is(err, syscall.EPIPE) || errors.Is(err, io.ErrClosedPipe)
}
