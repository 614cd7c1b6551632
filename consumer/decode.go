package consumer

import (
	"encoding/json"
	"fmt"
)

// Decoder makes a value of bytes, which are nil for a record without key or value. It may keep none of them. It is called by
// several goroutines.
type Decoder[T any] func(data []byte) (T, error)

// String decodes text as it is.
func String(data []byte) (string, error) { return string(data), nil }

// Bytes decodes nothing: the value shares the record's memory.
func Bytes(data []byte) ([]byte, error) { return data, nil }

// JSON decodes JSON. Without data, as of a tombstone, the value is zero.
func JSON[T any](data []byte) (value T, err error) {
	if data == nil {
		return value, nil
	}
	if err := json.Unmarshal(data, &value); err != nil {
		return value, fmt.Errorf("decode JSON: %w", err)
	}
	return value, nil
}
