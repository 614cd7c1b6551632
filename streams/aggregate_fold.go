package streams

import "github.com/millrace/millrace/state"

// fold is how the records of one key, or of one key and window, become one value: first makes the value of the first record,
// add puts another one to it. Neither result shares memory with the record's value, which others may have too.
type fold[K, V, A any] struct {
	first func(key K, value V) (A, error)
	add   func(key K, value V, aggregate A) A
	given []argument // that it is made of
}

// counting is the number of records.
func counting[K, V any]() fold[K, V, int64] {
	return fold[K, V, int64]{
		first: func(K, V) (int64, error) { return 1, nil },
		add:   func(_ K, _ V, count int64) int64 { return count + 1 },
	}
}

// reducing begins with a copy of the first value: reduce may change what it is given as aggregate.
func reducing[K, V any](codec state.Codec[V], reduce func(aggregate, value V) V) fold[K, V, V] {
	own := copier(codec)
	return fold[K, V, V]{
		first: func(_ K, value V) (V, error) { return own(value) },
		add:   func(_ K, value, aggregate V) V { return reduce(aggregate, value) },
		given: []argument{{"reduce", reduce}},
	}
}

// aggregating begins with what init returns.
func aggregating[K, V, A any](init func() A, add func(K, V, A) A) fold[K, V, A] {
	return fold[K, V, A]{
		first: func(key K, value V) (A, error) { return add(key, value, init()), nil },
		add:   add,
		given: []argument{{"init", init}, {"add", add}},
	}
}
