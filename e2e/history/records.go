package history

// place is what is known of a partition.
type place struct {
	sent    map[recordKey]sending
	ackedAt map[recordKey]int64
	at      map[int64]Record // what was seen at an offset, by whomever
	acked   maxima           // offsets acknowledged
	ends    maxima
	stored  bool
}

type recordKey struct {
	producer string
	number   int64
}

type sending struct {
	at  Moment
	sum uint64
}

func (r Record) key() recordKey { return recordKey{r.Producer, r.Number} }

func (c *checker) place(at Place) *place {
	p := c.places[at]
	if p == nil {
		p = &place{sent: map[recordKey]sending{}, ackedAt: map[recordKey]int64{}, at: map[int64]Record{}}
		c.places[at] = p
		c.order = append(c.order, at)
	}
	return p
}

func (p *place) send(now Moment, r Record) { p.sent[r.key()] = sending{now, r.Sum} }

// seen notes that the offset holds the record, and whether that can be.
func (c *checker) seen(at Place, offset int64, r Record) {
	p := c.place(at)
	if s, ok := p.sent[r.key()]; !ok {
		c.wrong(Invented, "%v at %v/%d", r, at, offset)
	} else if s.sum != r.Sum {
		c.wrong(Altered, "%v at %v/%d", r, at, offset)
	}
	if before, ok := p.at[offset]; ok && before != r {
		c.wrong(Changed, "%v/%d holds %v and held %v", at, offset, r, before)
	}
	p.at[offset] = r
}

func (c *checker) acked(now Moment, e Acked) {
	p := c.place(e.Place)
	c.seen(e.Place, e.Offset, e.Record)
	// Acknowledged before this one was sent means stored before it.
	if s, ok := p.sent[e.Record.key()]; ok {
		if last := p.acked.before(s.at); e.Offset <= last {
			c.wrong(Overtaken, "%v at %v/%d, sent after %d was acknowledged", e.Record, e.Place, e.Offset, last)
		}
	}
	p.acked.add(now, e.Offset)
	p.ackedAt[e.Record.key()] = e.Offset
}

func (c *checker) end(now Moment, e End) {
	p := c.place(e.Place)
	if acked := p.acked.before(e.Since); e.Offset <= acked {
		c.wrong(EndBehind, "%v ends at %d, and %d was acknowledged", e.Place, e.Offset, acked)
	}
	if earlier := p.ends.before(e.Since); e.Offset < earlier {
		c.wrong(EndBehind, "%v ends at %d, and ended at %d", e.Place, e.Offset, earlier)
	}
	if e.Offset > int64(len(p.sent)) {
		c.wrong(EndAhead, "%v ends at %d, and %d records were sent", e.Place, e.Offset, len(p.sent))
	}
	p.ends.add(now, e.Offset)
}

// stored compares what a place holds at the end with all that was said of it.
func (c *checker) stored(e Stored) {
	p := c.place(e.Place)
	p.stored = true
	found := make(map[recordKey]int64, len(e.Records))
	last := map[string]int64{} // producer to its last number
	next := e.Start
	for _, r := range e.Records {
		c.summary.Stored++
		if r.Offset != next {
			c.wrong(Gap, "%v holds offset %d where %d follows", e.Place, r.Offset, next)
		}
		next = r.Offset + 1
		if earlier, ok := found[r.Record.key()]; ok {
			c.wrong(Duplicated, "%v at %v/%d and %d", r.Record, e.Place, earlier, r.Offset)
			continue
		}
		c.seen(e.Place, r.Offset, r.Record)
		found[r.Record.key()] = r.Offset
		if before, ok := last[r.Record.Producer]; ok && r.Record.Number <= before {
			c.wrong(Reordered, "%v at %v/%d after number %d", r.Record, e.Place, r.Offset, before)
		}
		last[r.Record.Producer] = r.Record.Number
	}
	for key, offset := range p.ackedAt {
		if offset < e.Start {
			continue
		}
		if at, ok := found[key]; !ok {
			c.wrong(Lost, "%s/%d, acknowledged at %v/%d", key.producer, key.number, e.Place, offset)
		} else if at != offset {
			c.wrong(Moved, "%s/%d, acknowledged at %v/%d, is at %d", key.producer, key.number, e.Place, offset, at)
		}
	}
	// What somebody was given was committed: it cannot be gone.
	for offset, r := range p.at {
		if offset >= next {
			c.wrong(Lost, "%v, seen at %v/%d, and %v ends at %d", r, e.Place, offset, e.Place, next)
		}
	}
}
