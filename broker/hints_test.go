package broker

import (
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace/millrace/log/record"
)

// TestGarbledFilesBesideTheRecordsAreMadeAnew spoils every file of a partition that is derived from its records, in
// turn in each way, and starts the broker: all records are there, a repeated batch is still known, and the other
// partition is served as ever.
func TestGarbledFilesBesideTheRecordsAreMadeAnew(t *testing.T) {
	spoil := map[string]func(content []byte) []byte{
		"garbled": func(content []byte) []byte {
			garbled := make([]byte, len(content))
			_, _ = rand.Read(garbled)
			return garbled
		},
		"cut in half": func(content []byte) []byte { return content[:len(content)/2] },
		"empty":       func([]byte) []byte { return nil },
		"zeros":       func(content []byte) []byte { return make([]byte, len(content)) },
		"longer":      func(content []byte) []byte { return append(content, content...) },
		"gone":        nil,
	}
	for how, change := range spoil {
		for _, clean := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, clean %v", how, clean), func(t *testing.T) {
				dir, values := fillPartitions(t, clean)
				if n := spoilHints(t, filepath.Join(dir, "t-0"), change); n < 5 {
					t.Fatalf("only %d files were spoiled", n)
				}
				b := startBroker(t, Options{DataDir: dir, Logger: testLogger()}, nil)
				c := dial(t, b)
				for _, topic := range []string{"t", "other"} {
					if got := readWhole(t, c, topic); !slices.Equal(got, values) {
						t.Errorf("%s: %d of %d records are there", topic, len(got), len(values))
					}
				}
				last := len(values) - 1
				answer := produced(t, c.ask(produceRequest("t", acksAll, buildBatch(t, producer(7, 0, int32(last)), values[last]))))
				if answer.ErrorCode != 0 || answer.BaseOffset != int64(last) {
					t.Errorf("repeated batch: error %d, offset %d, want that of the first, %d", answer.ErrorCode, answer.BaseOffset, last)
				}
			})
		}
	}
}

// fillPartitions writes the same records to two topics of small segments, one batch each, and returns the data directory
// as it is after a stop in order, or as kill -9 would leave it.
func fillPartitions(t *testing.T, clean bool) (dir string, values []string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "data")
	b := startBroker(t, Options{DataDir: dir, Config: map[string]string{"log.segment.bytes": "600", "log.index.interval.bytes": "1"}}, nil)
	c := dial(t, b)
	for _, topic := range []string{"t", "other"} {
		createTopic(t, b, topic, 1)
		values = nil
		for i := range 20 {
			value := fmt.Sprintf("%s %d", strings.Repeat("x", 50), i)
			values = append(values, value)
			wantCode(t, produced(t, c.ask(produceRequest(topic, acksAll, buildBatch(t, producer(7, 0, int32(i)), value)))).ErrorCode, nil)
		}
	}
	killed := filepath.Join(t.TempDir(), "killed")
	if err := os.CopyFS(killed, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := b.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !clean {
		return killed, values
	}
	return dir, values
}

// spoilHints changes every index, epoch checkpoint and producer snapshot of a partition; a nil change removes it.
func spoilHints(t *testing.T, dir string, change func([]byte) []byte) (count int) {
	t.Helper()
	for _, pattern := range []string{"*.index", "*.timeindex", "leader-epoch-checkpoint", "*.producers", "millrace.checkpoint", "millrace.syncmark"} {
		names, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			count++
			if change == nil {
				err = os.Remove(name)
			} else if content, readErr := os.ReadFile(name); readErr == nil {
				err = os.WriteFile(name, change(content), 0o644)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	return count
}

// readWhole fetches a partition from its start to its end.
func readWhole(t *testing.T, c *client, topic string) (values []string) {
	t.Helper()
	for {
		got, code := fetched(t, c.ask(fetchRequest(topic, int64(len(values)), 0)))
		wantCode(t, code, nil)
		if len(got) == 0 || code != 0 {
			return values
		}
		values = append(values, got...)
	}
}

// TestGarbledRecordsTakeTheirPartitionOfflineAndNoOther flips a bit in the oldest segment of a broker that was killed.
func TestGarbledRecordsTakeTheirPartitionOfflineAndNoOther(t *testing.T) {
	dir, values := fillPartitions(t, false)
	name := filepath.Join(dir, "t-0", "00000000000000000000.log")
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	content[record.HeaderSize+20] ^= 4
	if err := os.WriteFile(name, content, 0o644); err != nil {
		t.Fatal(err)
	}
	b := startBroker(t, Options{DataDir: dir, Logger: testLogger()}, nil)
	c := dial(t, b)
	_, code := fetched(t, c.ask(fetchRequest("t", 0, 0)))
	wantCode(t, code, kerr.KafkaStorageError)
	wantCode(t, produced(t, c.ask(produceRequest("t", acksAll, batchOf(t, "v")))).ErrorCode, kerr.KafkaStorageError)
	if got := readWhole(t, c, "other"); !slices.Equal(got, values) {
		t.Errorf("other: %d of %d records are there", len(got), len(values))
	}
	wantCode(t, produced(t, c.ask(produceRequest("other", acksAll, batchOf(t, "v")))).ErrorCode, nil)
	if after, err := os.ReadFile(name); err != nil || !slices.Equal(after, content) {
		t.Errorf("the damaged file was changed: %v", err)
	}
}
