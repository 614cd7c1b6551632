// Command embedded is a small service with a real broker inside its process: it takes votes, produces them to a topic,
// and counts them in a consumer group. Run it with
//
//	go run ./examples/embedded
//
// It votes for itself, checks the count and exits 0, or says what is wrong and exits 1.
// service_test.go shows the same broker inside a test.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/millrace/millrace/broker"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "embedded:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	b, err := broker.New(broker.Options{InMemory: true, Listen: "127.0.0.1:0"})
	if err != nil {
		return err
	}
	if err := b.Start(ctx); err != nil {
		return err
	}
	defer b.Close()

	s, err := NewService(ctx, b.Addr().String())
	if err != nil {
		return err
	}
	defer s.Close()
	for i := range 1000 {
		if err := s.Vote(ctx, []string{"tea", "coffee", "water"}[i%3]); err != nil {
			return err
		}
	}
	counts, err := s.CountWhen(ctx, 1000)
	if err != nil {
		return err
	}
	fmt.Println("votes:", counts)
	if counts["tea"] != 334 || counts["coffee"] != 333 || counts["water"] != 333 {
		return fmt.Errorf("counted %v", counts)
	}
	return nil
}
