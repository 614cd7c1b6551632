package state

// This file has what the DB asks of a space.

// each visits all overlays there are, oldest first, those that are expired included.
func (s *segments[V]) each(visit func(*overlay[V])) {
	for _, list := range [...][]*segment[V]{s.expired, s.list} {
		for _, g := range list {
			if g.overlay != nil {
				visit(g.overlay)
			}
		}
	}
}

// changes leaves out what is expired: nobody needs to restore it.
func (s *segments[V]) changes(emit func(key, value []byte, timestampMs int64) error) error {
	for _, g := range s.list {
		if g.overlay == nil {
			continue
		}
		if err := g.overlay.changes(emit); err != nil {
			return err
		}
	}
	return nil
}

func (s *segments[V]) accept() {
	for _, g := range s.list {
		if g.overlay != nil {
			g.overlay.accept()
		}
	}
	for _, g := range s.expired {
		g.prepared = true
	}
}

func (s *segments[V]) refuse() { s.each((*overlay[V]).refuse) }

// commit drops what was expired before the last Changes.
func (s *segments[V]) commit() {
	kept := s.expired[:0]
	for _, g := range s.expired {
		if g.prepared {
			s.drop(g)
		} else {
			kept = append(kept, g)
		}
	}
	clear(s.expired[len(kept):])
	s.expired = kept
	s.each((*overlay[V]).commit)
	for _, g := range s.list {
		g.forgetEmpty()
	}
}

func (s *segments[V]) drop(g *segment[V]) {
	if g.overlay != nil {
		g.overlay.release()
	}
	if g.stored {
		s.gone, s.goneMs = true, max(s.goneMs, g.startMs+1)
	}
}

// forgetEmpty gives back an overlay that eviction has emptied.
func (g *segment[V]) forgetEmpty() {
	if g.stored && g.overlay != nil && g.overlay.table.count == 0 {
		g.overlay.release()
		g.overlay = nil
	}
}

// write deletes what is gone with one tombstone, and then writes what is pending.
func (s *segments[V]) write(w *batchWriter) (err error) {
	if s.gone {
		if err := w.batch.DeleteRange(s.prefix, s.segmentPrefix(s.goneMs), nil); err != nil {
			return err
		}
	}
	s.each(func(o *overlay[V]) {
		if err == nil {
			err = o.write(w)
		}
	})
	return err
}

func (s *segments[V]) written() {
	s.gone, s.goneMs = false, noFloor
	for _, list := range [...][]*segment[V]{s.expired, s.list} {
		for _, g := range list {
			if g.overlay == nil {
				continue
			}
			g.stored = g.stored || g.overlay.pendingCount() > 0
			g.overlay.written()
		}
	}
}

func (s *segments[V]) pendingCount() (n int) {
	s.each(func(o *overlay[V]) { n += o.pendingCount() })
	return n
}

func (s *segments[V]) slotCount() (n int) {
	s.each(func(o *overlay[V]) { n += o.slotCount() })
	return n
}

func (s *segments[V]) changed() (changed bool) {
	s.each(func(o *overlay[V]) { changed = changed || o.changed() })
	return changed
}

// reset forgets all that memory has, and looks up again which starts Pebble has.
func (s *segments[V]) reset() error {
	s.each((*overlay[V]).release)
	*s = *newSegments(s.db, s.prefix, s.codec)
	return s.load()
}
