package broker

import (
	"context"
	"encoding/binary"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// announce sends the beginning of a Metadata request of size bytes, and then a byte at a time until the test or the
// connection ends.
func announce(t *testing.T, c *client, size uint32, every time.Duration) {
	head := binary.BigEndian.AppendUint32(nil, size)
	c.write(append(head, 0, byte(kmsg.Metadata), 0, 1, 0, 0, 0, 9))
	synctest.Wait()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	go func() {
		for ctx.Err() == nil {
			select {
			case <-time.After(every):
				if _, err := c.conn.Write([]byte{0}); err != nil {
					return
				}
			case <-ctx.Done():
			}
		}
	}()
}

// TestLargeRequestsLeaveRoomForSmallOnes: one client announces a request for which all memory is reserved, and sends
// it slowly. Everybody's heartbeats and fetches go on.
func TestLargeRequestsLeaveRoomForSmallOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow, network := dialMemory(t, Options{}, nil)
		other := dialNetwork(t, network)
		slow.expectServed()
		announce(t, slow, 90<<20, frameStallMax*2/3)
		began := time.Now()
		other.expectServed()
		if took := time.Since(began); took > 0 {
			t.Errorf("a small request was served after %v", took)
		}
		_ = slow.conn.Close()
	})
}

// TestSlowRequestGivesWay: who sends a large request byte by byte loses the connection once others wait for the memory.
func TestSlowRequestGivesWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 90 << 20
		slow, network := dialMemory(t, Options{}, serveWith(produceKey, func(*Broker, *call, kmsg.Request) (reply, error) {
			return reply{response: producedAt(7)}, nil
		}))
		slow.expectServed()
		announce(t, slow, size, time.Second)
		time.Sleep(time.Hour) // alone it may take its time
		other := dialNetwork(t, network)
		other.expectServed()
		began := time.Now()
		if offset := offsetOf(other.ask(produceRequest("t", -1, make([]byte, 1<<20)))); offset != 7 {
			t.Errorf("offset %d", offset)
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("the other's request was served after %v", took)
		}
		slow.expectClosed()
	})
}

// TestSmallRequestsThatComeSlowlyTakeNothing: they lie in buffers that their connections have anyway.
func TestSmallRequestsThatComeSlowlyTakeNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var broker *Broker
		slow, _ := dialMemory(t, Options{}, func(b *Broker) { broker = b })
		slow.expectServed()
		announce(t, slow, smallRequestMax, time.Second)
		time.Sleep(time.Minute)
		if used := broker.server.memory.used(); used != 0 {
			t.Errorf("%d bytes are taken", used)
		}
		_ = slow.conn.Close()
	})
}

// TestWaitingRequestsTakeNoMemory: what they wait for are other requests, which must find room. Here the members of a
// group join with more metadata than there is memory for all of them at once.
func TestWaitingRequestsTakeNoMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const members, limit = 20, 1 << 20
		var broker *Broker
		_, network := dialMemory(t, Options{Config: map[string]string{
			"socket.request.max.bytes": fmt.Sprint(limit), "queued.max.request.bytes": fmt.Sprint(limit),
			"group.initial.rebalance.delay.ms": "1000",
		}}, func(b *Broker) { broker = b })
		clients := make([]*client, members)
		for i := range clients {
			clients[i] = dialNetwork(t, network)
			clients[i].expectServed()
			join := joinRequest(3, "g", "")
			join.Protocols[0].Metadata = make([]byte, limit/members*2)
			clients[i].send(join)
		}
		synctest.Wait()
		if used := broker.server.memory.used(); used != 0 {
			t.Errorf("%d bytes are taken by members that wait", used)
		}
		began := time.Now()
		for i, c := range clients {
			if r := c.receive().(*kmsg.JoinGroupResponse); r.ErrorCode != 0 || r.Generation != 1 {
				t.Errorf("member %d: error %d, generation %d", i, r.ErrorCode, r.Generation)
			}
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("joined after %v", took)
		}
	})
}
