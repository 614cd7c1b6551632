package log

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/millrace/millrace/internal/disk"
	"github.com/millrace/millrace/log/record"
)

// headerWindow is how much of a file is read at a time while walking from header to header: small batches share a
// read, large ones cost one each.
const headerWindow = 4096

// headerView is the header of a batch without its records. It is valid until the next one is read.
type headerView = record.Batch

// headers reads batch headers of one file at given positions.
type headers struct {
	file   disk.File
	window [headerWindow]byte
	from   int64 // position of window[0]
	length int   // valid bytes of window
}

var headersPool = sync.Pool{New: func() any { return new(headers) }}

func openHeaders(file disk.File) *headers {
	h := headersPool.Get().(*headers)
	h.file, h.from, h.length = file, 0, 0
	return h
}

func (h *headers) close() {
	h.file = nil
	headersPool.Put(h)
}

// at returns the header of the batch at position and the size of the batch, which ends at or before end.
// The header is valid until the next call. An error says what cannot be a batch there.
func (h *headers) at(position, end int64) (header record.Batch, size int64, err error) {
	if end-position < record.HeaderSize {
		return nil, 0, fmt.Errorf("%d bytes left, a batch has at least %d", end-position, record.HeaderSize)
	}
	if position < h.from || position+record.HeaderSize > h.from+int64(h.length) {
		if err := h.fill(position, end); err != nil {
			return nil, 0, err
		}
	}
	header = record.Batch(h.window[position-h.from:][:record.HeaderSize])
	whole, err := record.Size(header)
	if err != nil {
		return nil, 0, err
	}
	size = int64(whole)
	if size > end-position {
		return nil, 0, fmt.Errorf("batch of %d bytes with %d left", size, end-position)
	}
	if header.LastOffsetDelta() < 0 || header.BaseOffset() < 0 {
		return nil, 0, fmt.Errorf("base offset %d, last offset delta %d", header.BaseOffset(), header.LastOffsetDelta())
	}
	return header, size, nil
}

func (h *headers) fill(position, end int64) error {
	h.length = 0
	want := min(int64(len(h.window)), end-position)
	n, err := h.file.ReadAt(h.window[:want], position)
	if n < record.HeaderSize {
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return &readError{fmt.Errorf("read header at %d: %w", position, err)}
	}
	h.from, h.length = position, n
	return nil
}

// readError is a failure of the file and not a statement on its content.
type readError struct{ err error }

func (e *readError) Error() string { return e.err.Error() }
func (e *readError) Unwrap() error { return e.err }

// walkHeaders calls visit for every batch of file in [from, end), which are batch boundaries, until it returns false.
func walkHeaders(file disk.File, from, end int64, visit func(header headerView, position, size int64) bool) error {
	h := openHeaders(file)
	defer h.close()
	for position := from; position < end; {
		header, size, err := h.at(position, end)
		if err != nil {
			return damage(file.Name(), position, err)
		}
		if !visit(header, position, size) {
			return nil
		}
		position += size
	}
	return nil
}

// damage makes err a CorruptError, unless the file could not be read at all.
func damage(path string, position int64, err error) error {
	if unreadable, ok := errors.AsType[*readError](err); ok && !errors.Is(err, io.ErrUnexpectedEOF) {
		return unreadable
	}
	return &CorruptError{Path: path, Position: position, Err: err}
}
