package broker

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"reflect"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	// fuzzPatience is how long the broker may take for one input.
	fuzzPatience = 10 * time.Second
	// fuzzMemoryMax is how much the broker's heap may grow over all inputs, in bytes.
	fuzzMemoryMax = 512 << 20
)

// FuzzRequests sends any bytes to a running broker, as they are and made into one request, and expects that it neither
// panics nor hangs nor grows, that others are served as before, and that all memory for requests is given back.
func FuzzRequests(f *testing.F) {
	for _, frame := range fuzzSeeds() {
		f.Add(frame)
	}
	b := startBroker(f, Options{Config: map[string]string{
		"socket.request.max.bytes": "1048576", "group.initial.rebalance.delay.ms": "0", "millrace.flush": "os",
	}}, shortWaits)
	createTopic(f, b, "t", 2)
	witness := dial(f, b)
	witness.expectServed()
	f.Fuzz(func(t *testing.T, frame []byte) {
		if len(frame) > 1<<16 {
			t.Skip()
		}
		exchange(t, b, frame)
		exchange(t, b, asRequest(b.apis, frame))
		witness.t = t
		witness.expectServed()
		waitUntil(t, func() bool { return b.server.memory.used() == 0 })
		if n := b.metrics.panics.Load(); n != 0 {
			t.Fatalf("%d handlers panicked", n)
		}
		var memory runtime.MemStats
		runtime.ReadMemStats(&memory)
		if memory.HeapAlloc > fuzzMemoryMax {
			t.Fatalf("the heap has grown to %d bytes", memory.HeapAlloc)
		}
	})
}

// exchange sends bytes and reads whatever comes until the broker closes the connection.
func exchange(t *testing.T, b *Broker, bytes []byte) {
	conn, err := net.Dial("tcp", b.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(fuzzPatience)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write(bytes); err != nil && !cutOff(err) {
		t.Fatalf("write: %v", err)
	}
	_ = conn.(*net.TCPConn).CloseWrite() // fails if the broker has closed it already
	if _, err := io.Copy(io.Discard, conn); err != nil && !cutOff(err) {
		t.Fatalf("the broker neither answers nor closes the connection: %v", err)
	}
}

// asRequest makes of any bytes one whole frame with a key and a version that are served.
func asRequest(table apis, bytes []byte) []byte {
	frame := append([]byte(nil), bytes...)
	for len(frame) < 4+frameBytesMin {
		frame = append(frame, 0)
	}
	binary.BigEndian.PutUint32(frame, uint32(len(frame)-4))
	a := table.byKey(int16(binary.BigEndian.Uint16(frame[4:])))
	if a == nil {
		a = &table[int(binary.BigEndian.Uint16(frame[4:]))%len(table)]
	}
	version := int16(binary.BigEndian.Uint16(frame[6:]))
	if version < a.min || version > a.max {
		version = a.min + int16(uint16(version)%uint16(a.max-a.min+1))
	}
	binary.BigEndian.PutUint16(frame[4:], uint16(a.key))
	binary.BigEndian.PutUint16(frame[6:], uint16(version))
	return frame
}

// FuzzScan holds the walk over a request against the decoder: what was let through takes no more memory than the walk
// said, and what was decoded and encoded again is let through to its last byte.
func FuzzScan(f *testing.F) {
	table := apiTable()
	for _, frame := range fuzzSeeds() {
		if len(frame) > 4+frameBytesMin {
			f.Add(asRequest(table, frame)[4:])
		}
	}
	f.Fuzz(func(t *testing.T, bytes []byte) {
		if len(bytes) > 1<<16 {
			t.Skip()
		}
		frame := asRequest(table, append(make([]byte, 4), bytes...))
		a := table.byKey(int16(binary.BigEndian.Uint16(frame[4:])))
		req := a.newRequest()
		req.SetVersion(int16(binary.BigEndian.Uint16(frame[6:])))
		body := frame[4+frameBytesMin:]
		const limit = 1 << 20
		w := scanner{rest: body, version: req.GetVersion(), flexible: req.IsFlexible(), limit: limit}
		err := w.request(a.shape)
		if err != nil {
			return // decoding it is what must not be done
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err = req.ReadFrom(body)
		runtime.ReadMemStats(&after)
		if allocated := int64(after.TotalAlloc - before.TotalAlloc); allocated > 2*w.decoded+decodedSlack+1<<16 {
			t.Fatalf("%s version %d: %d bytes allocated, %d were foreseen", a.name, req.GetVersion(), allocated, w.decoded)
		}
		if err == nil {
			again := req.AppendTo(nil)
			w := scanner{rest: again, version: req.GetVersion(), flexible: req.IsFlexible(), limit: limit}
			if err := w.request(a.shape); err != nil || len(w.rest) != 0 {
				t.Fatalf("%s version %d: encoded again: %v, %d bytes left", a.name, req.GetVersion(), err, len(w.rest))
			}
		}
	})
}

func cutOff(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// shortWaits takes the waits out of requests that a client may make wait, so that one input takes no time.
func shortWaits(b *Broker) {
	serve := b.apis.byKey(fetchKey).serve
	b.apis.byKey(fetchKey).serve = func(b *Broker, c *call, r kmsg.Request) (reply, error) {
		r.(*kmsg.FetchRequest).MaxWaitMillis = 0
		return serve(b, c, r)
	}
	for _, key := range []kmsg.Key{kmsg.JoinGroup, kmsg.SyncGroup} {
		a := b.apis.byKey(int16(key))
		serve := a.serve
		a.serve = func(b *Broker, c *call, r kmsg.Request) (reply, error) {
			return briefly(c, func(c *call) (reply, error) { return serve(b, c, r) })
		}
	}
}

// briefly gives a request that waits for other clients little time.
func briefly(c *call, serve func(*call) (reply, error)) (reply, error) {
	const enough = 20 * time.Millisecond
	ctx, cancel := context.WithTimeout(c.ctx, enough)
	defer cancel()
	limited := *c
	limited.ctx = ctx
	return serve(&limited)
}

// fuzzSeeds are frames of every kind and version that is served, and broken ones.
func fuzzSeeds() [][]byte {
	r := rand.New(rand.NewPCG(7, 7))
	var seeds [][]byte
	table := apiTable()
	for i := range table {
		a := &table[i]
		for _, version := range []int16{a.min, (a.min + a.max) / 2, a.max} {
			req := a.newRequest()
			fill(r, reflect.ValueOf(req).Elem())
			req.SetVersion(version)
			seeds = append(seeds, formatter.AppendRequest(nil, req, r.Int32()))
		}
	}
	for _, hostile := range hostileRequests(4096) {
		binary.BigEndian.PutUint32(hostile, uint32(len(hostile)-4))
		seeds = append(seeds, hostile)
	}
	return append(seeds, []byte("GET / HTTP/1.1\r\n\r\n"), []byte{0xff, 0xff, 0xff, 0xff}, nil)
}
