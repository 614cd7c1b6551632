package serde_test

import (
	"bytes"
	"testing"

	"github.com/millrace/millrace/streams/serde"
)

// FuzzDecode gives every decoder the same bytes: it must return, and what it accepts must be an encoding of the value.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{"", "\x01", "\x02", "abcd", "12345678", "0123456789abcdefk", `{"id":"a","cents":-5,"note":"AA=="}`,
		`{"cents":1e400}`, "123e4567-e89b-12d3-a456-426614174000", "\xff\xfe", "[]"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		decodesToItself(t, serde.String, data)
		decodesToItself(t, serde.Bytes, data)
		decodesToItself(t, serde.Int32, data)
		decodesToItself(t, serde.Int64, data)
		decodesToItself(t, serde.Float64, data)
		decodesToItself(t, serde.Bool, data)
		decodesToItself(t, serde.Windowed(serde.String), data)
		decodesToItself(t, serde.TimeWindowed(serde.Int32, minutely), data)
		decodesToItself(t, serde.SessionWindowed(serde.Bytes), data)
		settles(t, serde.UUID[id](), data)
		settles(t, serde.JSON[order](), data)
		settles(t, serde.JSON[any](), data)
	})
}

// decodesToItself is for formats in which a value has one encoding.
func decodesToItself[T any](t *testing.T, codec serde.Serde[T], data []byte) {
	given := bytes.Clone(data)
	value, err := codec.Decode(data)
	if !bytes.Equal(data, given) {
		t.Fatalf("%s: decoding changed its input", codec.Name())
	}
	if err != nil {
		return
	}
	if again, err := codec.Append(nil, value); err != nil || !bytes.Equal(again, data) {
		t.Fatalf("%s: %x decodes as %v, which encodes as %x (%v)", codec.Name(), data, value, again, err)
	}
}

// settles is for formats in which a value has several encodings: what is encoded is the same from the first time on.
func settles[T any](t *testing.T, codec serde.Serde[T], data []byte) {
	value, err := codec.Decode(data)
	if err != nil {
		return
	}
	first, err := codec.Append(nil, value)
	if err != nil {
		t.Fatalf("%s: %q decodes as %v, which does not encode: %v", codec.Name(), data, value, err)
	}
	decodesToItself(t, codec, first)
}
