package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/millrace/millrace/cmd/millrace/internal/envelope"
	"github.com/twmb/franz-go/pkg/kgo"
)

// recordSource turns one input into records.
type recordSource interface {
	// next returns the next record. io.EOF is the end; a *badRecord is a record that cannot be
	// read, after which the next one can; any other error ends the input.
	next() (*kgo.Record, error)
	// place says where the last record began, "line 7".
	place() string
}

// badRecord is an error in one record only.
type badRecord struct{ err error }

func (e *badRecord) Error() string { return e.err.Error() }
func (e *badRecord) Unwrap() error { return e.err }

// recordBytesMax bounds one record of the input, far above what a broker takes.
const recordBytesMax = 128 << 20

// lines splits an input into lines of at most recordBytesMax.
type lines struct {
	reader *bufio.Reader
	end    byte // of a line
	number int
	buf    []byte
}

func newLines(r io.Reader, end byte) *lines {
	return &lines{reader: bufio.NewReaderSize(r, 1<<16), end: end}
}

func (l *lines) place() string { return fmt.Sprintf("line %d", l.number) }

// nextLine returns a line without its newline, valid until the next call. The last one need not
// have a newline.
func (l *lines) nextLine() ([]byte, error) {
	l.number++
	l.buf = l.buf[:0]
	tooLong := false
	for {
		part, err := l.reader.ReadSlice(l.end)
		if !tooLong && len(l.buf)+len(part) > recordBytesMax {
			tooLong, l.buf = true, nil
		}
		if !tooLong {
			l.buf = append(l.buf, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil && (!errors.Is(err, io.EOF) || len(l.buf) == 0 && !tooLong):
			return nil, err
		case tooLong:
			return nil, &badRecord{fmt.Errorf("longer than %d bytes", recordBytesMax)}
		}
		return bytes.TrimSuffix(l.buf, []byte{l.end}), nil
	}
}

// lineSource reads a value per line, with the key before it if there is a delimiter.
type lineSource struct {
	*lines
	delimiter []byte
}

func newLineSource(r io.Reader, end byte, delimiter []byte) recordSource {
	return &lineSource{lines: newLines(r, end), delimiter: delimiter}
}

func (s *lineSource) next() (*kgo.Record, error) {
	line, err := s.nextLine()
	if err != nil {
		return nil, err
	}
	text := append(make([]byte, 0, len(line)), line...)
	record := &kgo.Record{Partition: envelope.NoPartition, Value: text}
	if len(s.delimiter) > 0 {
		if key, value, found := bytes.Cut(text, s.delimiter); found {
			record.Key, record.Value = key[:len(key):len(key)], value
		}
	}
	return record, nil
}

// envelopeSource reads the lines of consume -J; empty lines are skipped.
type envelopeSource struct{ *lines }

func newEnvelopeSource(r io.Reader) recordSource { return &envelopeSource{newLines(r, '\n')} }

func (s *envelopeSource) next() (*kgo.Record, error) {
	for {
		line, err := s.nextLine()
		if err != nil {
			return nil, err
		}
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		record, err := envelope.Decode(line)
		if err != nil {
			return nil, &badRecord{err}
		}
		return record, nil
	}
}

// formatSource reads by a layout of kgo.
type formatSource struct {
	reader *kgo.RecordReader
	bound  *recordBound
	number int
	parses bool // the layout names a partition
}

// newFormatSource reads r by a layout that kgo.NewRecordReader has accepted before.
func newFormatSource(r io.Reader, layout string) recordSource {
	if strings.HasSuffix(layout, `\n`) {
		r = &finalNewline{reader: r}
	}
	bound := &recordBound{reader: r}
	reader, err := kgo.NewRecordReader(bound, layout)
	if err != nil {
		panic(fmt.Sprintf("layout %q was valid before: %v", layout, err))
	}
	return &formatSource{reader: reader, bound: bound, parses: strings.Contains(layout, "%p")}
}

func (s *formatSource) place() string { return fmt.Sprintf("record %d", s.number) }

func (s *formatSource) next() (*kgo.Record, error) {
	s.number++
	s.bound.used = 0
	record := &kgo.Record{}
	if err := s.reader.ReadRecordInto(record); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, errors.New("the input ends within the record")
		}
		var number *strconv.NumError
		if errors.As(err, &number) {
			return nil, fmt.Errorf("%q is no number that -f can take here", number.Num)
		}
		return nil, err
	}
	if !s.parses {
		record.Partition = envelope.NoPartition
	}
	return record, nil
}

// finalNewline adds the newline that the last line of an input lacks.
type finalNewline struct {
	reader io.Reader
	last   byte
	any    bool
	ended  bool
}

func (f *finalNewline) Read(p []byte) (int, error) {
	if f.ended || len(p) == 0 {
		return 0, io.EOF
	}
	n, err := f.reader.Read(p)
	if n > 0 {
		f.last, f.any = p[n-1], true
		return n, nil
	}
	if errors.Is(err, io.EOF) {
		f.ended = true
		if f.any && f.last != '\n' {
			p[0] = '\n'
			return 1, nil
		}
	}
	return 0, err
}

// recordBound fails when one record takes more than recordBytesMax.
type recordBound struct {
	reader io.Reader
	used   int
}

func (b *recordBound) Read(p []byte) (int, error) {
	if b.used > recordBytesMax {
		return 0, fmt.Errorf("longer than %d bytes", recordBytesMax)
	}
	n, err := b.reader.Read(p)
	b.used += n
	return n, err
}
