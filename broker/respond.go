package broker

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/millrace/millrace/internal/disk"
	"github.com/millrace/millrace/log"
)

const (
	// gatherMax is how many bytes of answers gather before they are written without waiting for more.
	gatherMax = 64 << 10
	// sendFileMin is the smallest range that is worth a sendfile; smaller ones are read and gathered.
	sendFileMin = 16 << 10
	// writeChunk is the most that one write sends, so that writeStallMax bounds a part of a large answer.
	writeChunk = 1 << 20
	// writeStallMax is how long a client may take none of its answer.
	writeStallMax = 60 * time.Second
)

// answerWriter encodes answers and sends them: what is small gathers and leaves in one write, ranges of files go from
// the file to the socket. It is used by one goroutine at a time.
type answerWriter struct {
	conn     net.Conn
	socket   syscall.RawConn // nil: not a socket, or the system has no sendfile
	deadline time.Time       // the write deadline that is set
	out      []byte
	sent     *atomic.Uint64 // bytes
}

func (w *answerWriter) init(conn net.Conn, sent *atomic.Uint64) {
	w.conn, w.sent = conn, sent
	if sc, ok := conn.(syscall.Conn); ok && canSendFile {
		if raw, err := sc.SyscallConn(); err == nil {
			w.socket = raw
		}
	}
}

// add encodes the answer of s and may send it. It consumes the reply: its ranges are released, error or not.
func (w *answerWriter) add(s slot, m *metrics) error {
	defer s.reply.release()
	size := 0
	switch {
	case s.reply.response != nil:
		size = w.encode(s)
	case s.reply.body != nil:
		var err error
		if size, err = w.sendBody(s); err != nil {
			return err
		}
	}
	took := times{total: time.Since(s.started), queue: s.queued, purgatory: s.parked}
	m.served(s.api, took, int64(s.requestBytes), int64(size), s.reply.response)
	if len(w.out) >= gatherMax {
		return w.flush()
	}
	return nil
}

// encode appends a whole answer and returns its size.
func (w *answerWriter) encode(s slot) (size int) {
	response := s.reply.response
	if s.api.key != apiVersionsKey {
		response.SetVersion(s.version)
	}
	start := len(w.out)
	w.appendHeader(s, response.IsFlexible())
	w.out = response.AppendTo(w.out)
	size = len(w.out) - start - 4
	binary.BigEndian.PutUint32(w.out[start:], uint32(size))
	return size
}

// appendHeader appends an answer's size, not yet known, and its header. The header of ApiVersions never has tags: a
// client reads it before it knows what the broker can do (KIP-511).
func (w *answerWriter) appendHeader(s slot, flexible bool) {
	w.out = append(w.out, 0, 0, 0, 0)
	w.out = binary.BigEndian.AppendUint32(w.out, uint32(s.correlationID))
	if flexible && s.api.key != apiVersionsKey {
		w.out = append(w.out, 0)
	}
}

// sendBody sends an answer that consists of pieces and returns its size. Its end may stay gathered.
func (w *answerWriter) sendBody(s slot) (size int, err error) {
	start := len(w.out)
	response := s.api.newRequest()
	response.SetVersion(s.version)
	w.appendHeader(s, response.IsFlexible())
	size = len(w.out) - start - 4
	for _, p := range s.reply.body {
		size += len(p.bytes)
		if p.file != nil {
			size += p.file.Size()
		}
	}
	binary.BigEndian.PutUint32(w.out[start:], uint32(size))
	for _, p := range s.reply.body {
		if err := w.sendPiece(p); err != nil {
			return 0, err
		}
	}
	return size, nil
}

func (w *answerWriter) sendPiece(p piece) error {
	if p.file != nil {
		return w.sendRange(p.file)
	}
	if len(w.out)+len(p.bytes) <= gatherMax {
		w.out = append(w.out, p.bytes...)
		return nil
	}
	if err := w.flush(); err != nil {
		return err
	}
	return w.write(p.bytes)
}

// sendRange sends a range of a log, by sendfile where that is possible and worth it.
func (w *answerWriter) sendRange(r *log.Range) error {
	if backed, ok := r.File().(disk.Backed); ok && w.socket != nil && r.Size() >= sendFileMin {
		return w.sendFromFile(backed.OSFile(), r.Position(), r.Size())
	}
	for at := 0; at < r.Size(); {
		room := gatherMax - len(w.out)
		if room <= 0 {
			if err := w.flush(); err != nil {
				return err
			}
			continue
		}
		from := len(w.out)
		n := min(room, r.Size()-at)
		w.out = append(w.out, make([]byte, n)...)
		if got, err := r.File().ReadAt(w.out[from:], r.Position()+int64(at)); got < n {
			return fmt.Errorf("read %s: %w", r.File().Name(), errors.Join(err, io.ErrUnexpectedEOF))
		}
		at += n
	}
	return nil
}

func (w *answerWriter) sendFromFile(file *os.File, position int64, size int) error {
	if len(w.out) > 0 {
		if err := w.extendDeadline(); err != nil {
			return err
		}
		if err := sendMore(w.socket, w.out); err != nil {
			return err
		}
		w.sent.Add(uint64(len(w.out)))
		w.out = w.out[:0]
	}
	for size > 0 {
		if err := w.extendDeadline(); err != nil {
			return err
		}
		n, err := sendFile(w.socket, file, position, size)
		w.sent.Add(uint64(n))
		if err != nil {
			return fmt.Errorf("send from %s: %w", file.Name(), err)
		}
		position += int64(n)
		size -= n
	}
	return nil
}

// flushIf flushes if condition holds.
func (w *answerWriter) flushIf(condition bool) error {
	if !condition {
		return nil
	}
	return w.flush()
}

// flush writes what has gathered.
func (w *answerWriter) flush() error {
	if len(w.out) == 0 {
		return nil
	}
	err := w.write(w.out)
	w.discard()
	return err
}

// discard forgets what has gathered. The memory for an exceptionally large answer goes with it.
func (w *answerWriter) discard() {
	w.out = w.out[:0]
	if cap(w.out) > 2*gatherMax {
		w.out = nil
	}
}

func (w *answerWriter) write(b []byte) error {
	for len(b) > 0 {
		if err := w.extendDeadline(); err != nil {
			return err
		}
		n, err := w.conn.Write(b[:min(len(b), writeChunk)])
		w.sent.Add(uint64(n))
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// extendDeadline gives the client time for the next part.
func (w *answerWriter) extendDeadline() error {
	want := time.Now().Add(writeStallMax)
	if want.Sub(w.deadline) < writeStallMax/deadlineSlack {
		return nil
	}
	w.deadline = want
	return w.conn.SetWriteDeadline(want)
}
