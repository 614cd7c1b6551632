package e2e

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
)

// kafkaDirectory is a partition that Apache Kafka 4.3.1 wrote and closed: two transactional producers and a plain one by turns, some
// transactions aborted, and one still open. What is committed begins with "kept", and so does the record behind the open one,
// which is committed too and which a reader of committed records must not see yet.
const kafkaDirectory = "testdata/kafka-4.3.1"

const behindTheOpenOne = "kept behind the open one 0"

// TestADirectoryOfKafkaReadsAsInKafka puts Kafka's files in the place of a partition's own.
func TestADirectoryOfKafkaReadsAsInKafka(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	s.createTopic("moved", 1)
	if code := s.terminate(); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	dir := filepath.Join(s.dataDir, "moved-0")
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if file.Name() != "partition.metadata" {
			err = errors.Join(err, os.Remove(filepath.Join(dir, file.Name())))
		}
	}
	if err := errors.Join(err, copyFiles(dir, kafkaDirectory)); err != nil {
		t.Fatal(err)
	}
	s.start()
	all := s.kcatReads(t, "moved", "read_uncommitted")
	var want []string
	for _, value := range all {
		if strings.HasPrefix(value, "kept") && value != behindTheOpenOne {
			want = append(want, value)
		}
	}
	if got := s.kcatReads(t, "moved", "read_committed"); len(all) != 58 || len(want) != 32 || !slices.Equal(got, want) {
		t.Errorf("of %d records %d are committed, read as committed are %q", len(all), len(want), got)
	}
	s.abortOpen("moved")
	if got := s.kcatReads(t, "moved", "read_committed"); !slices.Equal(got, append(want, behindTheOpenOne)) {
		t.Errorf("once an operator has aborted the open one, read as committed are %q", got)
	}
	s.verifyLogs()
}

// abortOpen ends what is open in partition 0, as kafka-transactions does with a transaction that hangs.
func (s *server) abortOpen(topic string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	admin := kadm.NewClient(s.client())
	partition := kadm.TopicsSet{}
	partition.Add(topic, 0)
	described, err := admin.DescribeProducers(ctx, partition)
	if err != nil {
		s.t.Fatal(err)
	}
	open := 0
	described.EachProducer(func(p kadm.DescribedProducer) {
		if p.CurrentTxnStartOffset < 0 {
			return
		}
		open++
		written, err := admin.WriteTxnMarkers(ctx, kadm.TxnMarkers{ProducerID: p.ProducerID, ProducerEpoch: p.ProducerEpoch,
			CoordinatorEpoch: p.CoordinatorEpoch, Topics: partition})
		if err != nil {
			s.t.Fatal(err)
		}
		written.EachPartition(func(m kadm.TxnMarkersPartitionResponse) {
			if m.Err != nil {
				s.t.Errorf("the marker: %v", m.Err)
			}
		})
	})
	if open != 1 {
		s.t.Errorf("%d open transactions", open)
	}
}

func copyFiles(to, from string) error {
	return fs.WalkDir(os.DirFS(from), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, name), content, 0o600)
	})
}

// kcatReads is what kcat reads of the topic, up to the end that it is told.
func (s *server) kcatReads(t *testing.T, topic, isolation string) []string {
	t.Helper()
	kcat := foreign{name: "kcat", program: func() (*exec.Cmd, error) { return exec.Command("kcat"), exec.Command("kcat").Err }}.command(t,
		"-b", s.addr, "-C", "-t", topic, "-o", "beginning", "-e", "-q", "-X", "isolation.level="+isolation)
	out, err := output(kcat)
	if err != nil {
		t.Fatalf("kcat: %v", err)
	}
	return strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
}
