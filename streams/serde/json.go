package serde

import (
	"encoding/json"
	"fmt"
	"reflect"
)

// JSON returns the codec of a Go type as JSON, by the rules of encoding/json: unknown members are passed over, missing ones
// are zero. A type with an UnmarshalJSON of its own must copy what it keeps. As keys, values of a type must have one
// encoding each: structs and maps do, a number that was decoded into any may not.
func JSON[T any]() Serde[T] { return jsonSerde[T]{} }

type jsonSerde[T any] struct{}

func (jsonSerde[T]) Name() string { return "json" }

func (jsonSerde[T]) Append(dst []byte, value T) ([]byte, error) {
	data, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("serde: encode %v as JSON: %w", reflect.TypeFor[T](), err)
	}
	return append(dst, data...), nil
}

func (jsonSerde[T]) Decode(data []byte) (T, error) {
	var value T
	if err := json.Unmarshal(data, &value); err != nil {
		var none T
		return none, fmt.Errorf("serde: decode %v from JSON: %w", reflect.TypeFor[T](), err)
	}
	return value, nil
}
