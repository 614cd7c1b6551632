package history

import "fmt"

// txnChecker gathers what happened; what depends on outcomes is judged at the end.
type txnChecker struct {
	violations   []Violation
	summary      TxnSummary
	promises     Promises
	transactions map[string]*transaction
	names        []string // of transactions as they came up
	places       map[Place]*txnPlace
	order        []Place
	readers      map[readerKey]*reading
	readerOrder  []readerKey
	groups       map[groupKey]*txnGroup
	groupOrder   []groupKey
}

// never is a moment after all others.
const never = Moment(1 << 62)

type transaction struct {
	sent        map[txnRecordKey]sending
	offsets     map[groupKey]int64
	commitAsked Moment
	ended       Moment
	outcome     Outcome
	stored      int
}

type txnRecordKey struct {
	at Place
	recordKey
}

type txnPlace struct {
	began  map[string]Moment // transaction to when its first record was sent
	acked  []ackedRecord
	latest maxima // offsets acknowledged
	at     map[int64]TxnStoredRecord
	stable maxima
	asked  []LastStable
	toldAt []Moment // of asked
	stored *TxnStored
}

type ackedRecord struct {
	transaction string
	record      Record
	offset      int64
}

// reading is what a reader was given of a place since it was assigned.
type reading struct {
	from     int64
	offsets  []int64
	finished bool
}

type txnGroup struct {
	asked map[int64][]string // offset to the transactions that have it
	seen  []CommitSeen
	at    []Moment // of seen
}

func newTxnChecker(promises Promises) *txnChecker {
	return &txnChecker{
		promises: promises, transactions: map[string]*transaction{}, places: map[Place]*txnPlace{},
		readers: map[readerKey]*reading{}, groups: map[groupKey]*txnGroup{},
	}
}

func (c *txnChecker) wrong(kind, format string, arguments ...any) {
	c.violations = append(c.violations, Violation{Kind: kind, Text: fmt.Sprintf(format, arguments...)})
}

func (c *txnChecker) event(now Moment, event any) {
	switch e := event.(type) {
	case TxnSent:
		c.summary.Sent++
		if p, name := c.place(e.Place), e.Transaction; p.began[name] == 0 {
			p.began[name] = now + 1 // after it, so that 0 is none
		}
		c.transaction(e.Transaction).sent[txnRecordKey{e.Place, e.Record.key()}] = sending{now, e.Record.Sum}
	case TxnAcked:
		c.acked(now, e)
	case TxnOffset:
		c.summary.Offsets++
		key := groupKey{e.Group, e.Place}
		c.transaction(e.Transaction).offsets[key] = e.Offset
		g := c.group(key)
		g.asked[e.Offset] = append(g.asked[e.Offset], e.Transaction)
	case TxnCommitAsked:
		c.transaction(e.Transaction).commitAsked = now
	case TxnEnded:
		t := c.transaction(e.Transaction)
		t.ended, t.outcome = now, e.Outcome
	case Assigned:
		c.assigned(e)
	case TxnRead:
		c.read(now, e)
	case TxnFinished:
		c.reader(readerKey{e.Reader, e.Place}).finished = true
	case LastStable:
		c.lastStable(now, e)
	case CommitSeen:
		c.summary.OffsetsSeen++
		g := c.group(groupKey{e.Group, e.Place})
		g.seen, g.at = append(g.seen, e), append(g.at, now)
	case TxnStored:
		c.stored(now, e)
	default:
		panic(fmt.Sprintf("history: no event of transactions: %T", event))
	}
}

func (c *txnChecker) transaction(name string) *transaction {
	t := c.transactions[name]
	if t == nil {
		t = &transaction{sent: map[txnRecordKey]sending{}, offsets: map[groupKey]int64{}, commitAsked: never, ended: never}
		c.transactions[name] = t
		c.names = append(c.names, name)
	}
	return t
}

func (c *txnChecker) place(at Place) *txnPlace {
	p := c.places[at]
	if p == nil {
		p = &txnPlace{began: map[string]Moment{}, at: map[int64]TxnStoredRecord{}}
		c.places[at] = p
		c.order = append(c.order, at)
	}
	return p
}

func (c *txnChecker) group(key groupKey) *txnGroup {
	g := c.groups[key]
	if g == nil {
		g = &txnGroup{asked: map[int64][]string{}}
		c.groups[key] = g
		c.groupOrder = append(c.groupOrder, key)
	}
	return g
}

func (c *txnChecker) acked(now Moment, e TxnAcked) {
	p := c.place(e.Place)
	// Acknowledged before this one was sent means stored before it.
	if s, ok := c.transaction(e.Transaction).sent[txnRecordKey{e.Place, e.Record.key()}]; ok {
		if last := p.latest.before(s.at); e.Offset <= last {
			c.wrong(Overtaken, "%v at %v/%d, sent after %d was acknowledged", e.Record, e.Place, e.Offset, last)
		}
	}
	p.latest.add(now, e.Offset)
	p.acked = append(p.acked, ackedRecord{e.Transaction, e.Record, e.Offset})
}

// reader returns the present reading of a reader; the empty one if it was never assigned.
func (c *txnChecker) reader(key readerKey) *reading {
	r := c.readers[key]
	if r == nil {
		r = &reading{}
		c.readers[key] = r
		c.readerOrder = append(c.readerOrder, key)
		c.wrong(Skipped, "%s reads %v without an assignment", key.Reader, key.Place)
	}
	return r
}

// assigned begins a reading. The name of a reader is used once for each place, so that all readings are judged.
func (c *txnChecker) assigned(e Assigned) {
	key := readerKey{e.Reader, e.Place}
	if c.readers[key] != nil {
		panic(fmt.Sprintf("history: reader %s is assigned %v twice", e.Reader, e.Place))
	}
	c.readers[key] = &reading{from: e.From}
	c.readerOrder = append(c.readerOrder, key)
}

func (c *txnChecker) read(now Moment, e TxnRead) {
	c.summary.Read++
	r := c.reader(readerKey{e.Reader, e.Place})
	r.offsets = append(r.offsets, e.Offset)
	c.seen(now, e.Place, TxnStoredRecord{e.Offset, e.Transaction, e.Record})
}

// seen notes that the offset holds the record for read_committed, and whether that can be.
func (c *txnChecker) seen(now Moment, at Place, r TxnStoredRecord) {
	p := c.place(at)
	t := c.transactions[r.Transaction]
	switch {
	case t == nil:
		c.wrong(Invented, "%v of unknown transaction %s at %v/%d", r.Record, r.Transaction, at, r.Offset)
		return
	case t.commitAsked > now:
		c.wrong(Precommitted, "%v of %s at %v/%d", r.Record, r.Transaction, at, r.Offset)
	}
	if s, ok := t.sent[txnRecordKey{at, r.Record.key()}]; !ok {
		c.wrong(Invented, "%v of %s at %v/%d", r.Record, r.Transaction, at, r.Offset)
	} else if s.sum != r.Record.Sum {
		c.wrong(Altered, "%v of %s at %v/%d", r.Record, r.Transaction, at, r.Offset)
	}
	if before, ok := p.at[r.Offset]; ok && before != r {
		c.wrong(Changed, "%v/%d holds %v of %s and held %v of %s", at, r.Offset, r.Record, r.Transaction, before.Record, before.Transaction)
	}
	p.at[r.Offset] = r
}

func (c *txnChecker) lastStable(now Moment, e LastStable) {
	c.summary.LastStables++
	p := c.place(e.Place)
	if earlier := p.stable.before(e.Since); e.Offset < earlier {
		c.wrong(StableBehind, "%v is stable up to %d, and was up to %d", e.Place, e.Offset, earlier)
	}
	p.stable.add(now, e.Offset)
	p.asked, p.toldAt = append(p.asked, e), append(p.toldAt, now)
}

func (c *txnChecker) stored(now Moment, e TxnStored) {
	p := c.place(e.Place)
	p.stored = &e
	last := map[string]int64{} // producer to its last number
	found := map[recordKey]int64{}
	for i, r := range e.Records {
		c.summary.Stored++
		if i > 0 && r.Offset <= e.Records[i-1].Offset {
			c.wrong(WentBack, "%v holds offset %d after %d", e.Place, r.Offset, e.Records[i-1].Offset)
		}
		if earlier, ok := found[r.Record.key()]; ok {
			c.wrong(Duplicated, "%v at %v/%d and %d", r.Record, e.Place, earlier, r.Offset)
			continue
		}
		found[r.Record.key()] = r.Offset
		c.seen(now, e.Place, r)
		if before, ok := last[r.Record.Producer]; ok && r.Record.Number <= before {
			c.wrong(Reordered, "%v at %v/%d after number %d", r.Record, e.Place, r.Offset, before)
		}
		last[r.Record.Producer] = r.Record.Number
		if t := c.transactions[r.Transaction]; t != nil {
			t.stored++
		}
	}
}
