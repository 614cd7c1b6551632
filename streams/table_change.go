package streams

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/millrace/millrace/state"
)

// changeCodec is the format of changes in the repartition topics of tables: a byte that says which of the two values follow; if
// both do, the length of the old one; the old one; the new one.
type changeCodec[V any] struct {
	value state.Codec[V]
}

const (
	changeHad byte = 1 << iota
	changeHas
)

// Name is "change(<codec of the values>)".
func (c changeCodec[V]) Name() string { return "change(" + c.value.Name() + ")" }

func (c changeCodec[V]) Append(dst []byte, value change[V]) ([]byte, error) {
	switch {
	case value.had && value.has:
		old, err := c.value.Append(nil, value.old)
		if err != nil {
			return nil, err
		}
		dst = binary.AppendUvarint(append(dst, changeHad|changeHas), uint64(len(old)))
		return c.value.Append(append(dst, old...), value.value)
	case value.had:
		return c.value.Append(append(dst, changeHad), value.old)
	case value.has:
		return c.value.Append(append(dst, changeHas), value.value)
	}
	return nil, errors.New("a change from nothing to nothing")
}

func (c changeCodec[V]) Decode(data []byte) (value change[V], err error) {
	if len(data) == 0 {
		return value, errors.New("decode change: no data")
	}
	flags, old, current := data[0], data[1:], data[1:]
	value.had, value.has = flags&changeHad != 0, flags&changeHas != 0
	switch {
	case flags == 0 || flags > changeHad|changeHas:
		return value, fmt.Errorf("decode change: flags %#x", flags)
	case value.had && value.has:
		length, skip := binary.Uvarint(old)
		if skip <= 0 || length > uint64(len(old)-skip) {
			return value, fmt.Errorf("decode change: length %d of the old value, in %d bytes", length, len(old))
		}
		old, current = old[skip:skip+int(length)], old[skip+int(length):]
	}
	if value.had {
		if value.old, err = c.value.Decode(old); err != nil {
			return value, fmt.Errorf("decode change: old value: %w", err)
		}
	}
	if value.has {
		if value.value, err = c.value.Decode(current); err != nil {
			return value, fmt.Errorf("decode change: new value: %w", err)
		}
	}
	return value, nil
}
