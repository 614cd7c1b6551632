package broker

import (
	"context"
	"fmt"
	"syscall"
	"testing"

	"github.com/millrace/millrace/broker/internal/metadata"
	"github.com/millrace/millrace/internal/disk"
)

// eachFailure performs do once for each of its file operations, which fails, and hands the broker that has seen it,
// and do's error, to check; then again, started anew on the same files without failures.
func eachFailure(t *testing.T, failure error, prepare func(*Broker), do func(*Broker) error, check func(t *testing.T, b *Broker, err error, restarted bool)) {
	t.Helper()
	const operationsMax = 1000
	for n := 1; ; n++ {
		files := disk.NewMem()
		faults := disk.NewFaults(files)
		b, _ := startOn(t, faults, nil)
		prepare(b)
		faults.SetRules(disk.Rule{Nth: n, Err: failure})
		err := do(b)
		failed := len(faults.Failed()) > 0
		faults.SetRules()
		t.Run(fmt.Sprintf("%v at operation %d", failure, n), func(t *testing.T) {
			check(t, b, err, false)
			_ = b.Close() // fails if a log has
			b, stop := startOn(t, files, nil)
			defer stop()
			check(t, b, err, true)
		})
		if !failed {
			if n < 5 || err != nil {
				t.Fatalf("after %d operations: %v", n, err)
			}
			return
		}
		if n > operationsMax {
			t.Fatalf("more than %d operations", operationsMax)
		}
	}
}

// Whichever operation fails: a topic that is said to exist exists, at the latest after a restart; one that is not
// said to exist does not until a restart, and is complete if the record of it has reached the disk all the same.
func TestEachFailureDuringCreateTopic(t *testing.T) {
	for _, failure := range []error{syscall.EIO, syscall.ENOSPC} {
		eachFailure(t, failure, func(b *Broker) {
			createTopic(t, b, "old", 1)
			appendTo(t, b, "old", 0, "precious")
		}, func(b *Broker) error {
			_, err := b.controller.ensureTopic(context.Background(), "new", 2, nil, false)
			return err
		}, func(t *testing.T, b *Broker, err error, restarted bool) {
			if end := b.partitions.lookup("old", 0).Offsets().HighWatermark; end != 1 {
				t.Errorf("the old topic ends at %d", end)
			}
			topic := b.controller.image().Topic("new")
			switch {
			case err == nil && topic == nil:
				t.Error("said to exist and does not")
			case err != nil && topic != nil && !restarted:
				t.Errorf("exists, and yet: %v", err)
			case topic != nil && restarted:
				checkOpen(t, b, topic)
			}
		})
	}
}

// Whichever operation fails: a topic that is said to be deleted is gone, its files at the latest after a restart;
// one that is not said to be is whole until then.
func TestEachFailureDuringDeleteTopic(t *testing.T) {
	for _, failure := range []error{syscall.EIO, syscall.ENOSPC} {
		eachFailure(t, failure, func(b *Broker) {
			createTopic(t, b, "doomed", 2)
			appendTo(t, b, "doomed", 1, "precious")
		}, func(b *Broker) error {
			return b.controller.change(context.Background(), func(image *metadata.Image) ([]metadata.Record, error) {
				name := "doomed"
				records, _ := image.DeleteTopics([]metadata.TopicRef{{Name: &name}})
				return records, nil
			})
		}, func(t *testing.T, b *Broker, err error, restarted bool) {
			topic := b.controller.image().Topic("doomed")
			if topic == nil {
				if err != nil && !restarted {
					t.Errorf("gone, and yet: %v", err)
				}
				if b.partitions.lookup("doomed", 1) != nil {
					t.Error("a partition of it is open")
				}
				if left := directories(t, b, "doomed"); restarted && len(left) > 0 {
					t.Errorf("left %v", left)
				}
				return
			}
			if err == nil {
				t.Error("said to be deleted and is there")
			}
			if got := recordsIn(t, b, "doomed", 1); len(got) == 0 {
				t.Error("not deleted, and its records are gone")
			}
		})
	}
}
