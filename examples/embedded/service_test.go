package main

import (
	"context"
	"testing"
	"time"

	"github.com/millrace/millrace/broker"
)

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

func TestEveryVoteIsCounted(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	s, err := NewService(ctx, startBroker(t))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, choice := range []string{"tea", "tea", "coffee"} {
		if err := s.Vote(ctx, choice); err != nil {
			t.Fatal(err)
		}
	}
	counts, err := s.CountWhen(ctx, 3)
	if err != nil {
		t.Fatal(err)
	}
	if counts["tea"] != 2 || counts["coffee"] != 1 {
		t.Errorf("counted %v, want 2 tea and 1 coffee", counts)
	}
}

func TestProgramChecksItself(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if err := run(ctx); err != nil {
		t.Fatal(err)
	}
}
