package serde

import (
	"encoding/hex"
	"fmt"
)

const uuidTextBytes = 36

// uuidGroups are the bytes between the hyphens of the text.
var uuidGroups = [...]struct{ from, to int }{{0, 4}, {4, 6}, {6, 8}, {8, 10}, {10, 16}}

// UUID returns the codec of universally unique identifiers as 36 characters of text, as Kafka's UUIDSerializer writes them:
// 123e4567-e89b-12d3-a456-426614174000. It decodes digits in either case. T may be the type of any package whose identifiers
// are arrays of 16 bytes, as those of github.com/google/uuid are.
func UUID[T ~[16]byte]() Serde[T] { return uuid[T]{} }

type uuid[T ~[16]byte] struct{}

func (uuid[T]) Name() string { return "uuid" }

func (uuid[T]) Append(dst []byte, value T) ([]byte, error) {
	id := [16]byte(value)
	for i, group := range uuidGroups {
		if i > 0 {
			dst = append(dst, '-')
		}
		dst = hex.AppendEncode(dst, id[group.from:group.to])
	}
	return dst, nil
}

func (uuid[T]) Decode(data []byte) (T, error) {
	var id [16]byte
	if err := checkLength("uuid", data, uuidTextBytes); err != nil {
		return T{}, err
	}
	at := 0
	for i, group := range uuidGroups {
		if i > 0 {
			if data[at] != '-' {
				return T{}, fmt.Errorf("serde: decode uuid %q: want a hyphen at %d", data, at)
			}
			at++
		}
		digits := 2 * (group.to - group.from)
		if _, err := hex.Decode(id[group.from:group.to], data[at:at+digits]); err != nil {
			return T{}, fmt.Errorf("serde: decode uuid %q: %w", data, err)
		}
		at += digits
	}
	return T(id), nil
}
