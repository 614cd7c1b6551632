package history

import (
	"math"
	"slices"
	"sort"
)

// finish judges what depends on outcomes.
func (c *txnChecker) finish() {
	for _, name := range c.names {
		c.judgeTransaction(name, c.transactions[name])
	}
	for _, at := range c.order {
		p := c.places[at]
		if p.stored == nil {
			c.wrong(Unfinished, "%v was sent to, and nobody looked", at)
			continue
		}
		c.judgeRecords(at, p)
		c.judgeStable(at, p)
	}
	for _, key := range c.readerOrder {
		c.judgeReader(key, c.readers[key])
	}
	for _, key := range c.groupOrder {
		c.judgeGroup(key, c.groups[key])
	}
}

// committed says whether the transaction has committed, as its producer was told or as its records show.
func (t *transaction) committed() bool { return t.outcome == Committed || t.stored > 0 }

func (c *txnChecker) judgeTransaction(name string, t *transaction) {
	switch t.outcome {
	case Committed:
		c.summary.Committed++
		if t.stored < len(t.sent) {
			c.wrong(Lost, "%d of the %d records of %s, which was committed", len(t.sent)-t.stored, len(t.sent), name)
		}
	case Aborted:
		c.summary.Aborted++
	case Unknown:
		c.summary.Unknown++
	}
	if t.stored > 0 && t.stored < len(t.sent) {
		c.wrong(Torn, "%d of the %d records of %s are there", t.stored, len(t.sent), name)
	}
}

// judgeRecords holds what anybody was given against the outcomes and against what is there at the end.
func (c *txnChecker) judgeRecords(at Place, p *txnPlace) {
	there := map[int64]TxnStoredRecord{}
	for _, r := range p.stored.Records {
		there[r.Offset] = r
	}
	for offset, r := range p.at {
		if t := c.transactions[r.Transaction]; t != nil && t.outcome == Aborted {
			c.wrong(AbortedRead, "%v of %s at %v/%d", r.Record, r.Transaction, at, offset)
		}
		if _, ok := there[offset]; !ok {
			c.wrong(Lost, "%v of %s, seen at %v/%d", r.Record, r.Transaction, at, offset)
		}
	}
	for _, a := range p.acked {
		if t := c.transactions[a.transaction]; t.outcome != Committed {
			continue
		}
		if r, ok := there[a.offset]; !ok || r.Transaction != a.transaction || r.Record != a.record {
			c.wrong(Moved, "%v of %s, acknowledged at %v/%d, is not there", a.record, a.transaction, at, a.offset)
		}
	}
}

// judgeStable: a last stable offset is not beyond a record whose transaction was open, and where none was, it is behind all
// that was committed.
func (c *txnChecker) judgeStable(at Place, p *txnPlace) {
	var done maxima
	for _, a := range p.acked {
		if t := c.transactions[a.transaction]; t.outcome == Committed {
			done = append(done, maximum{t.ended, a.offset})
		}
	}
	done = done.sorted()
	first, open := c.firstOpen(p), c.openCount(p)
	for i, e := range p.asked {
		last := done.before(e.Since)
		if c.promises.VisibleAtOnce && e.Offset <= last && open(e.Since, p.toldAt[i]) == 0 {
			c.wrong(StableBehind, "%v is stable up to %d, and %d was committed", at, e.Offset, last)
		}
		if offset := first(p.toldAt[i]); e.Offset > offset {
			c.wrong(StableAhead, "%v is stable up to %d, and the transaction of %d was open", at, e.Offset, offset)
		}
	}
}

// firstOpen returns a function that says the first offset of all transactions that committed and of which nobody had asked
// the commit by a moment. What was sent after it does no harm: it is beyond what was stable then.
func (c *txnChecker) firstOpen(p *txnPlace) func(Moment) int64 {
	var spans []maximum
	for _, a := range p.acked {
		if t := c.transactions[a.transaction]; t.committed() && t.commitAsked != never {
			spans = append(spans, maximum{t.commitAsked, a.offset})
		}
	}
	slices.SortFunc(spans, func(a, b maximum) int { return int(a.at - b.at) })
	least := make([]int64, len(spans)+1) // of the offsets from there on
	least[len(spans)] = math.MaxInt64
	for i := len(spans) - 1; i >= 0; i-- {
		least[i] = min(spans[i].value, least[i+1])
	}
	return func(now Moment) int64 {
		return least[sort.Search(len(spans), func(i int) bool { return spans[i].at > now })]
	}
}

// openCount returns a function that says how many transactions may have been open in a place between two moments.
func (c *txnChecker) openCount(p *txnPlace) func(from, to Moment) int {
	var began, ended []Moment
	for name, since := range p.began {
		began, ended = append(began, since), append(ended, c.transactions[name].ended)
	}
	slices.Sort(began)
	slices.Sort(ended)
	return func(from, to Moment) int {
		before := func(moments []Moment, at Moment) int {
			return sort.Search(len(moments), func(i int) bool { return moments[i] >= at })
		}
		return before(began, to) - before(ended, from)
	}
}

// judgeReader: whoever reads committed records is given all of them in their order, from where it began.
func (c *txnChecker) judgeReader(key readerKey, r *reading) {
	p := c.places[key.Place]
	if p == nil || p.stored == nil {
		return
	}
	records := p.stored.Records
	find := func(offset int64) int {
		return sort.Search(len(records), func(i int) bool { return records[i].Offset >= offset })
	}
	next := find(r.from)
	for _, offset := range r.offsets {
		switch i := find(offset); {
		case i == len(records) || records[i].Offset != offset: // judged as lost
			continue
		case i < next:
			c.wrong(WentBack, "%s was given %v/%d again", key.Reader, key.Place, offset)
		case i > next:
			c.wrong(Skipped, "%s was given %v/%d before %d", key.Reader, key.Place, offset, records[next].Offset)
			next = i + 1
		default:
			next = i + 1
		}
	}
	if r.finished && next < len(records) {
		c.wrong(Unseen, "%v/%d by %s", key.Place, records[next].Offset, key.Reader)
	}
}

// judgeGroup: an offset is committed if and only if the records of its transaction are.
func (c *txnChecker) judgeGroup(key groupKey, g *txnGroup) {
	var acked, known maxima
	for offset, names := range g.asked {
		for _, name := range names {
			if t := c.transactions[name]; t.outcome == Committed {
				acked = append(acked, maximum{t.ended, offset})
			}
		}
	}
	acked = acked.sorted()
	for i, e := range g.seen {
		c.judgeOffset(key, g.asked[e.Offset], e, g.at[i])
		if last := acked.before(e.Since); e.Offset < last {
			c.wrong(CommitLost, "group %s of %v is at %d, and %d was committed", key.Group, key.Place, e.Offset, last)
		}
		if earlier := known.before(e.Since); e.Offset < earlier {
			c.wrong(CommitLost, "group %s of %v is at %d, and was at %d", key.Group, key.Place, e.Offset, earlier)
		}
		known.add(g.at[i], e.Offset)
	}
	if len(g.seen) == 0 {
		c.wrong(Unfinished, "group %s of %v has offsets in transactions, and nobody looked", key.Group, key.Place)
		return
	}
	c.judgeLastOffset(key, g, g.seen[len(g.seen)-1].Offset)
}

// judgeOffset: somebody has asked for the offset that was seen, in a transaction that was not aborted, and for its commit.
func (c *txnChecker) judgeOffset(key groupKey, names []string, e CommitSeen, now Moment) {
	if e.Offset < 0 {
		return
	}
	aborted, early := true, true
	for _, name := range names {
		t := c.transactions[name]
		gone := t.outcome == Aborted || t.outcome == Unknown && len(t.sent) > 0 && t.stored == 0
		aborted = aborted && gone
		early = early && t.commitAsked > now
	}
	switch {
	case len(names) == 0:
		c.wrong(CommitMade, "group %s of %v is at %d, which is in no transaction", key.Group, key.Place, e.Offset)
	case aborted:
		c.wrong(AbortedRead, "group %s of %v is at %d, which only transactions have that did not commit: %v", key.Group, key.Place, e.Offset, names)
	case early:
		c.wrong(Precommitted, "group %s of %v is at %d, of %v", key.Group, key.Place, e.Offset, names)
	}
}

// judgeLastOffset: no transaction whose records are there has an offset beyond the last one seen.
func (c *txnChecker) judgeLastOffset(key groupKey, g *txnGroup, last int64) {
	for offset, names := range g.asked {
		for _, name := range names {
			if t := c.transactions[name]; t.committed() && offset > last {
				c.wrong(Torn, "%s is committed, and group %s of %v is at %d and not at %d", name, key.Group, key.Place, last, offset)
			}
		}
	}
}

// sorted makes maxima of moments and values in any order.
func (m maxima) sorted() (sorted maxima) {
	slices.SortFunc(m, func(a, b maximum) int { return int(a.at - b.at) })
	for _, x := range m {
		sorted.add(x.at, x.value)
	}
	return sorted
}
