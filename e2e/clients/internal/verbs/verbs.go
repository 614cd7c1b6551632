// Package verbs runs the verbs of ../../README.md for a Go client, given an adapter for it.
package verbs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Patience is how long any single step may take.
const Patience = 2 * time.Minute

// Record is what a feature sends and reads back.
type Record struct {
	Value string
	Time  time.Time // zero: now
}

// At is where a record was acknowledged.
type At struct {
	Partition int32
	Offset    int64
}

// Client is one Kafka client, as the features need it.
type Client interface {
	// Create makes a topic.
	Create(ctx context.Context, topic string, partitions int) error
	// Send produces the records in their order and returns where each was acknowledged.
	Send(ctx context.Context, topic, codec string, idempotent bool, records []Record) ([]At, error)
	// Read returns count values of partition 0 from an offset on.
	Read(ctx context.Context, topic string, from int64, count int) ([]string, error)
	// OffsetAt is the first offset of partition 0 at or after a time.
	OffsetAt(ctx context.Context, topic string, at time.Time) (int64, error)
	// Join starts a member of a group. It calls seen for every record and commits behind it; seen returns false to stop.
	Join(ctx context.Context, group, topic string, seen func(value string, offset int64) bool) (Member, error)
	// Producer is an open producer for the load verb: at most one record is in flight.
	Producer(topic string) (func(ctx context.Context, value string) (At, error), func(), error)
	// Module is the path of the client's module.
	Module() string
	// Groups are the group feature that Join is tried with, and one that the client does not have, or "".
	Groups() (tried, without string)
	// Idempotent says that the client has an idempotent producer.
	Idempotent() bool
}

// Member is a running group member.
type Member interface {
	Owned() int // partitions
	Leave() error
}

// Main runs the verb that the command line names and exits.
func Main(c func(broker string) Client) {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: PROGRAM features|load|relay BROKER NAME")
		os.Exit(2)
	}
	client, name := c(os.Args[2]), os.Args[3]
	switch os.Args[1] {
	case "features":
		os.Exit(features(client, name))
	case "load":
		os.Exit(load(client, name))
	case "relay":
		os.Exit(relay(client.(Transactional), name))
	}
	os.Exit(2)
}

func features(c Client, prefix string) int {
	bad := 0
	fmt.Println("version", version(c.Module()))
	try := func(name string, check func(ctx context.Context) error) {
		ctx, cancel := context.WithTimeout(context.Background(), 2*Patience)
		defer cancel()
		if err := check(ctx); err != nil {
			fmt.Printf("fail %s: %v\n", name, err)
			bad = 1
			return
		}
		fmt.Println("ok", name)
	}
	try("create", func(ctx context.Context) error { return c.Create(ctx, prefix+"-create", 3) })
	for _, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		try("produce-"+codec, func(ctx context.Context) error { return roundTrip(ctx, c, prefix+"-"+codec, codec) })
	}
	group, without := c.Groups()
	if without != "" {
		fmt.Printf("skip %s: the client does not have it\n", without)
	}
	try(group, func(ctx context.Context) error { return rebalance(ctx, c, prefix+"-group") })
	try("resume", func(ctx context.Context) error { return resume(ctx, c, prefix+"-resume") })
	try("seek-time", func(ctx context.Context) error { return seekTime(ctx, c, prefix+"-time") })
	if c.Idempotent() {
		try("idempotent", func(ctx context.Context) error { return idempotent(ctx, c, prefix+"-idempotent") })
	} else {
		fmt.Println("skip idempotent: the client has no idempotent producer")
	}
	tryTransactions(c, prefix, try)
	return bad
}

// version is that of a module that the program is built with.
func version(module string) string {
	info, _ := debug.ReadBuildInfo()
	for _, dependency := range info.Deps {
		if dependency.Path == module {
			return strings.TrimPrefix(dependency.Version, "v")
		}
	}
	return "unknown"
}

func numbered(prefix string, n int) []Record {
	records := make([]Record, n)
	for i := range records {
		records[i].Value = fmt.Sprintf("%s %d", prefix, i)
	}
	return records
}

func roundTrip(ctx context.Context, c Client, topic, codec string) error {
	if err := c.Create(ctx, topic, 1); err != nil {
		return err
	}
	sent := numbered("a value that compresses well well well well", 200)
	if _, err := c.Send(ctx, topic, codec, false, sent); err != nil {
		return err
	}
	got, err := c.Read(ctx, topic, 0, len(sent))
	if err != nil {
		return err
	}
	for i := range sent {
		if got[i] != sent[i].Value {
			return fmt.Errorf("record %d is %q, not %q", i, got[i], sent[i].Value)
		}
	}
	return nil
}

// ledger counts what a group has seen.
type ledger struct {
	mu   sync.Mutex
	seen map[string]int64
}

func (l *ledger) add(value string, offset int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen[value] = offset
	return true
}

func (l *ledger) has(records []Record) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range records {
		if _, ok := l.seen[r.Value]; !ok {
			return false
		}
	}
	return true
}

func await(ctx context.Context, what string, done func() bool) error {
	for !done() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s did not happen", what)
		case <-time.After(50 * time.Millisecond):
		}
	}
	return nil
}

// rebalance: two members share four partitions, a third comes, one goes; every record is seen.
func rebalance(ctx context.Context, c Client, topic string) error {
	if err := c.Create(ctx, topic, 4); err != nil {
		return err
	}
	l := &ledger{seen: map[string]int64{}}
	var members []Member
	defer func() {
		for _, m := range members {
			_ = m.Leave()
		}
	}()
	join := func() error {
		m, err := c.Join(ctx, topic+"-g", topic, l.add)
		members = append(members, m)
		return err
	}
	shares := func(total int) func() bool {
		return func() bool {
			n := 0
			for _, m := range members {
				if m.Owned() == 0 {
					return false
				}
				n += m.Owned()
			}
			return n == total
		}
	}
	if err := errors.Join(join(), join()); err != nil {
		return err
	}
	if err := await(ctx, "two members sharing", shares(4)); err != nil {
		return err
	}
	first, second := numbered("first", 200), numbered("second", 200)
	if _, err := c.Send(ctx, topic, "none", false, first); err != nil {
		return err
	}
	if err := await(ctx, "seeing the first records", func() bool { return l.has(first) }); err != nil {
		return err
	}
	if err := join(); err != nil {
		return err
	}
	if err := await(ctx, "three members sharing", shares(4)); err != nil {
		return err
	}
	if err := members[0].Leave(); err != nil {
		return err
	}
	members = members[1:]
	if err := await(ctx, "the others taking over", shares(4)); err != nil {
		return err
	}
	if _, err := c.Send(ctx, topic, "none", false, second); err != nil {
		return err
	}
	return await(ctx, "seeing the second records", func() bool { return l.has(second) })
}

// resume: a member stops after 40 of 100 records; the next one begins where it had committed.
func resume(ctx context.Context, c Client, topic string) error {
	if err := c.Create(ctx, topic, 1); err != nil {
		return err
	}
	if _, err := c.Send(ctx, topic, "none", false, numbered("r", 100)); err != nil {
		return err
	}
	last := make(chan int64, 1)
	m, err := c.Join(ctx, topic+"-g", topic, func(_ string, offset int64) bool {
		if offset == 39 {
			last <- offset
			return false
		}
		return offset < 39
	})
	if err != nil {
		return err
	}
	select {
	case <-last:
	case <-ctx.Done():
		return errors.New("the first member did not see record 39")
	}
	if err := m.Leave(); err != nil {
		return err
	}
	next := make(chan int64, 1)
	m, err = c.Join(ctx, topic+"-g", topic, func(_ string, offset int64) bool {
		select {
		case next <- offset:
		default:
		}
		return false
	})
	if err != nil {
		return err
	}
	defer m.Leave()
	select {
	case offset := <-next:
		if offset != 40 {
			return fmt.Errorf("came back at %d, not 40", offset)
		}
	case <-ctx.Done():
		return errors.New("the second member saw nothing")
	}
	return nil
}

func seekTime(ctx context.Context, c Client, topic string) error {
	if err := c.Create(ctx, topic, 1); err != nil {
		return err
	}
	start := time.UnixMilli(1_700_000_000_000)
	records := numbered("t", 10)
	for i := range records {
		records[i].Time = start.Add(time.Duration(i) * time.Second)
	}
	if _, err := c.Send(ctx, topic, "none", false, records); err != nil {
		return err
	}
	offset, err := c.OffsetAt(ctx, topic, start.Add(4500*time.Millisecond))
	if err == nil && offset != 5 {
		err = fmt.Errorf("found offset %d, not 5", offset)
	}
	return err
}

func idempotent(ctx context.Context, c Client, topic string) error {
	if err := c.Create(ctx, topic, 1); err != nil {
		return err
	}
	at, err := c.Send(ctx, topic, "none", true, numbered("i", 1000))
	if err != nil {
		return err
	}
	for i, a := range at {
		if a.Offset != int64(i) {
			return fmt.Errorf("record %d is at offset %d", i, a.Offset)
		}
	}
	return nil
}

// load produces until standard input closes. What fails is not acknowledged; the next record is tried.
func load(c Client, topic string) int {
	stop := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(stop)
	}()
	var send func(context.Context, string) (At, error)
	shut := func() {}
	for i := 0; ; i++ {
		select {
		case <-stop:
			shut()
			return 0
		default:
		}
		if send == nil {
			var err error
			if send, shut, err = c.Producer(topic); err != nil {
				send, shut = nil, func() {}
				time.Sleep(100 * time.Millisecond)
				continue
			}
		}
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		at, err := send(ctx, strconv.Itoa(i))
		cancel()
		if err != nil {
			fmt.Fprintln(os.Stderr, "not acknowledged:", err)
			time.Sleep(100 * time.Millisecond)
			continue
		}
		fmt.Println("acked", i, at.Partition, at.Offset)
	}
}
