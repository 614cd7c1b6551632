package main

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// Customer is what the shop knows of somebody, by customer id.
type Customer struct {
	Name string `json:"name"`
	Tier string `json:"tier"` // basic, silver or gold: it changes
}

// Order is what somebody buys.
type Order struct {
	ID       int64  `json:"id"`
	Customer string `json:"customer"`
	Cents    int64  `json:"cents"`
}

// Enriched is an order with what was known of its customer when it came.
type Enriched struct {
	Order
	Name string `json:"name"`
	Tier string `json:"tier"` // "unknown" for whom nobody knows
}

const customersMax = 200

// event is something that happens in the shop: an order, or a change of a customer.
type event struct {
	at       time.Time
	id       string // of the customer
	customer *Customer
	order    *Order
}

// happening returns event i: one in ten is about a customer, the others are orders. Some order before they are known.
func happening(seed uint64, i int64) event {
	random := rand.New(rand.NewPCG(seed, uint64(i)))
	number := random.IntN(customersMax)
	e := event{at: time.UnixMilli(1_760_000_000_000 + i*250), id: fmt.Sprintf("c%d", number)}
	if random.IntN(10) == 0 {
		e.customer = &Customer{Name: fmt.Sprintf("Customer %d", number), Tier: []string{"basic", "silver", "gold"}[random.IntN(3)]}
	} else {
		e.order = &Order{ID: i, Customer: e.id, Cents: 100 + random.Int64N(20_000)}
	}
	return e
}

// enrichAtOnce is what the topology is held against: one loop over all events, in their order.
func enrichAtOnce(seed uint64, count int64) map[int64]Enriched {
	known, enriched := map[string]*Customer{}, map[int64]Enriched{}
	for i := range count {
		e := happening(seed, i)
		if e.customer != nil {
			known[e.id] = e.customer
		} else {
			enriched[e.order.ID] = enrich(*e.order, known[e.id])
		}
	}
	return enriched
}
