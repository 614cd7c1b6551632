package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/e2e/history"
)

// smallDisk mounts a tmpfs of that size in a mount namespace of its own, and returns its directory and the program that
// runs another one inside. The test is skipped where that is not permitted.
func smallDisk(t *testing.T, size string) (dir string, within []string) {
	t.Helper()
	dir = t.TempDir()
	flags, enter := []string{"--mount"}, []string{"--mount"}
	if os.Geteuid() != 0 {
		flags, enter = append(flags, "--user", "--map-root-user"), append(enter, "--user", "--preserve-credentials")
	}
	holder := exec.Command("unshare", append(flags, "sh", "-c", `mount -t tmpfs -o size="$1" tmpfs "$0" && echo mounted && exec cat`, dir, size)...)
	stdin, err := holder.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Skipf("skipped: no namespace for a small disk: %v", err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = holder.Wait()
	})
	if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "mounted\n" {
		if os.Getenv("CI") != "" && os.Geteuid() == 0 {
			t.Fatalf("CI as root must be able to mount a small disk: %v", err)
		}
		t.Skip("skipped: a small disk may not be mounted here")
	}
	return dir, append(append([]string{"nsenter", fmt.Sprint("--target=", holder.Process.Pid)}, enter...), "--")
}

// TestFullDiskRefusesAndHeals fills a real file system: a produce is refused with an error that clients retry, reads go
// on, and once a topic is deleted the same process takes records again. What was acknowledged is there, also after kill -9.
func TestFullDiskRefusesAndHeals(t *testing.T) {
	for name, settings := range map[string][]string{
		"small segments":     {"-X", "log.segment.bytes=1048576"},
		"one segment":        nil,
		"written directly":   {"-X", "log.segment.bytes=1048576", "-X", "millrace.write=direct"},
		"preallocated files": {"-X", "log.segment.bytes=1048576", "-X", "log.preallocate=true"},
	} {
		t.Run(name, func(t *testing.T) { fillDisk(t, settings) })
	}
}

func fillDisk(t *testing.T, settings []string) {
	dir, within := smallDisk(t, "12m")
	s := newServer(t, append(settings, "-X", "millrace.disk.full.bytes=0")...) // to the last byte
	s.dataDir, s.within = dir, within
	s.start()
	l := &load{t: t, s: s}
	for _, topic := range []string{"kept", "ballast"} {
		s.createTopic(topic, 1)
	}
	ballast, refused := l.fill("ballast", 1<<30, filling)
	t.Logf("%d records of ballast, then %v", ballast, refused)
	if !errors.Is(refused, kerr.KafkaStorageError) || !kerr.IsRetriable(refused) {
		t.Fatalf("a full disk is told as %v, want a retriable storage error", refused)
	}
	// Reads, commits of nothing new and deletions go on; another topic has no room either.
	if got := len(s.readAll("ballast")); got != ballast {
		t.Errorf("%d of %d acknowledged records can be read from a full disk", got, ballast)
	}
	if !s.accepts() {
		t.Fatal("the broker accepts nothing more")
	}
	s.deleteTopic("ballast")
	eventually(t, "there is room again", func() bool {
		_, err := l.fill("kept", 1, filling)
		if err != nil && !errors.Is(err, kerr.KafkaStorageError) {
			t.Fatalf("with room again: %v", err)
		}
		return err == nil
	})
	kept, refused := l.fill("kept", 1<<30, filling)
	t.Logf("%d records, then %v", kept, refused)
	if kept < ballast/2 || !errors.Is(refused, kerr.KafkaStorageError) {
		t.Errorf("after the deletion there was room for %d records, then %v", kept, refused)
	}
	s.kill()
	s.start() // on a disk that is full
	l.expectStored("kept")
}

// filling is the size of the records, in bytes, that a small disk is filled with.
const filling = 8 << 10

// fill writes records of about so many bytes to a topic until the first error, or count of them.
func (l *load) fill(topic string, count, bytes int) (written int, refused error) {
	l.t.Helper()
	c := l.s.client(kgo.RecordRetries(0), kgo.RetryTimeout(time.Second), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.DisableIdempotentWrite(), kgo.ProducerBatchCompression(kgo.NoCompression()))
	defer c.Close()
	produce := func(r *kgo.Record) error {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		return c.ProduceSync(ctx, r).FirstErr()
	}
	for ; written < count; written++ {
		r := newRecord(topic, 0, l.nextProducer(), 0)
		r.Value = append(r.Value, make([]byte, bytes)...)
		identity := identityOf(r)
		l.history.Add(history.Sent{Place: placeOf(r), Record: identity})
		if err := produce(r); err != nil {
			return written, err
		}
		l.history.Add(history.Acked{Place: placeOf(r), Record: identity, Offset: r.Offset})
	}
	return written, nil
}

// nextProducer names a producer of one record: without sequences nothing is promised about its order or number.
func (l *load) nextProducer() string { return fmt.Sprint("once-", l.acked.Add(1)) }

// expectStored checks the history of a topic of one partition.
func (l *load) expectStored(topic string) {
	l.t.Helper()
	stored := history.Stored{Place: history.Place{Topic: topic}}
	for _, r := range l.s.readAll(topic) {
		stored.Records = append(stored.Records, history.StoredRecord{Offset: r.Offset, Record: identityOf(r)})
	}
	var events []any
	for _, e := range l.history.Events() {
		switch e := e.(type) {
		case history.Sent:
			if e.Topic == topic {
				events = append(events, e)
			}
		case history.Acked:
			if e.Topic == topic {
				events = append(events, e)
			}
		}
	}
	violations, summary := history.Check(append(events, stored))
	l.t.Logf("%s: %v", topic, summary)
	for _, v := range violations {
		l.t.Errorf("%v", v)
	}
}

func (s *server) deleteTopic(topic string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := kadm.NewClient(s.client()).DeleteTopic(ctx, topic); err != nil {
		s.t.Fatalf("delete %s: %v", topic, err)
	}
}

// TestRetentionMakesRoomOnAFullDisk: segments beyond the retention are deleted by themselves, and produce goes on.
func TestRetentionMakesRoomOnAFullDisk(t *testing.T) {
	dir, within := smallDisk(t, "16m")
	s := newServer(t, "-X", "log.segment.bytes=1048576", "-X", "log.retention.check.interval.ms=100", "-X", "millrace.disk.full.bytes=0")
	s.dataDir, s.within = dir, within
	s.start()
	s.createTopic("t", 1)
	l := &load{t: t, s: s}
	if _, err := l.fill("t", 1<<30, filling); !errors.Is(err, kerr.KafkaStorageError) {
		t.Fatalf("a full disk is told as %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	admin := kadm.NewClient(s.client())
	limit := "4194304"
	eventually(t, "the retention is set and makes room", func() bool {
		// The setting itself needs a few bytes, which a disk that is full to the last of them refuses.
		_, _ = admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Name: "retention.bytes", Value: &limit}}, "t")
		starts, err := admin.ListStartOffsets(ctx, "t")
		start, known := starts.Lookup("t", 0)
		return err == nil && known && start.Err == nil && start.Offset > 0
	})
	if _, err := l.fill("t", 1000, filling); err != nil {
		t.Errorf("while the retention keeps up: %v", err)
	}
	if dirs, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(dirs) > 0 {
		t.Errorf("the disk was not in a namespace of its own: %v %v", dirs, err)
	}
}

// TestNearlyFullDiskKeepsItsReserve: records are refused while there is room for everything else, and the broker takes
// them again by itself once somebody has made room.
func TestNearlyFullDiskKeepsItsReserve(t *testing.T) {
	dir, within := smallDisk(t, "16m")
	s := newServer(t, "-X", "log.segment.bytes=1048576", "-X", "offsets.topic.num.partitions=2",
		"-X", "millrace.disk.full.percent=25", "-X", "millrace.disk.low.percent=50")
	s.dataDir, s.within = dir, within
	s.start()
	l := &load{t: t, s: s}
	for _, topic := range []string{"kept", "ballast"} {
		s.createTopic(topic, 1)
	}
	if _, err := l.fill("kept", 10, filling); err != nil {
		t.Fatal(err)
	}
	ballast, refused := l.fill("ballast", 1<<30, filling)
	t.Logf("%d records of ballast, then %v", ballast, refused)
	if !errors.Is(refused, kerr.KafkaStorageError) || ballast*filling > 13<<20 {
		t.Fatalf("after %d records: %v", ballast, refused)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	admin := kadm.NewClient(s.client())
	offsets := kadm.Offsets{}
	offsets.AddOffset("ballast", 0, 1, -1)
	if _, err := admin.CommitOffsets(ctx, "g", offsets); err != nil {
		t.Errorf("commit: %v", err)
	}
	if got := len(s.readAll("ballast")); got != ballast {
		t.Errorf("%d of %d records can be read", got, ballast)
	}
	s.kill()
	s.start()
	if _, err := l.fill("kept", 1, filling); !errors.Is(err, kerr.KafkaStorageError) {
		t.Errorf("after a restart: %v", err)
	}
	s.deleteTopic("ballast")
	eventually(t, "there is room again", func() bool { return !fails(l.fill("kept", 1, filling)) })
	l.expectStored("kept")
}

func fails(_ int, err error) bool { return err != nil }
