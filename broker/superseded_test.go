package broker

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func endTxnRequest(version int16, id string, producerID int64, epoch int16) *kmsg.EndTxnRequest {
	r := kmsg.NewPtrEndTxnRequest()
	r.SetVersion(version)
	r.TransactionalID, r.ProducerID, r.ProducerEpoch = id, producerID, epoch
	return r
}

func TestWhatComesOverALeftConnectionIsLate(t *testing.T) {
	addOffsets := kmsg.NewPtrAddOffsetsToTxnRequest()
	addOffsets.TransactionalID, addOffsets.ProducerID = "a", 1
	var s superseded
	for i, step := range []struct {
		connection, came int64
		correlation      int32
		request          kmsg.Request
		late             bool
	}{
		{5, 5, 1, endTxnRequest(4, "a", 1, 0), false},
		{5, 5, 2, endTxnRequest(4, "a", 1, 0), false}, // the same connection
		{6, 6, 1, endTxnRequest(4, "a", 1, 0), false}, // connected anew
		{5, 6, 3, endTxnRequest(4, "a", 1, 0), true},
		{5, 6, 3, endTxnRequest(4, "a", 1, 0), true},  // a copy
		{5, 7, 1, endTxnRequest(4, "b", 2, 0), false}, // another producer
		{5, 7, 1, endTxnRequest(4, "a", 1, 1), false}, // another epoch: that is refused by itself, or makes the old one refused
		{5, 7, 1, endTxnRequest(5, "a", 1, 0), false}, // each transaction has an epoch
		{5, 7, 1, addOffsets, false},                  // clients may use several connections, each for its requests
		{9, 9, 1, endTxnRequest(3, "a", 1, 0), false},
		{6, 9, 2, endTxnRequest(4, "a", 1, 0), true},
		{3, 9, 1, endTxnRequest(4, "a", 1, 0), true}, // never seen before, and older than the newest
		{5, 9, 9, kmsg.NewPtrMetadataRequest(), false},
	} {
		if late := s.finds(step.connection, step.came, step.correlation, step.request); late != step.late {
			t.Errorf("step %d: late is %v", i, late)
		}
	}
}

// A client with a pool sends over whichever connection is free. It is told to try again at most once for each connection that
// it opens, and never again while it opens none.
func TestAPoolOfConnectionsLives(t *testing.T) {
	var s superseded
	end := endTxnRequest(3, "a", 1, 0)
	late := map[int64]int{}
	for i := range int32(1000) {
		connection := 1 + int64(i)*7%5
		if s.finds(connection, 5, i, end) {
			late[connection]++
		}
	}
	for connection, n := range late {
		if n > 1 {
			t.Errorf("connection %d of a pool that does not grow was late %d times", connection, n)
		}
	}
	if s.finds(6, 6, 0, end) || !s.finds(2, 6, 1000, end) || s.finds(2, 6, 1001, end) || s.finds(6, 6, 1, end) || s.finds(2, 6, 1002, end) {
		t.Error("a pool that has grown by one does not live on")
	}
}

func TestTheNewestConnectionsAreRememberedUpToABound(t *testing.T) {
	var s superseded
	for i := range 3 * supersededMax {
		s.finds(7, 7, 0, endTxnRequest(4, fmt.Sprint(i), 1, 0))
		if n := len(s.mu.newest) + len(s.mu.before); n > 2*supersededMax {
			t.Fatalf("%d are remembered", n)
		}
	}
	if !s.finds(6, 7, 0, endTxnRequest(4, fmt.Sprint(2*supersededMax+1), 1, 0)) {
		t.Error("one of the last is forgotten")
	}
	if s.finds(6, 7, 0, endTxnRequest(4, "0", 1, 0)) {
		t.Error("the first one is remembered")
	}
}

// TestLongTransactionalIDsTakeNoMemory: whoever wants to may send thousands.
func TestLongTransactionalIDsTakeNoMemory(t *testing.T) {
	var s superseded
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range 1000 {
		s.finds(7, 7, 0, endTxnRequest(4, strings.Repeat("x", 32_000)+fmt.Sprint(i), 1, 0))
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 8<<20 {
		t.Errorf("%d bytes are held for 1000 requests", grown)
	}
	if !s.finds(6, 7, 0, endTxnRequest(4, strings.Repeat("x", 32_000)+"999", 1, 0)) {
		t.Error("the last one is not remembered")
	}
}
