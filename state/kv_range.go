package state

import "iter"

// Row is a key with its value.
type Row[K, V any] struct {
	Key         K
	Value       V
	TimestampMs int64
}

// Range walks over the keys in [from, to), nil being open, in the order of their encoded bytes, with all that was changed so far. The
// loop may use this store and others; changes that it makes to keys further on may be seen or not. An error ends it.
func (s *KVStore[K, V]) Range(from, to *K) iter.Seq2[Row[K, V], error] {
	return func(yield func(Row[K, V], error) bool) {
		if err := s.visit(from, to, yield); err != nil {
			yield(Row[K, V]{}, err)
		}
	}
}

func (s *KVStore[K, V]) visit(from, to *K, yield func(Row[K, V], error) bool) error {
	lower, upper, err := s.bounds(from, to)
	if err != nil {
		return err
	}
	return s.overlay.ascend(lower, upper, func(encoded []byte, value V, timestampMs int64) (bool, error) {
		key, err := decodeKey(s.keys, encoded, s.name)
		if err != nil {
			return false, err
		}
		return yield(Row[K, V]{key, value, timestampMs}, nil), nil
	})
}

func (s *KVStore[K, V]) bounds(from, to *K) (lower, upper []byte, err error) {
	if lower, err = encodeBound(s.keys, from, s.name); err != nil {
		return nil, nil, err
	}
	upper, err = encodeBound(s.keys, to, s.name)
	return lower, upper, err
}
