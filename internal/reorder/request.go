package reorder

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// frameBytesMax bounds a request and an answer.
const frameBytesMax = 128 << 20

// headerBytesMin is what every request begins with: its length, key, version and correlation id.
const headerBytesMin = 12

// Request is a request as it came from a client.
type Request struct {
	Connection   int // the client's, counted from 0 as they are accepted
	Key, Version int16
	Correlation  int32
	Frame        []byte // all of it from its length on; not to be changed
}

func (r Request) String() string {
	return fmt.Sprintf("key %d version %d of connection %d", r.Key, r.Version, r.Connection)
}

// Body is what follows the correlation id: the rest of the header and the request itself. It is a part of Frame.
func (r Request) Body() []byte { return r.Frame[headerBytesMin:] }

func parse(connection int, frame []byte) (Request, error) {
	if len(frame) < headerBytesMin {
		return Request{}, fmt.Errorf("a request of %d bytes is shorter than its header", len(frame))
	}
	return Request{
		Connection: connection, Frame: frame, Key: int16(binary.BigEndian.Uint16(frame[4:])),
		Version: int16(binary.BigEndian.Uint16(frame[6:])), Correlation: int32(binary.BigEndian.Uint32(frame[8:])),
	}, nil
}

// readFrame reads one request or answer, from its length on.
func readFrame(r io.Reader) ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(length[:])
	if size > frameBytesMax {
		return nil, fmt.Errorf("a frame of %d bytes, and %d are the most", size, frameBytesMax)
	}
	frame := make([]byte, len(length)+int(size))
	copy(frame, length[:])
	if _, err := io.ReadFull(r, frame[len(length):]); err != nil {
		return nil, errors.Join(io.ErrUnexpectedEOF, err)
	}
	return frame, nil
}

// correlationOf reads the correlation id of an answer.
func correlationOf(answer []byte) (int32, bool) {
	if len(answer) < 8 {
		return 0, false
	}
	return int32(binary.BigEndian.Uint32(answer[4:])), true
}
