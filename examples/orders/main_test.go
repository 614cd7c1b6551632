package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"testing"
	"time"

	"github.com/millrace/millrace/examples/internal/stagetest"
	"github.com/millrace/millrace/streams/streamstest"
)

func TestOrdersVerifies(t *testing.T) {
	stagetest.Verify(t, example, 3_000, "events=3000 ", "lost=0", "duplicated=0")
}

func TestThePictureIsTheTopology(t *testing.T) { stagetest.Picture(t, topology()) }

func TestTheEventsAreTheSameForever(t *testing.T) {
	hash := sha256.New()
	for i := range int64(1000) {
		e := happening(1, i)
		if err := json.NewEncoder(hash).Encode([]any{e.at.UnixMilli(), e.id, e.customer, e.order}); err != nil {
			t.Fatal(err)
		}
	}
	const want = "f9caef13c33769d2"
	if got := hex.EncodeToString(hash.Sum(nil))[:16]; got != want {
		t.Errorf("hash %s, want %s", got, want)
	}
}

// TestAnOrderHasTheTierOfItsTime: what changes later does not change it.
func TestAnOrderHasTheTierOfItsTime(t *testing.T) {
	d := streamstest.New(t, topology(), streamstest.Options{})
	at := func(second int64) streamstest.SendOption { return streamstest.At(time.Unix(1_760_000_000+second, 0)) }
	streamstest.Send(d, orders, "c1", Order{ID: 1, Customer: "c1"}, at(1))
	streamstest.Send(d, customers, "c1", Customer{Name: "Ada", Tier: "silver"}, at(2))
	streamstest.Send(d, orders, "c1", Order{ID: 2, Customer: "c1"}, at(3))
	streamstest.Send(d, customers, "c1", Customer{Name: "Ada", Tier: "gold"}, at(4))
	d.Drain()
	tiers := map[int64]string{}
	for _, r := range streamstest.Read(d, enriched) {
		tiers[r.Value.ID] = r.Value.Tier
	}
	if len(tiers) != 2 || tiers[1] != "unknown" || tiers[2] != "silver" {
		t.Errorf("tiers %v, not unknown and silver", tiers)
	}
}
