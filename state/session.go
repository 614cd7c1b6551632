package state

import "time"

// Session describes a store that has the sessions of each key. It is a plain value: two with the same name describe the same
// store.
type Session[K, V any] struct {
	name        string
	key         Codec[K]
	value       Codec[V]
	retentionMs int64
}

// NewSession describes the store of that name. The names of the codecs stand for the format: a store that was written with
// others does not open.
func NewSession[K, V any](name string, key Codec[K], value Codec[V]) Session[K, V] {
	return Session[K, V]{name: name, key: key, value: value}
}

// WithRetention keeps sessions until stream time is d past their end, for those who read them; never less than the sessions
// themselves need, their gap and grace, which is the default. The operators see to that; a Processor with a store of its own calls
// [SessionStore.Expire], and tells here how long the changelog has to last.
func (d Session[K, V]) WithRetention(retention time.Duration) Session[K, V] {
	d.retentionMs = retention.Milliseconds()
	return d
}

func (d Session[K, V]) Name() string         { return d.name }
func (d Session[K, V]) KeyCodec() Codec[K]   { return d.key }
func (d Session[K, V]) ValueCodec() Codec[V] { return d.value }

// RetentionMs returns what WithRetention was given; 0 if it was not called.
func (d Session[K, V]) RetentionMs() int64 { return d.retentionMs }

// Spec says what the store's bytes depend on.
func (d Session[K, V]) Spec() Spec {
	return Spec{Name: d.name, Kind: KindSession, Key: nameOf(d.key), Value: nameOf(d.value), RetentionMs: d.retentionMs}
}

// SessionOf is the value of one session of a key: of its records from StartMs to EndMs, both included.
type SessionOf[V any] struct {
	StartMs     int64
	EndMs       int64
	TimestampMs int64 // of the value, as whoever put it says
	Value       V
}

// SessionRow is a session and its key.
type SessionRow[K, V any] struct {
	Key K
	SessionOf[V]
}
