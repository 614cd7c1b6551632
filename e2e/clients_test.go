package e2e

import (
	"bufio"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// foreign is a client program of clients/ and what it needs.
type foreign struct {
	name       string
	program    func() (*exec.Cmd, error) // without its arguments; an error says what is absent
	idempotent bool                      // its load verb never stores a record twice
	acks       int                       // to await before and after each kill; 0: acksBetweenKills

	transactions bool // it has the relay verb
}

var foreigners = []foreign{
	{name: "franz-go", program: goProgram("franz"), idempotent: true, transactions: true},
	{name: "sarama", program: goProgram("sarama"), idempotent: true, transactions: true},
	{name: "segmentio", program: goProgram("segmentio")},
	{name: "java", program: javaProgram("Client"), idempotent: true, transactions: true},
	{name: "kafkajs", program: nodeProgram("kafkajs"), idempotent: true, transactions: true},
	{name: "confluent-kafka-javascript", program: nodeProgram("confluentjs"), idempotent: true, transactions: true},
	{name: "rust-rdkafka", program: rustProgram, idempotent: true, transactions: true},
	{name: "confluent-kafka-python", program: pythonProgram("librdkafka", "librdkafka"), idempotent: true, transactions: true},
	{name: "aiokafka", program: pythonProgram("aiokafka", "aiokafka"), idempotent: true, transactions: true},
	{name: "kafka-python 2", program: oldPythonProgram("kafkapython2", "kafkapython")},
	{name: "kafka-python 3", program: pythonProgram("kafkapython3", "kafkapython"), idempotent: true, transactions: true},
	{name: "kcat", program: kcatProgram, idempotent: true, acks: 40}, // a process for each record
}

// TestClientFeatures runs each client through every feature that it has.
func TestClientFeatures(t *testing.T) {
	for _, f := range foreigners {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			s := startServer(t)
			out, err := output(f.command(t, "features", s.addr, "f"))
			t.Logf("%s\n%s", f.name, out)
			found, complaints := parseResults(f.name, string(out))
			if err != nil || len(complaints) > 0 {
				t.Fatalf("the program: %v\n%s", err, strings.Join(complaints, "\n"))
			}
			hold(t, found)
		})
	}
}

// TestClientLoadSurvivesKills lets each client produce while the broker is killed with -9 twice.
func TestClientLoadSurvivesKills(t *testing.T) {
	for _, f := range foreigners {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			killUnderLoad(t, f)
			if !t.Failed() {
				hold(t, clientResults{Client: f.name, Features: []featureResult{{Feature: survivesKills, Result: "ok"}}})
			}
		})
	}
}

const acksBetweenKills = 200

func killUnderLoad(t *testing.T, f foreign) {
	s := startServer(t)
	s.createTopic("load", 1)
	program := f.command(t, "load", s.addr, "load")
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

	wanted := f.acks
	if wanted == 0 {
		wanted = acksBetweenKills
	}
	acks := make(chan ack, 1<<16)
	go readAcks(stdout, acks)
	var all []ack
	for range 2 {
		all = append(all, take(t, acks, wanted)...)
		s.kill()
		s.start()
	}
	all = append(all, take(t, acks, wanted)...)
	if err := stdin.Close(); err != nil && err != io.ErrClosedPipe {
		t.Fatal(err)
	}
	for a := range acks {
		all = append(all, a)
	}
	if err := program.Wait(); err != nil {
		t.Errorf("the client ended badly: %v", err)
	}
	checkAcks(t, s, all, f.idempotent)
}

// ack is a record that the broker has acknowledged to a client; offset -1 where the client does not tell.
type ack struct {
	id        string
	partition int32
	offset    int64
}

func readAcks(r io.Reader, acks chan<- ack) {
	defer close(acks)
	for scan := bufio.NewScanner(r); scan.Scan(); {
		var a ack
		if _, err := fmt.Sscanf(scan.Text(), "acked %s %d %d", &a.id, &a.partition, &a.offset); err == nil {
			acks <- a
		}
	}
}

// take waits for n acknowledgements, for as long as they keep coming.
func take(t *testing.T, acks <-chan ack, n int) []ack {
	t.Helper()
	var taken []ack
	late := time.NewTimer(patience)
	defer late.Stop()
	for len(taken) < n {
		select {
		case a, open := <-acks:
			if !open {
				t.Fatalf("the client ended after %d of %d acknowledgements", len(taken), n)
			}
			taken = append(taken, a)
			late.Reset(patience)
		case <-late.C:
			t.Fatalf("no acknowledgement for %v after %d of %d", patience, len(taken), n)
		}
	}
	return taken
}

// checkAcks: what was acknowledged is stored, at the offset that was acknowledged; with an idempotent client, once.
func checkAcks(t *testing.T, s *server, acks []ack, once bool) {
	t.Helper()
	type place struct {
		partition int32
		offset    int64
	}
	stored := map[string][]place{}
	for _, r := range s.readAll("load") {
		id := strings.TrimSpace(string(r.Value))
		stored[id] = append(stored[id], place{r.Partition, r.Offset})
	}
	lost, duplicated := 0, 0
	for _, a := range acks {
		found := false
		for _, p := range stored[a.id] {
			found = found || a.offset < 0 || p == place{a.partition, a.offset}
		}
		if !found {
			lost++
			t.Errorf("record %s was acknowledged at %d/%d and is at %v", a.id, a.partition, a.offset, stored[a.id])
		}
	}
	for id, places := range stored {
		if once && len(places) > 1 {
			duplicated++
			t.Errorf("record %s is stored %d times: %v", id, len(places), places)
		}
	}
	t.Logf("acknowledged %d, stored %d, lost %d, duplicated %d", len(acks), len(stored), lost, duplicated)
}
