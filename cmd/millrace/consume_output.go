package main

import (
	"bufio"
	"errors"
	"io"
	"os"
	"strings"
	"syscall"

	"github.com/millrace/millrace/cmd/millrace/internal/envelope"
	"github.com/millrace/millrace/cmd/millrace/internal/jq"
	"github.com/millrace/millrace/cmd/millrace/internal/jsonstyle"
	"github.com/millrace/millrace/cmd/millrace/internal/usage"
	"github.com/twmb/franz-go/pkg/kgo"
)

// printable is a record that is wanted. results are what --jq gave for it.
type printable struct {
	record  *kgo.Record
	results []jq.Result
}

// appender appends one record in its printed form.
type appender func(dst []byte, partition *kgo.FetchPartition, p printable) []byte

// appender chooses the form that the flags ask for.
func (f *consumeFlags) appender(changed func(string) bool, terminal bool) (appender, error) {
	colored, err := f.colored(terminal)
	if err != nil {
		return nil, err
	}
	style := jsonstyle.Style{Indent: f.pretty, Color: colored}
	formatted := changed("format") && f.format != "json"
	switch {
	case formatted:
		return f.formatter()
	case changed("delimiter"), changed("key-delimiter"):
		return appendDelimited(f.keyEnd != "", unescapeDelimiter(f.keyEnd), unescapeDelimiter(f.delimiter)), nil
	case changed("jq"):
		return appendResults(style, f.raw), nil
	case f.json, f.pretty, f.format == "json":
		return func(dst []byte, _ *kgo.FetchPartition, p printable) []byte {
			return append(style.Append(dst, envelope.Append(nil, p.record)), '\n')
		}, nil
	case f.raw:
		return func(dst []byte, _ *kgo.FetchPartition, p printable) []byte { return append(dst, p.record.Value...) }, nil
	}
	return appendDelimited(false, "", "\n"), nil
}

// colored decides on colours: https://no-color.org asks for none in a way of its own.
func (f *consumeFlags) colored(terminal bool) (bool, error) {
	switch f.color {
	case "always":
		return true, nil
	case "never":
		return false, nil
	case "auto":
		return terminal && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb", nil
	}
	return false, usage.Errorf("consume: --color: %v", usage.Unknown("choice", f.color, []string{"auto", "always", "never"}))
}

func (f *consumeFlags) formatter() (appender, error) {
	if !strings.ContainsAny(f.format, `%\`) {
		return nil, usage.Errorf(`consume: -f: %q names no part of a record (like %%v), for JSON use -J`, f.format)
	}
	formatter, err := kgo.NewRecordFormatter(f.format)
	if err != nil {
		return nil, usage.Errorf("consume: -f: %v in %q (see millrace consume --help)", err, f.format)
	}
	return func(dst []byte, partition *kgo.FetchPartition, p printable) []byte {
		return formatter.AppendPartitionRecord(dst, partition, p.record)
	}, nil
}

// appendDelimited appends value and end, with key and keyEnd before if withKey.
func appendDelimited(withKey bool, keyEnd, end string) appender {
	return func(dst []byte, _ *kgo.FetchPartition, p printable) []byte {
		if withKey {
			dst = append(append(dst, p.record.Key...), keyEnd...)
		}
		return append(append(dst, p.record.Value...), end...)
	}
}

func appendResults(style jsonstyle.Style, raw bool) appender {
	return func(dst []byte, _ *kgo.FetchPartition, p printable) []byte {
		for _, result := range p.results {
			if raw {
				dst = result.Append(dst, true)
			} else {
				dst = style.Append(dst, result.Append(nil, false))
			}
			dst = append(dst, '\n')
		}
		return dst
	}
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

func (w *recordWriter) write(partition *kgo.FetchPartition, p printable) error {
	w.line = w.appender(w.line[:0], partition, p)
	_, err := w.buffered.Write(w.line)
	return err
}

func (w *recordWriter) flush() error { return w.buffered.Flush() }

// readerGone reports whether err means that whoever reads the output has had enough, as `head` does.
func readerGone(err error) bool {
	return errors.Is(err, syscall.EPIPE) || errors.Is(err, io.ErrClosedPipe)
}
