package verbs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"time"
)

// Transactional is a Client that has transactions.
type Transactional interface {
	Client
	// Transactional opens a producer to partition 0, which fences those that were opened with the same id before.
	Transactional(ctx context.Context, id string) (TransactionalProducer, error)
	// ReadCommitted returns the first count values of partition 0 that are committed.
	ReadCommitted(ctx context.Context, topic string, count int) ([]string, error)
	// Relay opens a mover of records from one topic to another; id is that of its group and of its transactions.
	Relay(ctx context.Context, id, from, to string) (Relay, error)
}

// TransactionalProducer has one transaction at a time.
type TransactionalProducer interface {
	Begin() error
	// Send returns once the values are acknowledged.
	Send(ctx context.Context, topic string, values []string) error
	End(ctx context.Context, commit bool) error
	Close()
}

// RelayMax is how many records a transaction of a Relay has at most.
const RelayMax = 10

// Relay moves records, with the offsets of what it has read in the transaction of what it has written.
type Relay interface {
	// Next moves up to RelayMax records in one transaction and returns their values; none if none came within a moment.
	// Behind an error or an abort there is only Close.
	Next(ctx context.Context, commit bool) ([]string, error)
	Close()
}

// tryTransactions tries what the client has of them, unless it says why it has none.
func tryTransactions(c Client, prefix string, try func(string, func(context.Context) error)) {
	if c, ok := c.(interface{ WithoutTransactions() map[string]string }); ok {
		for name, why := range c.WithoutTransactions() {
			fmt.Printf("skip %s: %s\n", name, why)
		}
		return
	}
	t := c.(Transactional)
	try("transactions", func(ctx context.Context) error { return writeMixed(ctx, t, prefix+"-transactions") })
	try("read-committed", func(ctx context.Context) error { return committed(ctx, t, prefix+"-transactions", kept) })
	try("transactional-offsets", func(ctx context.Context) error { return relayTwice(ctx, t, prefix+"-relay") })
	try("fencing", func(ctx context.Context) error { return fence(ctx, t, prefix+"-fencing") })
}

func values(records []Record) []string {
	values := make([]string, len(records))
	for i, r := range records {
		values[i] = r.Value
	}
	return values
}

// kept is what writeMixed commits.
var kept = values(numbered("kept", 20))

// writeMixed commits a transaction, aborts one and commits another.
func writeMixed(ctx context.Context, t Transactional, topic string) error {
	if err := t.Create(ctx, topic, 1); err != nil {
		return err
	}
	p, err := t.Transactional(ctx, topic)
	if err != nil {
		return err
	}
	defer p.Close()
	for _, step := range []struct {
		values []string
		commit bool
	}{{kept[:10], true}, {values(numbered("dropped", 10)), false}, {kept[10:], true}} {
		if err := transact(ctx, p, topic, step.values, step.commit); err != nil {
			return err
		}
	}
	return nil
}

func transact(ctx context.Context, p TransactionalProducer, topic string, values []string, commit bool) error {
	if err := p.Begin(); err != nil {
		return err
	}
	if err := p.Send(ctx, topic, values); err != nil {
		return err
	}
	return p.End(ctx, commit)
}

// committed holds what is committed in the topic against what should be.
func committed(ctx context.Context, t Transactional, topic string, want []string) error {
	got, err := t.ReadCommitted(ctx, topic, len(want))
	if err == nil && !slices.Equal(got, want) {
		err = fmt.Errorf("committed is %q, not %q", got, want)
	}
	return err
}

// relayTwice: a first relay commits a transaction and aborts one; the next begins behind what was committed.
func relayTwice(ctx context.Context, t Transactional, topic string) error {
	from, to := topic+"-from", topic+"-to"
	if err := errors.Join(t.Create(ctx, from, 1), t.Create(ctx, to, 1)); err != nil {
		return err
	}
	sent := numbered("r", 4*RelayMax)
	if _, err := t.Send(ctx, from, "none", false, sent); err != nil {
		return err
	}
	first, err := relaySome(ctx, t, topic, 1, true)
	if err != nil {
		return err
	}
	if _, err := relaySome(ctx, t, topic, len(sent)-first, false); err != nil {
		return err
	}
	return committed(ctx, t, to, values(sent))
}

// relaySome opens a relay that commits until so many records are moved, and perhaps aborts one more transaction.
func relaySome(ctx context.Context, t Transactional, topic string, count int, abort bool) (moved int, err error) {
	relay, err := t.Relay(ctx, topic, topic+"-from", topic+"-to")
	if err != nil {
		return 0, err
	}
	defer relay.Close()
	for ctx.Err() == nil {
		commit := moved < count
		if !commit && !abort {
			return moved, nil
		}
		values, err := relay.Next(ctx, commit)
		if err != nil || !commit && len(values) > 0 {
			return moved, err
		}
		moved += len(values)
	}
	return moved, ctx.Err()
}

var saysFenced = regexp.MustCompile(`(?i)fenced|epoch|newer producer|code = 90`)

// fence: of two producers with one id the older is refused, and what it had sent is aborted.
func fence(ctx context.Context, t Transactional, topic string) error {
	if err := t.Create(ctx, topic, 1); err != nil {
		return err
	}
	older, err := t.Transactional(ctx, topic)
	if err != nil {
		return err
	}
	defer older.Close()
	if err := errors.Join(older.Begin(), older.Send(ctx, topic, []string{"old"})); err != nil {
		return err
	}
	newer, err := t.Transactional(ctx, topic)
	if err != nil {
		return err
	}
	defer newer.Close()
	if err := transact(ctx, newer, topic, []string{"new"}, true); err != nil {
		return err
	}
	err = older.End(ctx, true)
	if err == nil || !saysFenced.MatchString(err.Error()) {
		return fmt.Errorf("the older one was told %v", err)
	}
	return committed(ctx, t, topic, []string{"new"})
}

// relay moves records until standard input closes. After an error, whose outcome may be unknown, it begins anew.
func relay(t Transactional, name string) int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	for ctx.Err() == nil {
		r, err := t.Relay(ctx, name, name+"-from", name+"-to")
		for err == nil && ctx.Err() == nil {
			var values []string
			values, err = r.Next(ctx, true)
			if err == nil && len(values) > 0 {
				fmt.Println("relayed", len(values))
			}
		}
		if r != nil {
			r.Close()
		}
		if ctx.Err() == nil {
			fmt.Fprintln(os.Stderr, "begins anew:", err)
			time.Sleep(100 * time.Millisecond)
		}
	}
	return 0
}
