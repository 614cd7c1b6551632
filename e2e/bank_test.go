package e2e

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/e2e/history"
)

// A bank: tellers transfer money between accounts that lie in many partitions. A transaction has some transfers, each of
// two records: what one account loses and what another gains.
const (
	accounts         = 64
	bankPartitions   = 16
	bankTellers      = 6
	transfersMax     = 4
	amountMax        = 1000
	killsOfABank     = 4 // of a smoke test, and of a long run
	killsOfALongBank = 60
	bankPerKillMax   = 200
)

// TestKillsOfABankLoseNoMoney: whatever happens to broker and tellers, readers see each committed transfer once, nothing
// of others, and so the sum of all accounts is zero at any moment.
func TestKillsOfABankLoseNoMoney(t *testing.T) {
	t.Run("killed", func(t *testing.T) { runBank(t, false) })
	t.Run("stopped and killed", func(t *testing.T) { runBank(t, true) })
}

func runBank(t *testing.T, stops bool) {
	s := startServer(t, loadSettings...)
	b := &bank{transactions: beginTransactions(t, s, map[string]int32{"accounts": bankPartitions})}
	for i := range bankTellers {
		b.working.Go(func() { b.teller(fmt.Sprint("teller-", i), 1+i%2) })
	}
	var audits [2]*audit
	for i := range audits {
		audits[i] = &audit{t: t, open: map[string]*transfers{}}
		b.reading.Go(func() { b.follow(fmt.Sprint("auditor-", i), audits[i].take) })
	}
	b.reading.Go(func() { b.watchStable(nil) })
	kills := killsOfABank
	if long() {
		kills = killsOfALongBank
	}
	b.disturb(kills, bankPerKillMax, stops)
	b.endWork()
	b.working.Wait()
	b.awaitStable()
	for _, transaction := range b.abandoned {
		b.history.Add(history.TxnEnded{Transaction: transaction, Outcome: history.Aborted})
	}
	for i, a := range audits {
		eventually(t, fmt.Sprintf("auditor %d has seen all of each transfer", i), a.complete)
	}
	b.endRead()
	b.reading.Wait()
	s.kill()
	s.start()
	b.awaitStable()
	b.expectZero(b.judge(history.Promises{VisibleAtOnce: !stops}, nil)["accounts"])
	if code := s.terminate(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	s.verifyLogs()
}

type bank struct {
	*transactions
	mu        sync.Mutex
	abandoned []string // transactions that only their timeout ends
}

// teller makes transactions until the end. Some it aborts, some it leaves open for the timeout, and now and then another
// teller with the same transactional id takes over in the middle.
func (b *bank) teller(name string, version int) {
	var c *kgo.Client
	lost := "" // the transaction whose outcome nobody knows
	for number := int64(0); b.workUntil.Err() == nil; number++ {
		if c == nil {
			if c = b.producer(b.workUntil, name, version); c == nil {
				break
			}
			b.settle(&lost)
		}
		transaction := fmt.Sprint(name, ".", number)
		if err := c.BeginTransaction(); err != nil {
			b.t.Errorf("%s: %v", transaction, err)
			return
		}
		err := b.send(c, transaction, transferRecords(name, transaction, number)...)
		switch chance := rand.IntN(40); {
		case chance == 0 && err == nil:
			c = b.takeOver(c, name, version, transaction)
			continue
		case chance == 1:
			b.abandon(fmt.Sprint(name, "-gone-", number), version)
			fallthrough
		default:
			err = b.end(c, transaction, err == nil && chance < 36)
		}
		if err != nil {
			lost = transaction
			c.Close()
			c = nil
		}
	}
	if lost != "" {
		b.settleAtTheEnd(name, version, lost)
	}
	if c != nil {
		c.Close()
	}
}

// settleAtTheEnd ends what the producer has left open when its time was up.
func (b *bank) settleAtTheEnd(name string, version int, lost string) {
	if c := b.producer(b.t.Context(), name, version); c != nil {
		c.Close()
		b.settle(&lost)
	}
}

// takeOver begins anew with the id of a producer that is in a transaction. The old one can do nothing any more.
func (b *bank) takeOver(old *kgo.Client, name string, version int, transaction string) *kgo.Client {
	defer old.Close()
	c := b.producer(b.workUntil, name, version)
	if c == nil {
		if b.end(old, transaction, false) != nil {
			b.settleAtTheEnd(name, version, transaction)
		}
		return nil
	}
	b.history.Add(history.TxnEnded{Transaction: transaction, Outcome: history.Aborted})
	if err := b.send(old, transaction, transferRecords(name, transaction, 1<<40)...); err == nil {
		b.t.Errorf("%s: a producer that was replaced has written", transaction)
	}
	return c
}

// abandonTimeout is how long the broker waits for a producer that is gone.
const abandonTimeout = time.Second

// abandon leaves a transaction open whose producer does not come back.
func (b *bank) abandon(name string, version int) {
	c := b.producer(b.workUntil, name, version, kgo.TransactionTimeout(abandonTimeout))
	if c == nil {
		return
	}
	defer c.Close()
	if err := c.BeginTransaction(); err != nil {
		b.t.Errorf("%s: %v", name, err)
		return
	}
	_ = b.send(c, name, transferRecords(name, name, 0)...)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.abandoned = append(b.abandoned, name)
}

// transferRecords makes up the transfers of a transaction. Each record says of how many it is one.
func transferRecords(teller, transaction string, number int64) (records []*kgo.Record) {
	count := 1 + rand.IntN(transfersMax)
	for i := range count {
		amount := 1 + rand.IntN(amountMax)
		for side, change := range []int{-amount, amount} {
			account := rand.IntN(accounts)
			r := newRecord("accounts", int32(account%bankPartitions), teller, number*100+int64(2*i+side))
			r.Value = strconv.AppendInt(nil, int64(change), 10)
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: transactionHeader, Value: []byte(transaction)},
				kgo.RecordHeader{Key: "account", Value: strconv.AppendInt(nil, int64(account), 10)},
				kgo.RecordHeader{Key: "of", Value: strconv.AppendInt(nil, int64(2*count), 10)})
			records = append(records, r)
		}
	}
	return records
}

// audit adds up what a reader was given. It is safe for concurrent use.
type audit struct {
	t    *testing.T
	mu   sync.Mutex
	open map[string]*transfers // transactions of which some is still to come
	sum  int64                 // of all others
}

type transfers struct {
	left int
	sum  int64
}

// take adds a record: once all of its transaction have come, they leave the sum as it was.
func (a *audit) take(read history.TxnRead, r *kgo.Record) {
	a.mu.Lock()
	defer a.mu.Unlock()
	amount, of := amountOf(a.t, r)
	x := a.open[read.Transaction]
	if x == nil {
		x = &transfers{left: of}
		a.open[read.Transaction] = x
	}
	x.left--
	x.sum += amount
	if x.left == 0 {
		delete(a.open, read.Transaction)
		if a.sum += x.sum; a.sum != 0 {
			a.t.Errorf("%s sees a sum of %d after %s", read.Reader, a.sum, read.Transaction)
		}
	}
}

// complete says whether nothing that was begun is still to come.
func (a *audit) complete() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.open) == 0
}

func amountOf(t *testing.T, r *kgo.Record) (amount int64, of int) {
	amount, err := strconv.ParseInt(string(r.Value), 10, 64)
	if err != nil {
		t.Errorf("amount of %s: %v", r.Key, err)
	}
	of, err = strconv.Atoi(header(r, "of"))
	if err != nil {
		t.Errorf("transfers of %s: %v", r.Key, err)
	}
	return amount, of
}

// expectZero adds up what is stored.
func (b *bank) expectZero(records []*kgo.Record) {
	b.t.Helper()
	var sum int64
	for _, r := range records {
		amount, _ := amountOf(b.t, r)
		sum += amount
	}
	if sum != 0 {
		b.t.Errorf("the sum of all accounts is %d", sum)
	}
}
