// Command embedded is a small service with a broker and a stream topology inside its process: it takes votes and counts them,
// exactly once. Nothing has to be installed or started beside it.
//
//	go run ./examples/embedded
//
// It votes for itself, checks the counts and exits 0, or says what is wrong and exits 1. service_test.go shows how such a
// service is tested: its topology without a broker, and all of it with one in memory.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/millrace/millrace/broker"
)

func main() {
	count := flag.Int64("count", 3_000, "how many votes are cast")
	dir := flag.String("dir", "", "where votes and counts are kept; empty: a temporary directory")
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := run(ctx, *dir, *count, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "embedded:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, dir string, count int64, out io.Writer) (err error) {
	if dir == "" {
		if dir, err = os.MkdirTemp("", "millrace-embedded-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	b, err := broker.New(broker.Options{
		DataDir: filepath.Join(dir, "broker"), Listen: "127.0.0.1:0",
		Config: map[string]string{"group.initial.rebalance.delay.ms": "0"}, // 3 s by default, for other processes to join: there are none
	})
	if err != nil {
		return err
	}
	if err := b.Start(ctx); err != nil {
		return err
	}
	defer b.Close()
	s, err := NewService(ctx, b.Addr().String(), filepath.Join(dir, "state"))
	if err != nil {
		return err
	}
	counts, err := voteForItself(ctx, s, count)
	if err := errors.Join(err, s.Close()); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "verified: votes=%d counted=%v lost=0 duplicated=0\n", count, counts)
	return err
}

// voteForItself adds count votes to those that are there.
func voteForItself(ctx context.Context, s *Service, count int64) (map[string]int64, error) {
	want, err := s.Counts(ctx)
	if err != nil {
		return nil, err
	}
	total := count
	for _, before := range want {
		total += before
	}
	for i := range count {
		want[choice(i)]++
	}
	failures := make([]error, voters)
	var all sync.WaitGroup
	for voter := range voters {
		all.Go(func() { failures[voter] = vote(ctx, s, int64(voter), count) })
	}
	all.Wait()
	if err := errors.Join(failures...); err != nil {
		return nil, err
	}
	counts, err := s.CountsWhen(ctx, total)
	if err != nil {
		return nil, err
	}
	if !maps.Equal(counts, want) {
		return nil, fmt.Errorf("counted %v, not %v", counts, want)
	}
	return counts, nil
}

// voters is how many vote at once: votes that come together are written to the disk together.
const voters = 32

// vote casts every voters-th vote, one after the other.
func vote(ctx context.Context, s *Service, first, count int64) error {
	for i := first; i < count; i += voters {
		if err := s.Vote(ctx, strconv.FormatInt(i, 10), choice(i)); err != nil {
			return err
		}
	}
	return nil
}

func choice(i int64) string { return []string{"tea", "coffee", "water"}[i%3] }
