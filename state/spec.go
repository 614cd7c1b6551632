package state

// Kind is what a store is made for.
type Kind uint8

const (
	KindKV      Kind = iota + 1 // a value for each key
	KindWindow                  // a value for each key and window
	KindSession                 // the sessions of each key
)

func (k Kind) String() string {
	switch k {
	case KindKV:
		return "kv"
	case KindWindow:
		return "window"
	case KindSession:
		return "session"
	}
	return "unknown"
}

// Spec is what a store's bytes depend on. It lies beside them, and a store opens only with the Spec it was written with.
type Spec struct {
	Name  string // unique in a topology
	Kind  Kind
	Key   string // name of the keys' codec, "" without one
	Value string // name of the values' codec, likewise

	RetentionMs int64 // of windows and sessions, in stream time; 0: not told. It may change, and is not kept
}

// Store is the descriptor of a store: a KV, a Window or a Session.
type Store interface {
	Spec() Spec
	open(db *DB) error
}

// OpenStores opens stores before anyone asks for them by their types: window and session stores are restored only when they are open.
func (db *DB) OpenStores(stores ...Store) error {
	for _, store := range stores {
		if err := store.open(db); err != nil {
			return err
		}
	}
	return nil
}

// KV describes a store that has a value for each key. It is a plain value: two with the same name describe the same store.
type KV[K, V any] struct {
	name  string
	key   Codec[K]
	value Codec[V]
}

// NewKV describes the store of that name. The names of the codecs stand for the format: a store that was written with others
// does not open.
func NewKV[K, V any](name string, key Codec[K], value Codec[V]) KV[K, V] {
	return KV[K, V]{name, key, value}
}

func (d KV[K, V]) Name() string         { return d.name }
func (d KV[K, V]) KeyCodec() Codec[K]   { return d.key }
func (d KV[K, V]) ValueCodec() Codec[V] { return d.value }

// Spec says what the store's bytes depend on.
func (d KV[K, V]) Spec() Spec {
	return Spec{Name: d.name, Kind: KindKV, Key: nameOf(d.key), Value: nameOf(d.value)}
}
