package broker

import (
	"context"
	"fmt"
	"reflect"
	"sync"
	"syscall"
	"testing"

	"github.com/millrace/millrace/broker/internal/metadata"
	"github.com/millrace/millrace/internal/disk"
)

// shortMetadataLog makes the broker shorten its metadata log after about 20 changes.
var shortMetadataLog = map[string]string{"metadata.log.max.record.bytes.between.snapshots": "4096"}

// changeALot makes a history that is far longer than what is left of it.
func changeALot(t testing.TB, b *Broker, changes int) {
	t.Helper()
	for i := range changes {
		value := fmt.Sprint(1000 + i)
		err := b.controller.change(context.Background(), func(image *metadata.Image) ([]metadata.Record, error) {
			return image.ChangeConfigs(b.config, "clicks", []metadata.ConfigChange{{Name: "retention.ms", Value: &value}})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// shortenNow shortens the metadata log however long it is.
func shortenNow(b *Broker) {
	<-b.controller.turn
	b.controller.shrinkAtBytes = 0
	b.controller.shrink(context.Background())
	b.controller.turn <- struct{}{}
}

// sameTopics fails unless the image has the topics that before had, in every detail.
func sameTopics(t testing.TB, b *Broker, before *metadata.Image) {
	t.Helper()
	if got := b.controller.image().Topics(); !reflect.DeepEqual(got, before.Topics()) {
		t.Errorf("topics %+v, were %+v", got, before.Topics())
	}
}

func TestTheMetadataLogStaysShort(t *testing.T) {
	files := disk.NewMem()
	b, stop := startOn(t, files, shortMetadataLog)
	createTopic(t, b, "clicks", 3)
	for range 20 {
		createTopic(t, b, "passing", 2)
		changeALot(t, b, 10)
		deleteTopic(t, b, "passing")
		if _, _, err := b.controller.nextProducerIDs(context.Background()); err != nil {
			t.Fatal(err)
		}
		if stats := b.controller.log.Stats(); stats.SizeBytes > 8192 || stats.Segments > 2 {
			t.Fatalf("the log has %d bytes in %d segments", stats.SizeBytes, stats.Segments)
		}
	}
	if stats := b.controller.log.Stats(); stats.LogEnd < 200 || stats.LogStart < 150 {
		t.Fatalf("nothing was deleted: %+v", stats)
	}
	before := b.controller.image()
	stop()
	b, stop = startOn(t, files, shortMetadataLog)
	defer stop()
	sameTopics(t, b, before)
	after := b.controller.image()
	if after.LeaderEpoch() != before.LeaderEpoch()+1 || after.NextProducerID() != before.NextProducerID() || after.ClusterID() != before.ClusterID() {
		t.Errorf("epoch %d after %d, producer ids from %d after %d", after.LeaderEpoch(), before.LeaderEpoch(),
			after.NextProducerID(), before.NextProducerID())
	}
	if got := directories(t, b, "passing"); len(got) > 0 {
		t.Errorf("deleted topics have left %v", got)
	}
}

// A log that has grown while this was another setting, or another version, is shortened at the start.
func TestALongMetadataLogIsShortenedAtTheStart(t *testing.T) {
	files := disk.NewMem()
	b, stop := startOn(t, files, nil)
	createTopic(t, b, "clicks", 1)
	changeALot(t, b, 100)
	before := b.controller.image()
	if start := b.controller.log.Offsets().LogStart; start != 0 {
		t.Fatalf("log start %d: the default is no bound for a short log", start)
	}
	stop()
	b, stop = startOn(t, files, shortMetadataLog)
	stats := b.controller.log.Stats()
	if stats.LogStart < 100 || stats.Segments != 1 || stats.SizeBytes > 1024 {
		t.Errorf("after the start %+v", stats)
	}
	sameTopics(t, b, before)
	stop()
	b, stop = startOn(t, files, shortMetadataLog)
	defer stop()
	if again := b.controller.log.Stats(); again.LogStart != stats.LogStart {
		t.Errorf("the next start has shortened it again: %+v", again)
	}
	sameTopics(t, b, before)
}

// Wherever the shortening is interrupted, and by whatever: the image is the same, epochs and producer ids go on.
func TestCrashWhileTheMetadataLogIsShortened(t *testing.T) {
	files := disk.NewCrashable(7)
	b, stop := startOn(t, files, nil)
	createTopic(t, b, "clicks", 2)
	createTopic(t, b, "gone", 1)
	deleteTopic(t, b, "gone")
	changeALot(t, b, 60)
	if _, _, err := b.controller.nextProducerIDs(context.Background()); err != nil {
		t.Fatal(err)
	}
	before := b.controller.image()
	var mu sync.Mutex
	var states []crashState
	files.OnOperation(func(n int64, call disk.Call) {
		mu.Lock()
		defer mu.Unlock()
		for _, crash := range survivals {
			states = append(states, crashState{title: fmt.Sprintf("operation %d, %s, %+v", n, call, crash), files: files.CrashCopy(crash)})
		}
	})
	shortenNow(b)
	files.OnOperation(nil)
	if b.controller.log.Offsets().LogStart == 0 {
		t.Fatal("the log was not shortened")
	}
	stop()
	if len(states) == 0 {
		t.Fatal("no file operation was seen")
	}
	for _, state := range states {
		t.Run(state.title, func(t *testing.T) {
			b, stop := startOn(t, state.files, shortMetadataLog)
			defer stop()
			sameTopics(t, b, before)
			if b.controller.image().LeaderEpoch() <= before.LeaderEpoch() || b.controller.image().NextProducerID() < before.NextProducerID() {
				t.Errorf("epoch %d, producer ids from %d; were %d and %d", b.controller.image().LeaderEpoch(),
					b.controller.image().NextProducerID(), before.LeaderEpoch(), before.NextProducerID())
			}
			checkOpen(t, b, b.controller.image().Topic("clicks"))
			if b.controller.log.Offsets().LogStart == 0 {
				t.Error("still long")
			}
			if got := directories(t, b, "gone"); len(got) > 0 {
				t.Errorf("a deleted topic is back: %v", got)
			}
		})
	}
}

// Each file operation of the shortening fails once. Nobody sees more of it than a line in the log, unless the metadata
// log itself fails, which the next start mends.
func TestEachFailureWhileTheMetadataLogIsShortened(t *testing.T) {
	for _, failure := range []error{syscall.EIO, syscall.ENOSPC} {
		var before *metadata.Image
		eachFailure(t, failure, func(b *Broker) {
			createTopic(t, b, "clicks", 1)
			changeALot(t, b, 60)
			before = b.controller.image()
		}, func(b *Broker) error {
			shortenNow(b)
			return nil
		}, func(t *testing.T, b *Broker, _ error, _ bool) {
			sameTopics(t, b, before)
			if b.controller.image().LeaderEpoch() < before.LeaderEpoch() {
				t.Errorf("epoch %d after %d", b.controller.image().LeaderEpoch(), before.LeaderEpoch())
			}
		})
	}
}

// What a deleted topic has left on disk is remembered for as long as it is there.
func TestLeftoversOfDeletedTopicsOutliveTheMetadataLogThatNamesThem(t *testing.T) {
	files := disk.NewMem()
	faults := disk.NewFaults(files)
	b, stop := startOn(t, faults, shortMetadataLog)
	createTopic(t, b, "clicks", 1)
	createTopic(t, b, "stuck", 1)
	faults.SetRules(disk.Rule{Kinds: []disk.Kind{disk.OpRename}, Pattern: "stuck-0", Err: syscall.EIO})
	deleteTopic(t, b, "stuck")
	changeALot(t, b, 100)
	if start := b.controller.log.Offsets().LogStart; start != 0 {
		t.Errorf("log start %d: the log has forgotten a topic whose files are there", start)
	}
	faults.SetRules()
	changeALot(t, b, 100)
	if start := b.controller.log.Offsets().LogStart; start == 0 {
		t.Error("the log was not shortened once the files could go")
	}
	if got := directories(t, b, "stuck"); len(got) > 0 {
		t.Errorf("left: %v", got)
	}
	stop()
}
