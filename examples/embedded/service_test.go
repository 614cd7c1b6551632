package main

import (
	"bytes"
	"context"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/broker"
	"github.com/millrace/millrace/examples/internal/stagetest"
	"github.com/millrace/millrace/streams/streamstest"
)

// TestVotesOfNobodyDoNotCount tests what the service does with votes, without a broker, in milliseconds.
func TestVotesOfNobodyDoNotCount(t *testing.T) {
	d := streamstest.New(t, counting(), streamstest.Options{})
	streamstest.Send(d, votes, "tea", "ada")
	streamstest.Send(d, votes, "tea", "")
	streamstest.Send(d, votes, "coffee", "bob")
	d.Drain()
	if got, want := streamstest.KV(d, tally), map[string]int64{"tea": 1, "coffee": 1}; !maps.Equal(got, want) {
		t.Errorf("counted %v, not %v", got, want)
	}
}

// startBroker is all that a test needs to have a real broker of its own.
func startBroker(t *testing.T) string {
	t.Helper()
	b, err := broker.New(broker.Options{InMemory: true, Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b.Addr().String()
}

func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// TestTheCountGoesOnAfterARestart tests the whole service with a real broker.
func TestTheCountGoesOnAfterARestart(t *testing.T) {
	ctx, address, stateDir := testContext(t), startBroker(t), t.TempDir()
	want := map[string]int64{}
	for range 2 {
		s, err := NewService(ctx, address, stateDir)
		if err != nil {
			t.Fatal(err)
		}
		for _, choice := range []string{"tea", "tea", "coffee"} {
			if err := s.Vote(ctx, "ada", choice); err != nil {
				t.Fatal(err)
			}
			want[choice]++
		}
		counts, err := s.CountsWhen(ctx, want["tea"]+want["coffee"])
		if err != nil {
			t.Fatal(err)
		}
		if !maps.Equal(counts, want) {
			t.Errorf("counted %v, not %v", counts, want)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestEmbeddedVerifies(t *testing.T) {
	var out bytes.Buffer
	if err := run(testContext(t), "", 30, &out); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(out.String(), "verified: votes=30 ") {
		t.Errorf("it said %q", out.String())
	}
}

func TestThePictureIsTheTopology(t *testing.T) { stagetest.Picture(t, counting()) }
