package history

type readerKey struct {
	Reader string
	Place  Place
}

// position is where a reader is; next is -1 until it is given its first record.
type position struct {
	next  int64
	since Moment // when it was assigned
}

type groupKey struct {
	Group string
	Place Place
}

// group is what is known of a group's offset in a partition.
type group struct {
	asked map[int64]Moment
	acked maxima
	known maxima // offsets told
	read  map[int64]bool
}

func (c *checker) group(name string, at Place) *group {
	key := groupKey{name, at}
	g := c.groups[key]
	if g == nil {
		g = &group{asked: map[int64]Moment{}, read: map[int64]bool{}}
		c.groups[key] = g
	}
	return g
}

func (g *group) ask(now Moment, offset int64) {
	if _, ok := g.asked[offset]; !ok {
		g.asked[offset] = now
	}
}

func (c *checker) assigned(now Moment, e Assigned) {
	next := e.From
	if e.Group != "" {
		next = -1
	}
	c.readers[readerKey{e.Reader, e.Place}] = &position{next: next, since: now}
}

func (c *checker) read(e Read) {
	c.seen(e.Place, e.Offset, e.Record)
	p := c.readers[readerKey{e.Reader, e.Place}]
	if p == nil {
		c.wrong(Skipped, "%s read %v without an assignment", e.Reader, e.Place)
		return
	}
	if e.Group != "" {
		g := c.group(e.Group, e.Place)
		g.read[e.Offset] = true
		if p.next < 0 {
			c.resumed(e, g, p)
		}
	}
	switch {
	case p.next < 0:
	case e.Offset > p.next:
		c.wrong(Skipped, "%s was given %v/%d after %d", e.Reader, e.Place, e.Offset, p.next-1)
	case e.Offset < p.next:
		c.wrong(WentBack, "%s was given %v/%d after %d", e.Reader, e.Place, e.Offset, p.next-1)
	}
	p.next = e.Offset + 1
}

// resumed judges the first record after an assignment: a member goes on where its group has committed.
func (c *checker) resumed(e Read, g *group, p *position) {
	if acked := g.acked.before(p.since); e.Offset < acked {
		c.wrong(CommitLost, "%s resumed %v of group %s at %d, and %d was committed", e.Reader, e.Place, e.Group, e.Offset, acked)
	}
	if _, asked := g.asked[e.Offset]; !asked && e.Offset != 0 {
		c.wrong(CommitMade, "%s resumed %v of group %s at %d, which nobody has committed", e.Reader, e.Place, e.Group, e.Offset)
	}
}

func (c *checker) commitSeen(now Moment, e CommitSeen) {
	g := c.group(e.Group, e.Place)
	if acked := g.acked.before(e.Since); e.Offset < acked {
		c.wrong(CommitLost, "group %s of %v is at %d, and %d was committed", e.Group, e.Place, e.Offset, acked)
	}
	if earlier := g.known.before(e.Since); e.Offset < earlier {
		c.wrong(CommitLost, "group %s of %v is at %d, and was at %d", e.Group, e.Place, e.Offset, earlier)
	}
	if _, asked := g.asked[e.Offset]; !asked && e.Offset >= 0 {
		c.wrong(CommitMade, "group %s of %v is at %d, which nobody has committed", e.Group, e.Place, e.Offset)
	}
	g.known.add(now, e.Offset)
}

// finish: members commit what they were given, so below the last commit every record was given to one of them.
func (g *group) finish(c *checker, key groupKey) {
	if len(g.acked) == 0 {
		return
	}
	for offset := range g.acked[len(g.acked)-1].value {
		if !g.read[offset] {
			c.wrong(Unread, "%v/%d by group %s", key.Place, offset, key.Group)
		}
	}
}
