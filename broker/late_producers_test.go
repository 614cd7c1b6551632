package broker

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/internal/reorder"
)

// undisturbed passes all requests.
func undisturbed() *reorder.Schedule {
	return reorder.NewSchedule(ofTransactions, func(int, reorder.Request) reorder.Fate { return reorder.Fate{} })
}

// TestATimeoutIsToldAsApacheKafkaTellsIt: a producer that let its transaction time out is told with its next record that its
// epoch is old, not that another producer has taken its place (KIP-588), and goes on as itself. Only a commit without a
// record before it is told otherwise, in words that are those of Apache Kafka 4.3.
func TestATimeoutIsToldAsApacheKafkaTellsIt(t *testing.T) {
	for protocol, onCommit := range map[int]error{1: kerr.ProducerFenced, 2: kerr.InvalidTxnState} {
		t.Run(fmt.Sprintf("protocol %d, a record comes late", protocol), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := timedOut(t, protocol)
				same := w.producer
				if err := w.produce("slow", 2); !errors.Is(err, kerr.InvalidProducerEpoch) {
					t.Errorf("a record after the timeout: %v", err)
				}
				if err := same.EndTransaction(t.Context(), kgo.TryAbort); err != nil {
					t.Error(err)
				}
				w.transact("after", 3, true)
				if w.producer != same {
					t.Error("the producer could not go on")
				}
				w.expectCommitted("before", "after")
			})
		})
		t.Run(fmt.Sprintf("protocol %d, the commit comes late", protocol), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := timedOut(t, protocol)
				if err := w.producer.EndTransaction(t.Context(), kgo.TryCommit); !errors.Is(err, onCommit) {
					t.Errorf("a commit after the timeout: %v, want %v", err, onCommit)
				}
				w.begin()
				w.transact("after", 3, true)
				w.expectCommitted("before", "after")
			})
		})
	}
}

// timedOut returns a world whose producer has committed a transaction and let the next one time out.
func timedOut(t *testing.T, protocol int) *lateWorld {
	t.Helper()
	w := newLateWorld(t, protocol, undisturbed())
	w.transact("before", 0, true)
	if err := w.producer.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := w.produce("slow", 1); err != nil {
		t.Fatal(err)
	}
	<-time.After(lateQuietSpan)
	w.expectStable("after the timeout")
	return w
}

// expectCommitted fails unless partition 0 holds one record of each of these transactions, and nothing else.
func (w *lateWorld) expectCommitted(transactions ...string) {
	w.t.Helper()
	w.expectStable("at the end")
	var found []string
	for _, r := range w.stored(0).Records {
		found = append(found, r.Transaction)
	}
	if !slices.Equal(found, transactions) {
		w.t.Errorf("committed are %v, want %v", found, transactions)
	}
}

// TestAProducerWithTheSameIDFences: who was replaced is told so, and can do nothing any more.
func TestAProducerWithTheSameIDFences(t *testing.T) {
	for _, protocol := range []int{1, 2} {
		t.Run(fmt.Sprint("protocol ", protocol), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newLateWorld(t, protocol, undisturbed())
				old := w.producer
				if err := old.BeginTransaction(); err != nil {
					t.Fatal(err)
				}
				if err := w.produce("old", 0); err != nil {
					t.Fatal(err)
				}
				w.producer = nil
				w.begin()
				defer old.Close()
				if err := old.EndTransaction(t.Context(), kgo.TryCommit); !errors.Is(err, kerr.ProducerFenced) && !errors.Is(err, kerr.InvalidProducerEpoch) {
					t.Errorf("the commit of the one that was replaced: %v", err)
				}
				w.transact("new", 1, true)
				w.expectCommitted("new")
			})
		})
	}
}
