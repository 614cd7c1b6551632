// Command payments keeps the balances of accounts while the process that does it is killed with -9 again and again. Money is
// neither made nor lost: each transfer is posted to both of its accounts exactly once.
//
//	go run ./examples/payments
package main

import (
	"context"
	"flag"
	"fmt"
	"iter"
	"maps"
	"os"

	"github.com/millrace/millrace/examples/internal/stage"
	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams"
	"github.com/millrace/millrace/streams/serde"
	"github.com/twmb/franz-go/pkg/kgo"
)

var (
	transfers = streams.NewTopic("transfers", serde.String, serde.JSON[Transfer]()) // by the account that pays
	postings  = streams.NewTopic("postings", serde.String, serde.Int64)             // between the two halves, by account
	balances  = streams.NewTopic("balances", serde.String, serde.JSON[Account]())
	store     = state.NewKV("accounts", serde.String, serde.JSON[Account]())
)

func topology() *streams.Topology {
	t := streams.NewTopology()
	posted := streams.FlatMap(streams.From(t, transfers), bothSides).Repartition(postings)
	streams.Aggregate(posted.GroupByKey(), store, func() Account { return Account{} }, post).
		ToStream().To(balances)
	return t
}

// bothSides is what a transfer is for the one who pays and the one who is paid.
func bothSides(_ string, t Transfer) iter.Seq2[string, int64] {
	return func(yield func(string, int64) bool) {
		_ = yield(t.From, -t.Cents) && yield(t.To, t.Cents)
	}
}

func post(_ string, cents int64, a Account) Account {
	return Account{Cents: a.Cents + cents, Postings: a.Postings + 1}
}

func main() {
	if !isWorker() {
		stage.Main(example)
	}
	if err := work(); err != nil {
		fmt.Fprintln(os.Stderr, "payments worker:", err)
		os.Exit(1)
	}
}

var kills int

var example = stage.Example{
	Name:  "payments",
	About: "Post transfers to accounts, exactly once, while the process that does it is killed with -9.",
	Count: 100_000,
	Flags: func(flags *flag.FlagSet) { flags.IntVar(&kills, "kills", 3, "how often the process is killed") },
	Run:   run,
}

func run(ctx context.Context, s *stage.Stage) error {
	if err := s.CreateTopics(ctx, 4, transfers.Name(), balances.Name()); err != nil {
		return err
	}
	if err := s.Produce(ctx, records(s)); err != nil {
		return err
	}
	if err := workThroughKills(ctx, s); err != nil {
		return err
	}
	return check(ctx, s, postAtOnce(s.Seed, s.Count))
}

func records(s *stage.Stage) iter.Seq2[*kgo.Record, error] {
	return func(yield func(*kgo.Record, error) bool) {
		for i := range s.Count {
			t := transfer(s.Seed, i)
			if !yield(transfers.Record(t.From, t)) {
				return
			}
		}
	}
}

// check reads every balance that was ever committed: the postings of an account count 1, 2, 3 ..., the last balances are
// those of a plain loop, and all of them together are nothing.
func check(ctx context.Context, s *stage.Stage, want map[string]Account) error {
	got, updates, sum := map[string]Account{}, int64(0), int64(0)
	for r, err := range s.All(ctx, balances.Name()) {
		if err != nil {
			return err
		}
		name, a, err := balances.Decode(r)
		before := got[name]
		if err != nil || a.Postings != before.Postings+1 {
			return fmt.Errorf("%s: posting %d after posting %d: %v", name, a.Postings, before.Postings, err)
		}
		got[name] = a
		updates++
		sum += a.Cents - before.Cents
	}
	if sum != 0 || !maps.Equal(got, want) {
		return fmt.Errorf("%d accounts with %d cents in all, not %d with 0 cents", len(got), sum, len(want))
	}
	s.Verified("transfers=%d postings=%d accounts=%d sum=0.00 kills=%d lost=0 duplicated=0", s.Count, updates, len(got), kills)
	return nil
}
