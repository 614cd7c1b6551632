package serde

import (
	"encoding/binary"
	"fmt"

	"github.com/millrace/millrace/windows"
)

// Windowed returns the codec of a key in a window: the key, then start and end as 8 bytes each, big endian. Unlike Kafka's
// two formats it serves all kinds of windows, and who reads it need not know their size. For programs that read Kafka's,
// there are [TimeWindowed] and [SessionWindowed].
func Windowed[K any](key Serde[K]) Serde[windows.Key[K]] {
	return windowed[K]{
		name: "windowed",
		key:  key,
		tail: 16,
		append: func(dst []byte, w windows.Window) []byte {
			dst = binary.BigEndian.AppendUint64(dst, uint64(w.StartMs))
			return binary.BigEndian.AppendUint64(dst, uint64(w.EndMs))
		},
		decode: func(tail []byte) windows.Window {
			return windows.Window{StartMs: int64(binary.BigEndian.Uint64(tail)), EndMs: int64(binary.BigEndian.Uint64(tail[8:]))}
		},
	}
}

// TimeWindowed returns the codec of a key in a tumbling or hopping window as Kafka's TimeWindowedSerializer writes it: the
// key, then the start as 8 bytes, big endian. The end is not written: it follows from the windows, which must be those that
// were written.
func TimeWindowed[K any](key Serde[K], of windows.Time) Serde[windows.Key[K]] {
	return windowed[K]{
		name: "time-windowed",
		key:  key,
		tail: 8,
		append: func(dst []byte, w windows.Window) []byte {
			return binary.BigEndian.AppendUint64(dst, uint64(w.StartMs))
		},
		decode: func(tail []byte) windows.Window { return of.Window(int64(binary.BigEndian.Uint64(tail))) },
	}
}

// SessionWindowed returns the codec of a key in a session as Kafka's SessionWindowedSerializer writes it: the key, then end
// and start, in this order, as 8 bytes each, big endian.
func SessionWindowed[K any](key Serde[K]) Serde[windows.Key[K]] {
	return windowed[K]{
		name: "session-windowed",
		key:  key,
		tail: 16,
		append: func(dst []byte, w windows.Window) []byte {
			dst = binary.BigEndian.AppendUint64(dst, uint64(w.EndMs))
			return binary.BigEndian.AppendUint64(dst, uint64(w.StartMs))
		},
		decode: func(tail []byte) windows.Window {
			return windows.Window{StartMs: int64(binary.BigEndian.Uint64(tail[8:])), EndMs: int64(binary.BigEndian.Uint64(tail))}
		},
	}
}

// windowed is a key's bytes and a tail of fixed length that tells the window.
type windowed[K any] struct {
	name   string
	key    Serde[K]
	tail   int
	append func(dst []byte, w windows.Window) []byte
	decode func(tail []byte) windows.Window
}

func (s windowed[K]) Name() string { return s.name + "(" + s.key.Name() + ")" }

func (s windowed[K]) Append(dst []byte, value windows.Key[K]) ([]byte, error) {
	dst, err := s.key.Append(dst, value.Key)
	if err != nil {
		return nil, err
	}
	return s.append(dst, value.Window), nil
}

func (s windowed[K]) Decode(data []byte) (windows.Key[K], error) {
	cut := len(data) - s.tail
	if cut < 0 {
		return windows.Key[K]{}, fmt.Errorf("serde: decode %s key: %d bytes, want at least %d", s.name, len(data), s.tail)
	}
	key, err := s.key.Decode(data[:cut])
	if err != nil {
		return windows.Key[K]{}, err
	}
	return windows.Key[K]{Key: key, Window: s.decode(data[cut:])}, nil
}
