package state

import "iter"

// Range returns the sessions of the keys in [from, to), nil being open, ordered by the bytes of the key and then by start. Other stores
// may be changed meanwhile; what is changed in this one may be seen or not.
func (s *SessionStore[K, V]) Range(from, to *K) iter.Seq2[SessionRow[K, V], error] {
	return func(yield func(SessionRow[K, V], error) bool) {
		lower, upper, err := encodeBounds(s.keys, from, to, s.name)
		if err != nil {
			yield(SessionRow[K, V]{}, err)
			return
		}
		ended := false
		err = s.lists.ascend(lower, upper, func(encoded []byte, list sessionList[V], _ int64) (bool, error) {
			key, err := decodeKey(s.keys, encoded, s.name)
			if err != nil {
				return false, err
			}
			for _, session := range list.sessions {
				if ended = !yield(SessionRow[K, V]{Key: key, SessionOf: session}, nil); ended {
					return false, nil
				}
			}
			return true, nil
		})
		if err != nil && !ended {
			yield(SessionRow[K, V]{}, err)
		}
	}
}
