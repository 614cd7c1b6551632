package serde

import (
	"fmt"

	"github.com/millrace/millrace/state"
)

// Serde turns the values of one type into bytes and back. See [state.Codec] for what its methods promise.
type Serde[T any] = state.Codec[T]

// Of returns the codec that consists of two functions. name stands for the format wherever stores and topics are compared
// with what they were, so another format needs another name. append must append to dst, and decode must keep no part of data;
// both must be safe for concurrent use.
func Of[T any](name string, append func(dst []byte, value T) ([]byte, error), decode func(data []byte) (T, error)) Serde[T] {
	return functions[T]{name: name, append: append, decode: decode}
}

type functions[T any] struct {
	name   string
	append func([]byte, T) ([]byte, error)
	decode func([]byte) (T, error)
}

func (f functions[T]) Name() string                               { return f.name }
func (f functions[T]) Append(dst []byte, value T) ([]byte, error) { return f.append(dst, value) }
func (f functions[T]) Decode(data []byte) (T, error)              { return f.decode(data) }

// checkLength refuses data that has not the one length of a format.
func checkLength(name string, data []byte, want int) error {
	if len(data) != want {
		return fmt.Errorf("serde: decode %s: %d bytes, want %d", name, len(data), want)
	}
	return nil
}
