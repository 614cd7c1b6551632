package broker

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"
)

const (
	// prologueBytes begin every request: size, key, version, correlation id.
	prologueBytes = 12
	// frameBytesMin is the least that the size of a frame can be: key, version, correlation id, client id.
	frameBytesMin = 10

	readAheadMin = 4 << 10  // read-ahead buffer of a connection that sends little
	readAheadMax = 32 << 10 // and of one that sends many small requests
	inPlaceMax   = 16 << 10 // frames up to this size are handled where they lie in the read-ahead buffer

	// frameStallMax is how long a client may send nothing in the middle of a request: the request's memory is
	// reserved meanwhile.
	frameStallMax = 30 * time.Second
	// frameGrace and frameRateMin, in bytes per second, say how long a large request may take to come while others wait
	// for memory: a client that sends a byte now and then would keep what is reserved for it for ever.
	frameGrace   = 10 * time.Second
	frameRateMin = 1 << 20

	// deadlineSlack is how much earlier than asked for a deadline may fire, so that it is not set for every request.
	deadlineSlack = 8 // an eighth
)

var (
	errFrameSize = errors.New("request size is out of range")
	errSlowFrame = errors.New("request comes too slowly while others wait for memory")
	errDraining  = errors.New("broker is shutting down")
)

// prologue is the fixed beginning of a request.
type prologue struct {
	size          int32 // bytes after the size field
	key           int16
	version       int16
	correlationID int32
}

// frameReader cuts a connection's bytes into frames. It reads ahead: small frames are handled where they lie in its
// buffer, larger ones are read straight into a slab.
type frameReader struct {
	conn     net.Conn
	idle     time.Duration // how long to wait for the next frame; 0 or less is forever
	deadline time.Time     // the read deadline that is set
	buffer   []byte
	from, to int            // what of buffer was read and not yet handled
	draining *atomic.Bool   // set before a deadline in the past is: no frame is begun any more
	received *atomic.Uint64 // bytes
	awaited  func() bool    // others wait for the memory that is reserved for a large frame
}

// buffered says how many bytes were read and not yet handled.
func (r *frameReader) buffered() int { return r.to - r.from }

// whole reports whether the next frame has been read completely, so that it can be had without waiting.
func (r *frameReader) whole() bool {
	if r.buffered() < 4 {
		return false
	}
	size := int32(binary.BigEndian.Uint32(r.buffer[r.from:]))
	return size >= 0 && r.buffered()-4 >= int(size)
}

// next waits for the beginning of the next frame. At the end of the stream it returns io.EOF.
func (r *frameReader) next() (prologue, error) {
	if err := r.fill(prologueBytes, r.idle); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) && r.buffered() == 0 {
			err = io.EOF
		}
		return prologue{}, err
	}
	b := r.buffer[r.from:]
	p := prologue{
		size:          int32(binary.BigEndian.Uint32(b)),
		key:           int16(binary.BigEndian.Uint16(b[4:])),
		version:       int16(binary.BigEndian.Uint16(b[6:])),
		correlationID: int32(binary.BigEndian.Uint32(b[8:])),
	}
	if p.size < frameBytesMin {
		return p, fmt.Errorf("%w: %d bytes", errFrameSize, p.size)
	}
	return p, nil
}

// frame reads the rest of the frame that next announced and returns all of it after the size field. The bytes are
// valid until release is called.
func (r *frameReader) frame(size int) (frame, error) {
	if size <= inPlaceMax {
		if err := r.fill(4+size, frameStallMax); err != nil {
			return frame{}, err
		}
		bytes := r.buffer[r.from+4 : r.from+4+size : r.from+4+size]
		r.from += 4 + size
		return frame{bytes: bytes}, nil
	}
	began := time.Now()
	s := takeSlab(size + prologueBytes)
	have := copy(s.bytes[:size], r.buffer[r.from+4:r.to])
	r.from += 4 + have
	for have < size {
		// The same read takes the beginning of the next frame along.
		n, err := r.readInto(s.bytes[have:size+prologueBytes], frameStallMax)
		have += n
		if err == nil && have < size && time.Since(began) > frameTime(size) && r.awaited() {
			err = fmt.Errorf("%w: %d of %d bytes", errSlowFrame, have, size)
		}
		if err != nil && have < size {
			s.give()
			return frame{}, err
		}
	}
	if have > size {
		r.from, r.to = 0, copy(r.buffer, s.bytes[size:have])
	}
	return frame{bytes: s.bytes[:size:size], slab: s}, nil
}

// frameTime is how long a large frame may take while others wait for memory.
func frameTime(size int) time.Duration {
	return frameGrace + time.Duration(size)*time.Second/frameRateMin
}

// fill reads until n bytes are buffered. Nothing buffered and nothing to come is io.ErrUnexpectedEOF too.
func (r *frameReader) fill(n int, patience time.Duration) error {
	if r.buffered() >= n {
		return nil
	}
	if r.buffered() == 0 {
		r.from, r.to = 0, 0
	}
	if size := max(n, readAheadMin); size > len(r.buffer) {
		r.grow(size)
	} else if r.from+n > len(r.buffer) {
		r.to = copy(r.buffer, r.buffer[r.from:r.to])
		r.from = 0
	}
	for r.buffered() < n {
		got, err := r.readInto(r.buffer[r.to:], patience)
		r.to += got
		if err != nil && r.buffered() < n {
			return err
		}
		patience = min(patience, frameStallMax)
	}
	// A full buffer of small frames: read more at once next time.
	if r.to == len(r.buffer) && len(r.buffer) < readAheadMax && n <= prologueBytes && r.whole() {
		r.grow(2 * len(r.buffer))
	}
	return nil
}

func (r *frameReader) grow(size int) {
	larger := make([]byte, (size+readAheadMin-1)/readAheadMin*readAheadMin)
	r.to = copy(larger, r.buffer[r.from:r.to])
	r.from = 0
	r.buffer = larger
}

// readInto reads once. It fails when the client sends nothing for as long as patience.
func (r *frameReader) readInto(b []byte, patience time.Duration) (int, error) {
	if patience > 0 {
		if want := time.Now().Add(patience); want.Before(r.deadline) || want.Sub(r.deadline) > patience/deadlineSlack {
			if err := r.conn.SetReadDeadline(want); err != nil {
				return 0, err
			}
			r.deadline = want
		}
	} else if !r.deadline.IsZero() {
		if err := r.conn.SetReadDeadline(time.Time{}); err != nil {
			return 0, err
		}
		r.deadline = time.Time{}
	}
	if r.draining.Load() {
		return 0, errDraining
	}
	n, err := r.conn.Read(b)
	r.received.Add(uint64(n))
	if err != nil && r.draining.Load() {
		err = errDraining
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}
