package state

import "iter"

// Fetch returns a key's values in the windows that begin in [fromMs, toMs), oldest first.
func (s *WindowStore[K, V]) Fetch(key K, fromMs, toMs int64) iter.Seq2[WindowRow[K, V], error] {
	return func(yield func(WindowRow[K, V], error) bool) {
		encoded, err := appendKey(nil, s.keys, key, s.name)
		if err != nil {
			yield(WindowRow[K, V]{}, err)
			return
		}
		for _, g := range s.windows.within(fromMs, toMs) {
			slot, err := s.windows.open(g).lookup(encoded)
			if err != nil {
				yield(WindowRow[K, V]{}, err)
				return
			}
			if slot == nil {
				continue
			}
			if !yield(WindowRow[K, V]{Key: key, StartMs: g.startMs, Value: slot.value, TimestampMs: slot.timestampMs}, nil) {
				return
			}
		}
	}
}

// Closed returns all that is in the windows that begin in [fromMs, toMs), ordered by start and then by the bytes of the key. Other
// stores may be changed meanwhile; what is changed in this one may be seen or not.
func (s *WindowStore[K, V]) Closed(fromMs, toMs int64) iter.Seq2[WindowRow[K, V], error] {
	return s.Range(nil, nil, fromMs, toMs)
}

// Range is Closed for the keys in [from, to), as the bytes of their encodings are ordered. nil is open.
func (s *WindowStore[K, V]) Range(from, to *K, fromMs, toMs int64) iter.Seq2[WindowRow[K, V], error] {
	return func(yield func(WindowRow[K, V], error) bool) {
		segments := s.windows.within(fromMs, toMs)
		if len(segments) == 0 {
			return
		}
		first, last, err := encodeBounds(s.keys, from, to, s.name)
		if err != nil {
			yield(WindowRow[K, V]{}, err)
			return
		}
		for _, g := range segments {
			ended := false
			err := s.windows.open(g).ascend(first, last, func(encoded []byte, value V, timestampMs int64) (bool, error) {
				key, err := decodeKey(s.keys, encoded, s.name)
				if err != nil {
					return false, err
				}
				ended = !yield(WindowRow[K, V]{Key: key, StartMs: g.startMs, Value: value, TimestampMs: timestampMs}, nil)
				return !ended, nil
			})
			if err != nil && !ended {
				yield(WindowRow[K, V]{}, err)
			}
			if err != nil || ended {
				return
			}
		}
	}
}
