package state

import (
	"iter"
	"slices"
)

// Closed returns the sessions that end in [fromMs, toMs), ordered by end and then by the bytes of the key. Other stores may be changed
// meanwhile, this one not. Calls that go on where the last one ended cost nothing while nothing ends.
func (s *SessionStore[K, V]) Closed(fromMs, toMs int64) iter.Seq2[SessionRow[K, V], error] {
	return func(yield func(SessionRow[K, V], error) bool) {
		if nothing := fromMs >= s.index.exactMs && toMs <= s.index.quietMs; fromMs >= toMs || nothing {
			if err := s.settle(toMs); err != nil {
				yield(SessionRow[K, V]{}, err)
			}
			return
		}
		ended := false
		err := s.settle(toMs)
		if err == nil {
			err = s.index.ascend(fromMs, toMs, func(endMs int64, encoded []byte) (bool, error) {
				more, err := s.yieldEnding(encoded, endMs, yield)
				ended = !more
				return more, err
			})
		}
		if err != nil && !ended {
			yield(SessionRow[K, V]{}, err)
		}
	}
}

// yieldEnding hands out the sessions of a key that end at a time.
func (s *SessionStore[K, V]) yieldEnding(encoded []byte, endMs int64, yield func(SessionRow[K, V], error) bool) (more bool, err error) {
	slot, err := s.lists.lookup(encoded)
	if err != nil || slot == nil {
		return true, err
	}
	key, err := decodeKey(s.keys, encoded, s.name)
	if err != nil {
		return true, err
	}
	for _, session := range slot.value.sessions {
		if session.EndMs == endMs && !yield(SessionRow[K, V]{Key: key, SessionOf: session}, nil) {
			return false, nil
		}
	}
	return true, nil
}

// settle looks at the keys whose time has come before toMs, so that the index is exact up to there.
func (s *SessionStore[K, V]) settle(toMs int64) error {
	x := s.index
	if toMs <= x.exactMs {
		return nil
	}
	fromMs := x.exactMs
	x.exactMs = toMs
	if toMs > x.quietMs {
		entries, nextMs, err := x.due(fromMs, toMs)
		if err != nil {
			return err
		}
		x.quietMs = nextMs
		for _, entry := range entries {
			if err := s.settleEntry(entry, toMs); err != nil {
				return err
			}
		}
	}
	return nil
}

// settleEntry moves an entry to where the sessions of its key end.
func (s *SessionStore[K, V]) settleEntry(entry []byte, toMs int64) error {
	key, at := entry[indexTimeBytes:], indexTime(entry)
	slot, err := s.lists.lookup(key)
	if err != nil {
		return err
	}
	exact, indexedMs := false, int64(noIndex)
	if slot != nil {
		for _, session := range slot.value.sessions {
			exact = exact || session.EndMs == at
			if session.EndMs >= toMs {
				indexedMs = min(indexedMs, session.EndMs)
			}
		}
		slot.value.indexedMs = indexedMs
	}
	if !exact {
		if err := s.index.remove(entry); err != nil {
			return err
		}
	}
	if slot == nil {
		return nil
	}
	for _, session := range slices.Clone(slot.value.sessions) {
		if session.EndMs > at {
			if err := s.index.insert(key, session.EndMs); err != nil {
				return err
			}
		}
	}
	return nil
}

// Expire removes all sessions that end before a time. Their keys' entries change, and the changelog is told.
func (s *SessionStore[K, V]) Expire(endBeforeMs int64) error {
	x := s.index
	if endBeforeMs <= x.oldestMs {
		return s.db.usable()
	}
	if err := s.settle(endBeforeMs); err != nil {
		return err
	}
	entries, nextMs, err := x.due(x.oldestMs, endBeforeMs)
	if err != nil {
		return err
	}
	x.oldestMs = nextMs
	for _, entry := range entries {
		if err := s.expireEntry(entry, endBeforeMs); err != nil {
			return err
		}
	}
	return nil
}

func (s *SessionStore[K, V]) expireEntry(entry []byte, endBeforeMs int64) error {
	if err := s.index.remove(entry); err != nil {
		return err
	}
	n, err := s.lists.locate(entry[indexTimeBytes:])
	if err != nil {
		return err
	}
	slot := s.lists.table.at(n)
	if slot.state&slotPresent == 0 {
		return nil
	}
	list := slot.value
	list.sessions = slices.DeleteFunc(list.sessions, func(session SessionOf[V]) bool { return session.EndMs < endBeforeMs })
	switch {
	case len(list.sessions) == 0:
		s.lists.remove(n, s.db.timeMs)
	case len(list.sessions) < len(slot.value.sessions):
		s.lists.set(n, list, slot.timestampMs)
	}
	return nil
}
