package main

import (
	bigendian "encoding/binary"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A broker that is killed closes connections at any moment, also before it has answered the first
// request: nothing fails for it.
func TestAConnectionThatClosesAtItsFirstRequestIsTriedAgain(t *testing.T) {
	closings := useClosingBroker(t)
	ok(t, "", "topic", "create", "t", "-p", "3")
	ok(t, "1\n2\n3\n", "produce", "t")
	if got := ok(t, "", "consume", "t", "-e"); len(strings.Fields(got)) != 3 {
		t.Errorf("consumed %q", got)
	}
	if got := ok(t, "", "consume", "t", "-e", "-g", "g"); len(strings.Fields(got)) != 3 {
		t.Errorf("in a group %q", got)
	}
	if closings.Load() < 4 {
		t.Errorf("only %d connections were closed", closings.Load())
	}
}

// useClosingBroker is useBroker behind a proxy that closes every second connection when its first
// request comes. It returns how many.
func useClosingBroker(t *testing.T) *atomic.Int32 {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	b := startAdvertised(t, address)
	var closings atomic.Int32
	var proxying sync.WaitGroup
	proxying.Go(func() {
		for n := 1; ; n++ {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			if n%2 == 0 {
				closeAtRequest(client)
				closings.Add(1)
				continue
			}
			proxying.Go(func() { forward(client, b.Addr().String()) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		if err := b.Close(); err != nil {
			t.Errorf("close the broker: %v", err)
		}
		proxying.Wait()
	})
	t.Setenv("MILLRACE_BROKERS", address)
	return &closings
}

// closeAtRequest reads one request and closes, so that the client sees an end and not a reset.
func closeAtRequest(client net.Conn) {
	defer client.Close()
	var size [4]byte
	if _, err := io.ReadFull(client, size[:]); err == nil {
		_, _ = io.CopyN(io.Discard, client, int64(bigendian.BigEndian.Uint32(size[:])))
	}
}

// forward joins client with address until one of them closes.
func forward(client net.Conn, address string) {
	defer client.Close()
	server, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	defer server.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(server, client)
		server.Close()
	}()
	_, _ = io.Copy(client, server)
	client.Close()
	<-done
}

func TestAServerThatOnlyClosesIsTold(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			closeAtRequest(connection)
		}
	}()
	begin := time.Now()
	r := cli(t, "", "topic", "list", "-b", listener.Addr().String())
	want := "millrace: cannot reach a broker at " + listener.Addr().String() + ": it closes the connection, is it a Kafka port without TLS?"
	if r.code != 1 || !strings.HasPrefix(r.stderr, want) || time.Since(begin) > 2*reachMax {
		t.Errorf("after %v exit code %d, stderr %q", time.Since(begin), r.code, r.stderr)
	}
}
