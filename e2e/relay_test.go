package e2e

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// exactlyOnce is the feature that the relay verb proves.
const exactlyOnce = "exactly-once-through-kills"

const (
	relayRecords    = 500 // what there is to relay
	relayPartitions = 2
	relayKillEvery  = 100                   // of them, until the broker is killed
	relayMomentMax  = 20 * time.Millisecond // about as long as a transaction
)

// TestClientRelaySurvivesKills lets each client that has transactions consume, produce and commit its offsets in them
// while the broker is killed with -9 twice, and once the client too: every record arrives once.
func TestClientRelaySurvivesKills(t *testing.T) {
	for _, f := range foreigners {
		if !f.transactions {
			continue
		}
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			killUnderRelay(t, f)
			if !t.Failed() {
				hold(t, clientResults{Client: f.name, Features: []featureResult{{Feature: exactlyOnce, Result: "ok"}}})
			}
		})
	}
}

// killUnderRelay kills the broker, then broker and client at once: who comes after must find no half of a transaction.
func killUnderRelay(t *testing.T, f foreign) {
	s := startServer(t, "-X", "group.initial.rebalance.delay.ms=0")
	s.createTopic("relay-from", relayPartitions)
	s.createTopic("relay-to", relayPartitions)
	s.produceNumbered("relay-from", relayRecords)
	r := startRelay(t, s, f)
	awaitRelayed(t, r.counts, relayKillEvery)
	anyMoment()
	s.kill()
	s.start()
	awaitRelayed(t, r.counts, relayKillEvery)
	anyMoment()
	_ = r.command.Process.Kill()
	s.kill()
	_ = r.command.Wait()
	s.start()
	r = startRelay(t, s, f)
	committed := s.committed("relay")
	eventually(t, "everything is committed", func() bool { return committed() == relayRecords })
	if err := r.stdin.Close(); err != nil && err != io.ErrClosedPipe {
		t.Fatal(err)
	}
	for range r.counts { // until the program has said all
	}
	if err := r.command.Wait(); err != nil {
		t.Errorf("the client ended badly: %v", err)
	}
	var values []string
	for _, r := range s.readCommitted("relay-to") {
		values = append(values, string(r.Value))
	}
	checkOnce(t, values, relayRecords)
	if _, err := exec.LookPath("kcat"); err == nil { // a reader that is not franz-go
		checkOnce(t, s.kcatReads(t, "relay-to", "read_committed"), relayRecords)
	}
}

// anyMoment waits, so that what comes then does not always meet the same step of a transaction.
func anyMoment() { <-time.After(rand.N(relayMomentMax)) }

// relayProgram runs the relay verb.
type relayProgram struct {
	command *exec.Cmd
	stdin   io.Closer
	counts  chan int // records of each transaction
}

func startRelay(t *testing.T, s *server, f foreign) *relayProgram {
	t.Helper()
	program := f.command(t, "relay", s.addr, "relay")
	stdin, err := program.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := program.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = program.Process.Kill() })
	r := &relayProgram{command: program, stdin: stdin, counts: make(chan int, relayRecords)}
	go readCounts(stdout, r.counts)
	return r
}

// produceNumbered produces values from 0 on, one after the other into each partition.
func (s *server) produceNumbered(topic string, count int) {
	s.t.Helper()
	records := make([]*kgo.Record, count)
	for i := range records {
		records[i] = &kgo.Record{Topic: topic, Partition: int32(i % relayPartitions), Value: fmt.Append(nil, i)}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.client(kgo.RecordPartitioner(kgo.ManualPartitioner())).ProduceSync(ctx, records...).FirstErr(); err != nil {
		s.t.Fatal(err)
	}
}

// readCounts reads what the relay verb says of each transaction.
func readCounts(r io.Reader, counts chan<- int) {
	defer close(counts)
	for scan := bufio.NewScanner(r); scan.Scan(); {
		var n int
		if _, err := fmt.Sscanf(scan.Text(), "relayed %d", &n); err == nil {
			counts <- n
		}
	}
}

func awaitRelayed(t *testing.T, counts <-chan int, want int) {
	t.Helper()
	for got := 0; got < want; {
		select {
		case n, open := <-counts:
			if !open {
				t.Fatalf("the client ended after %d of %d records", got, want)
			}
			got += n
		case <-time.After(patience):
			t.Fatalf("no transaction for %v after %d of %d records", patience, got, want)
		}
	}
}

// committed asks for the sum of the offsets that a group has committed.
func (s *server) committed(group string) func() int64 {
	admin := kadm.NewClient(s.client())
	return func() (sum int64) {
		s.t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		offsets, err := admin.FetchOffsets(ctx, group)
		if err != nil {
			s.t.Fatal(err)
		}
		offsets.Each(func(o kadm.OffsetResponse) { sum += max(0, o.At) })
		return sum
	}
}

// checkOnce: the values are the numbers below count, each once.
func checkOnce(t *testing.T, values []string, count int) {
	t.Helper()
	times := map[string]int{}
	for _, value := range values {
		times[value]++
	}
	var lost, duplicated []string
	for i := range count {
		switch id := fmt.Sprint(i); times[id] {
		case 0:
			lost = append(lost, id)
		case 1:
		default:
			duplicated = append(duplicated, id)
		}
		delete(times, fmt.Sprint(i))
	}
	if len(lost) > 0 || len(duplicated) > 0 || len(times) > 0 {
		slices.Sort(lost)
		t.Errorf("lost %v, duplicated %v, never sent %v", lost, duplicated, times)
	}
	t.Logf("sent %d, committed %d, lost %d, duplicated %d", count, len(values), len(lost), len(duplicated))
}
