package state

import "time"

// Window describes a store that has a value for each key and start of a window. It is a plain value: two with the same name
// describe the same store.
type Window[K, V any] struct {
	name        string
	key         Codec[K]
	value       Codec[V]
	retentionMs int64
}

// NewWindow describes the store of that name. The names of the codecs stand for the format: a store that was written with
// others does not open.
func NewWindow[K, V any](name string, key Codec[K], value Codec[V]) Window[K, V] {
	return Window[K, V]{name: name, key: key, value: value}
}

// WithRetention keeps windows until stream time is d past their start, for those who read them; never less than the windows
// themselves need, their size and grace, which is the default. The operators see to that; a Processor with a store of its own calls
// [WindowStore.Expire], and tells here how long the changelog has to last.
func (d Window[K, V]) WithRetention(retention time.Duration) Window[K, V] {
	d.retentionMs = retention.Milliseconds()
	return d
}

func (d Window[K, V]) Name() string         { return d.name }
func (d Window[K, V]) KeyCodec() Codec[K]   { return d.key }
func (d Window[K, V]) ValueCodec() Codec[V] { return d.value }

// RetentionMs returns what WithRetention was given; 0 if it was not called.
func (d Window[K, V]) RetentionMs() int64 { return d.retentionMs }

// Spec says what the store's bytes depend on.
func (d Window[K, V]) Spec() Spec {
	return Spec{Name: d.name, Kind: KindWindow, Key: nameOf(d.key), Value: nameOf(d.value), RetentionMs: d.retentionMs}
}

// WindowRow is a key's value in the window that begins at StartMs.
type WindowRow[K, V any] struct {
	Key         K
	StartMs     int64
	Value       V
	TimestampMs int64 // as it was stored with the value
}
