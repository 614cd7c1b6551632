// Command orders gives every order the name and the tier that its customer had when it came: a stream joined with a table
// that changes.
//
//	go run ./examples/orders
package main

import (
	"context"
	"fmt"
	"iter"
	"maps"

	"github.com/millrace/millrace/examples/internal/stage"
	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams"
	"github.com/millrace/millrace/streams/serde"
	"github.com/twmb/franz-go/pkg/kgo"
)

var (
	orders    = streams.NewTopic("orders", serde.String, serde.JSON[Order]())       // by customer
	customers = streams.NewTopic("customers", serde.String, serde.JSON[Customer]()) // by customer, with as many partitions
	enriched  = streams.NewTopic("orders-enriched", serde.String, serde.JSON[Enriched]())
	store     = state.NewKV("customers", serde.String, serde.JSON[Customer]())
)

func topology() *streams.Topology {
	t := streams.NewTopology()
	known := streams.TableFrom(t, customers, store)
	streams.LeftJoin(streams.From(t, orders), known, enrich).To(enriched)
	return t
}

// enrich is given nil for a customer whom nobody knows yet.
func enrich(o Order, c *Customer) Enriched {
	if c == nil {
		return Enriched{Order: o, Tier: "unknown"}
	}
	return Enriched{Order: o, Name: c.Name, Tier: c.Tier}
}

func main() { stage.Main(example) }

var example = stage.Example{
	Name:  "orders",
	About: "Join a stream of orders with a table of customers that changes meanwhile.",
	Count: 50_000,
	Run:   run,
}

func run(ctx context.Context, s *stage.Stage) error {
	if err := s.CreateTopics(ctx, 4, orders.Name(), customers.Name(), enriched.Name()); err != nil {
		return err
	}
	if err := s.Produce(ctx, records(s)); err != nil {
		return err
	}
	app, err := streams.New(topology(), streams.Config{App: "orders", Brokers: s.Brokers, StateDir: s.StateDir()})
	if err != nil {
		return err
	}
	want := enrichAtOnce(s.Seed, s.Count)
	if err := stage.While(ctx, app.Run, func(ctx context.Context) error {
		return s.Await(ctx, enriched.Name(), int64(len(want)))
	}); err != nil {
		return err
	}
	return check(ctx, s, want)
}

// records are the events, each with the time at which it happened: the join takes them in that order, whichever topic they
// are in.
func records(s *stage.Stage) iter.Seq2[*kgo.Record, error] {
	return func(yield func(*kgo.Record, error) bool) {
		for i := range s.Count {
			if !yield(record(happening(s.Seed, i))) {
				return
			}
		}
	}
}

func record(e event) (r *kgo.Record, err error) {
	if e.customer != nil {
		r, err = customers.Record(e.id, *e.customer)
	} else {
		r, err = orders.Record(e.id, *e.order)
	}
	if err == nil {
		r.Timestamp = e.at
	}
	return r, err
}

// check reads the enriched orders: each is there once, and as a plain loop makes it.
func check(ctx context.Context, s *stage.Stage, want map[int64]Enriched) error {
	left, tiers := maps.Clone(want), map[string]int{}
	for r, err := range s.All(ctx, enriched.Name()) {
		if err != nil {
			return err
		}
		_, got, err := enriched.Decode(r)
		if err != nil {
			return err
		}
		if expected, found := left[got.ID]; !found {
			return fmt.Errorf("order %d is there twice, or was never given", got.ID)
		} else if got != expected {
			return fmt.Errorf("enriched to %+v, not %+v", got, expected)
		}
		delete(left, got.ID)
		tiers[got.Tier]++
	}
	if len(left) > 0 {
		return fmt.Errorf("%d orders are missing", len(left))
	}
	s.Say("gold=%d silver=%d basic=%d unknown=%d", tiers["gold"], tiers["silver"], tiers["basic"], tiers["unknown"])
	s.Verified("events=%d orders=%d lost=0 duplicated=0", s.Count, len(want))
	return nil
}
