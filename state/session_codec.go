package state

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// The sessions of a key are one value:
//
//	count | count times: start (8 bytes) | end - start | timestamp - end | length | value
//
// Numbers without a length are varints, the difference of the timestamp with a sign.
const sessionBytesMin = 8 + 1 + 1 + 1

var errSessions = errors.New("bytes that are no list of sessions")

// sessionList is what a store has for a key.
type sessionList[V any] struct {
	sessions  []SessionOf[V] // by start
	indexedMs int64          // see timeIndex.cover
}

// sessionCodec is the codec of all sessions of a key.
type sessionCodec[V any] struct{ value Codec[V] }

func (c sessionCodec[V]) Name() string { return "sessions(" + c.value.Name() + ")" }

func (c sessionCodec[V]) Append(dst []byte, list sessionList[V]) ([]byte, error) {
	dst = binary.AppendUvarint(dst, uint64(len(list.sessions)))
	for i := range list.sessions {
		s := &list.sessions[i]
		dst = binary.BigEndian.AppendUint64(dst, uint64(s.StartMs))
		dst = binary.AppendUvarint(dst, uint64(s.EndMs-s.StartMs))
		dst = binary.AppendVarint(dst, s.TimestampMs-s.EndMs)
		var err error
		if dst, err = c.appendValue(dst, s.Value); err != nil {
			return nil, err
		}
	}
	return dst, nil
}

// appendValue leaves room for a short length and moves the value only if it turns out long.
func (c sessionCodec[V]) appendValue(dst []byte, value V) ([]byte, error) {
	place := len(dst)
	dst, err := c.value.Append(append(dst, 0), value)
	if err != nil {
		return nil, err
	}
	length := len(dst) - place - 1
	if length < 1<<7 {
		dst[place] = byte(length)
		return dst, nil
	}
	var head [binary.MaxVarintLen64]byte
	n := binary.PutUvarint(head[:], uint64(length))
	dst = append(dst, head[:n-1]...)
	copy(dst[place+n:], dst[place+1:place+1+length])
	copy(dst[place:], head[:n])
	return dst, nil
}

func (c sessionCodec[V]) Decode(data []byte) (list sessionList[V], err error) {
	list.indexedMs = noIndex
	err = readSessions(data, func(count int) {
		list.sessions = make([]SessionOf[V], 0, count)
	}, func(startMs, endMs, timestampMs int64, encoded []byte) error {
		value, err := c.value.Decode(encoded)
		if err != nil {
			return fmt.Errorf("decode the session [%d, %d]: %w", startMs, endMs, err)
		}
		list.sessions = append(list.sessions, SessionOf[V]{StartMs: startMs, EndMs: endMs, TimestampMs: timestampMs, Value: value})
		return nil
	})
	if err != nil {
		return sessionList[V]{}, err
	}
	return list, nil
}

// readSessions walks an encoded list. begin, unless nil, is told how many there are, which the bytes have room for.
func readSessions(data []byte, begin func(count int), visit func(startMs, endMs, timestampMs int64, value []byte) error) error {
	count, n := binary.Uvarint(data)
	if n <= 0 || count > uint64(len(data)-n)/sessionBytesMin {
		return errSessions
	}
	data = data[n:]
	if begin != nil {
		begin(int(count))
	}
	for range count {
		if len(data) < sessionBytesMin {
			return errSessions
		}
		startMs := int64(binary.BigEndian.Uint64(data))
		data = data[8:]
		span, n := binary.Uvarint(data)
		if n <= 0 {
			return errSessions
		}
		data = data[n:]
		lag, n := binary.Varint(data)
		if n <= 0 {
			return errSessions
		}
		data = data[n:]
		length, n := binary.Uvarint(data)
		if n <= 0 || length > uint64(len(data)-n) {
			return errSessions
		}
		endMs := startMs + int64(span)
		if err := visit(startMs, endMs, endMs+lag, data[n:n+int(length)]); err != nil {
			return err
		}
		data = data[n+int(length):]
	}
	if len(data) > 0 {
		return errSessions
	}
	return nil
}
