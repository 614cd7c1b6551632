package broker

import (
	"context"
	"errors"

	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/millrace/millrace/broker/internal/metadata"
	"github.com/millrace/millrace/broker/internal/partition"
	"github.com/millrace/millrace/internal/disk"
)

// startOn starts a broker on a file system; stop stops it in order.
func startOn(t testing.TB, fileSystem disk.FS, settings map[string]string) (b *Broker, stop func()) {
	t.Helper()
	b, err := New(Options{InMemory: true, Listen: "127.0.0.1:0", fileSystem: fileSystem, Config: settings})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	return b, func() {
		t.Helper()
		if err := b.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
}

// deleteTopic deletes a topic as a client would.
func deleteTopic(t testing.TB, b *Broker, name string) {
	t.Helper()
	err := b.controller.change(context.Background(), func(image *metadata.Image) ([]metadata.Record, error) {
		records, results := image.DeleteTopics([]metadata.TopicRef{{Name: &name}})
		return records, results[0].Err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// appendTo writes one batch to a partition and waits until it is committed.
func appendTo(t testing.TB, b *Broker, topic string, index int32, values ...string) {
	t.Helper()
	p := b.partitions.lookup(topic, index)
	if p == nil {
		t.Fatalf("no partition %s-%d", topic, index)
	}
	appended, err := p.Append(batchOf(t, values...), 1000, partition.Internal)
	if err == nil {
		err = p.AwaitCommitted(context.Background(), appended.LastOffset+1)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// directories are the names in the data directory of all that looks like, or once was, a partition of topic.
func directories(t testing.TB, b *Broker, topic string) []string {
	t.Helper()
	entries, err := b.options.fileSystem.List(b.options.DataDir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name, topic+"-") {
			names = append(names, e.Name)
		}
	}
	return names
}

func TestEachStartIsANewEpoch(t *testing.T) {
	files := disk.NewMem()
	for want := range int32(3) {
		b, stop := startOn(t, files, nil)
		createTopic(t, b, "clicks", 1)
		if got := b.controller.image().LeaderEpoch(); got != want {
			t.Errorf("start %d: epoch %d", want, got)
		}
		if got := b.partitions.lookup("clicks", 0).Offsets().LeaderEpoch; got != want {
			t.Errorf("start %d: partition in epoch %d", want, got)
		}
		stop()
	}
}

func TestTopicsAndSettingsSurviveARestart(t *testing.T) {
	files := disk.NewMem()
	b, stop := startOn(t, files, nil)
	made, err := b.controller.ensureTopic(context.Background(), "clicks", 3, map[string]string{"retention.ms": "1234"}, false)
	if err != nil {
		t.Fatal(err)
	}
	appendTo(t, b, "clicks", 2, "a", "b")
	clusterID := b.controller.image().ClusterID()
	stop()
	b, stop = startOn(t, files, nil)
	defer stop()
	got := b.controller.image().Topic("clicks")
	if got == nil || got.ID != made.ID || got.Partitions != 3 || got.Configs["retention.ms"] != "1234" {
		t.Errorf("after the restart: %+v, was %+v", got, made)
	}
	if got := b.controller.image().ClusterID(); got != clusterID || got == "" {
		t.Errorf("cluster id %q, was %q", got, clusterID)
	}
	if p := b.partitions.lookup("clicks", 2); p == nil || p.Offsets().HighWatermark != 2 || p.Config().Log.RetentionMs != 1234 {
		t.Error("the partition is not what it was")
	}
}

func TestEnsureTopicReturnsTheOneThatIsThere(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	ctx := context.Background()
	first, err := b.controller.ensureTopic(ctx, "a", -1, nil, false)
	if err != nil || first.Partitions != 1 {
		t.Fatalf("%+v, %v", first, err)
	}
	again, err := b.controller.ensureTopic(ctx, "a", 7, map[string]string{"retention.ms": "1"}, false)
	if err != nil || again != first {
		t.Errorf("%+v, %v, want %+v", again, err, first)
	}
	for _, c := range []struct {
		name     string
		internal bool
	}{{"a b", false}, {metadata.OffsetsTopic, false}, {"a", true}} {
		if _, err := b.controller.ensureTopic(ctx, c.name, 1, nil, c.internal); !errors.Is(err, metadata.ErrInvalidTopic) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestProducerIDsAreNeverGivenOutTwice(t *testing.T) {
	files := disk.NewCrashable(1)
	b, stop := startOn(t, files, nil)
	seen := map[int64]bool{}
	take := func(b *Broker) {
		first, count, err := b.controller.nextProducerIDs(context.Background())
		if err != nil || count != producerIDBlock || seen[first] || first%producerIDBlock != 0 {
			t.Fatalf("block at %d of %d, %v; given out before: %v", first, count, err, seen)
		}
		seen[first] = true
	}
	take(b)
	take(b)
	crashed := files.CrashCopy(disk.Crash{})
	stop()
	b, stop = startOn(t, crashed, nil)
	defer stop()
	take(b)
}

func TestARecreatedTopicIsAnotherOne(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	createTopic(t, b, "clicks", 2)
	before := b.controller.image().Topic("clicks")
	appendTo(t, b, "clicks", 0, "old")
	deleteTopic(t, b, "clicks")
	if got := directories(t, b, "clicks"); len(got) > 0 {
		t.Errorf("left of the deleted topic: %v", got)
	}
	if b.partitions.lookup("clicks", 0) != nil {
		t.Error("a partition of the deleted topic is open")
	}
	createTopic(t, b, "clicks", 1)
	after := b.controller.image().Topic("clicks")
	if after.ID == before.ID {
		t.Error("the new topic has the old one's id")
	}
	if end := b.partitions.lookup("clicks", 0).Offsets().LogEnd; end != 0 {
		t.Errorf("the new topic has the old one's %d records", end)
	}
}

// A deletion that could not remove its files is finished when their place is needed, or at the next start.
func TestWhatADeletionHasLeftIsNotAdopted(t *testing.T) {
	for _, restart := range []bool{false, true} {
		files := disk.NewMem()
		faults := disk.NewFaults(files)
		b, stop := startOn(t, faults, nil)
		createTopic(t, b, "clicks", 1)
		appendTo(t, b, "clicks", 0, "old")
		faults.SetRules(disk.Rule{Kinds: []disk.Kind{disk.OpRename}, Pattern: "clicks-0", Err: syscall.EIO})
		deleteTopic(t, b, "clicks")
		if got := directories(t, b, "clicks"); len(got) != 1 {
			t.Fatalf("directories after the failed removal: %v", got)
		}
		faults.SetRules()
		if restart {
			stop()
			b, stop = startOn(t, faults, nil)
			if got := directories(t, b, "clicks"); len(got) > 0 {
				t.Errorf("the start has left %v", got)
			}
		}
		createTopic(t, b, "clicks", 1)
		p := b.partitions.lookup("clicks", 0)
		if p == nil || p.Err() != nil || p.Offsets().LogEnd != 0 {
			t.Errorf("restart %t: the new partition is not empty and open: %v", restart, p.Err())
		}
		if got := directories(t, b, "clicks"); len(got) != 1 {
			t.Errorf("restart %t: directories %v", restart, got)
		}
		stop()
	}
}

// A directory that no committed record has deleted is kept, whatever the metadata says (A22).
func TestDirectoriesThatTheMetadataDoesNotKnowAreKept(t *testing.T) {
	files := disk.NewMem()
	b, stop := startOn(t, files, nil)
	createTopic(t, b, "clicks", 1)
	appendTo(t, b, "clicks", 0, "precious")
	dir := b.options.DataDir
	stop()
	if err := disk.RemoveAll(files, filepath.Join(dir, "__cluster_metadata-0")); err != nil {
		t.Fatal(err)
	}
	b, stop = startOn(t, files, nil)
	defer stop()
	if got := b.controller.image().Topics(); len(got) > 0 {
		t.Errorf("topics from nowhere: %v", got)
	}
	kept := directories(t, b, "clicks")
	if len(kept) != 1 {
		t.Fatalf("kept %v", kept)
	}
	if _, err := files.Stat(filepath.Join(dir, kept[0], "00000000000000000000.log")); err != nil {
		t.Errorf("the records are gone: %v", err)
	}
	createTopic(t, b, "clicks", 1)
	if end := b.partitions.lookup("clicks", 0).Offsets().LogEnd; end != 0 {
		t.Errorf("a new topic has adopted %d records", end)
	}
	if got := directories(t, b, "clicks"); len(got) != 2 {
		t.Errorf("directories %v", got)
	}
}

// A deletion is finished only where a record of this log has removed the topic: a directory that somebody else has
// marked as deleted is somebody else's.
func TestOnlyOwnDeletionsAreFinished(t *testing.T) {
	files := disk.NewMem()
	b, stop := startOn(t, files, nil)
	createTopic(t, b, "clicks", 1)
	id := b.controller.image().Topic("clicks").ID
	deleteTopic(t, b, "clicks")
	stop()
	own := asideName("clicks", 0, id, deletedDirSuffix)
	foreign := asideName("clicks", 0, [16]byte{1}, deletedDirSuffix)
	for _, name := range []string{own, foreign, "clicks-delete", "clicks-.-delete"} {
		if err := files.MkdirAll(filepath.Join(b.options.DataDir, name)); err != nil {
			t.Fatal(err)
		}
	}
	b, stop = startOn(t, files, nil)
	defer stop()
	if got := directories(t, b, "clicks"); len(got) != 3 || slices.Contains(got, own) {
		t.Errorf("left %v", got)
	}
}

// A change that does not get onto the disk has not happened.
func TestAFailedCommitChangesNothing(t *testing.T) {
	for _, c := range []struct {
		kind disk.Kind
		err  error
		goes bool // the next change works
	}{{disk.OpWriteAt, syscall.ENOSPC, true}, {disk.OpSyncData, syscall.EIO, false}} {
		files := disk.NewMem()
		faults := disk.NewFaults(files)
		b, stop := startOn(t, faults, nil)
		before := b.controller.image()
		faults.SetRules(disk.Rule{Kinds: []disk.Kind{c.kind}, Pattern: "*.log", Err: c.err})
		_, err := b.controller.ensureTopic(context.Background(), "clicks", 1, nil, false)
		if err == nil || errorCode(err) != 56 {
			t.Errorf("%v: %v, code %d, want KAFKA_STORAGE_ERROR", c.kind, err, errorCode(err))
		}
		if b.controller.image() != before || len(directories(t, b, "clicks")) > 0 {
			t.Errorf("%v: the change has left something", c.kind)
		}
		faults.SetRules()
		_, err = b.controller.ensureTopic(context.Background(), "clicks", 1, nil, false)
		if (err == nil) != c.goes {
			t.Errorf("%v: the next change: %v", c.kind, err)
		}
		if c.goes {
			stop()
		} else {
			_ = b.Close() // says that the log has failed
		}
	}
}

func TestADamagedMetadataLogStopsTheStart(t *testing.T) {
	for title, value := range map[string][]byte{
		"newer":   {1, 99, 0},
		"garbage": {0xff},
		"orphan":  metadata.Encode(&metadata.PartitionRecord{TopicID: [16]byte{7}}),
	} {
		files := disk.NewMem()
		b, stop := startOn(t, files, nil)
		if err := b.controller.commit(context.Background(), [][]byte{value}); err != nil {
			t.Fatal(err)
		}
		stop()
		b, err := New(Options{InMemory: true, Listen: "127.0.0.1:0", fileSystem: files})
		if err != nil {
			t.Fatal(err)
		}
		err = b.Start(context.Background())
		if !errors.Is(err, metadata.ErrNewer) && !errors.Is(err, metadata.ErrCorrupt) || !strings.Contains(err.Error(), "metadata log") {
			t.Errorf("%s: %v", title, err)
		}
	}
}

func TestChangeWaitsForItsTurnNoLongerThanItsContext(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	<-b.controller.turn
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := b.controller.ensureTopic(ctx, "clicks", 1, nil, false); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	b.controller.turn <- struct{}{}
	if _, err := b.controller.ensureTopic(context.Background(), "clicks", 1, nil, false); err != nil {
		t.Error(err)
	}
}

// Once a change is written nobody can tell that it will not come to be: it is carried through.
func TestAChangeThatHasBegunIsCarriedThrough(t *testing.T) {
	files := disk.NewCrashable(1)
	b, stop := startOn(t, files, nil)
	defer stop()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	files.OnOperation(func(_ int64, call disk.Call) {
		if call.Kind == disk.OpWriteAt {
			cancel()
		}
	})
	_, err := b.controller.ensureTopic(ctx, "clicks", 1, nil, false)
	files.OnOperation(nil)
	if ctx.Err() == nil {
		t.Fatal("nothing was written")
	}
	if p := b.partitions.lookup("clicks", 0); err != nil || b.controller.image().Topic("clicks") == nil || p == nil {
		t.Errorf("%v; the topic is %v", err, b.controller.image().Topic("clicks"))
	}
}

// Who sees a topic can use its partitions: at no moment does the image show one that is not open.
func TestTheImageShowsATopicOnceItsPartitionsAreOpen(t *testing.T) {
	files := disk.NewCrashable(1)
	b, stop := startOn(t, files, nil)
	defer stop()
	files.OnOperation(func(n int64, call disk.Call) {
		for _, topic := range b.controller.image().Topics() {
			for index := range topic.Partitions {
				if b.partitions.lookup(topic.Name, index) == nil {
					t.Errorf("operation %d, %s: %s-%d is shown and not open", n, call, topic.Name, index)
				}
			}
		}
	})
	createTopic(t, b, "clicks", 3)
	deleteTopic(t, b, "clicks")
	files.OnOperation(nil)
}

func TestChangeAfterCloseFails(t *testing.T) {
	b, stop := startOn(t, disk.NewMem(), nil)
	stop()
	_, err := b.controller.ensureTopic(context.Background(), "clicks", 1, nil, false)
	if !errors.Is(err, partition.ErrClosed) {
		t.Errorf("got %v", err)
	}
}
