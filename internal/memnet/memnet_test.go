package memnet

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func connect(t *testing.T, n *Network) (client, server net.Conn) {
	t.Helper()
	l, err := n.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err = n.Dial(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return client, server
}

func checkIs(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("error %v, want %v", err, want)
	}
}

func TestBytesArriveInOrderWhateverTheirNumber(t *testing.T) {
	client, server := connect(t, New())
	sent := make([]byte, 5*bufferBytes+3)
	for i := range sent {
		sent[i] = byte(i * 7)
	}
	go func() {
		client.Write(sent)
		client.Close()
	}()
	received, err := io.ReadAll(server)
	if err != nil || !bytes.Equal(received, sent) {
		t.Errorf("%d of %d bytes, %v", len(received), len(sent), err)
	}
}

func TestAddressesAreThoseOfTheEnds(t *testing.T) {
	n := New()
	l, err := n.Listen(":9092")
	if err != nil {
		t.Fatal(err)
	}
	client, err := n.DialFrom(t.Context(), netip.MustParseAddr("10.0.0.7"), "10.1.1.1:9092")
	if err != nil {
		t.Fatal(err)
	}
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if got := client.RemoteAddr().String(); got != "10.1.1.1:9092" {
		t.Errorf("remote address %s", got)
	}
	if host := server.RemoteAddr().(*net.TCPAddr).IP.String(); host != "10.0.0.7" {
		t.Errorf("server sees %s", host)
	}
	if server.RemoteAddr().String() != client.LocalAddr().String() {
		t.Errorf("ends disagree: %s, %s", server.RemoteAddr(), client.LocalAddr())
	}
}

func TestListenRefusesAPortInUseUntilClosed(t *testing.T) {
	n := New()
	l, err := n.Listen("127.0.0.1:9092")
	if err != nil {
		t.Fatal(err)
	}
	_, err = n.Listen("localhost:9092")
	checkIs(t, err, syscall.EADDRINUSE)
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	checkIs(t, l.Close(), net.ErrClosed)
	_, err = l.Accept()
	checkIs(t, err, net.ErrClosed)
	_, err = n.Dial(t.Context(), "tcp", "127.0.0.1:9092")
	checkIs(t, err, syscall.ECONNREFUSED)
	if _, err = n.Listen("127.0.0.1:9092"); err != nil {
		t.Error(err)
	}
	if _, err = n.Dial(t.Context(), "tcp", "nowhere:9092"); err == nil {
		t.Error("unknown host resolved")
	}
}

func TestCloseOfTheListenerResetsWhatWasNotAccepted(t *testing.T) {
	n := New()
	l, err := n.Listen("127.0.0.1:9092")
	if err != nil {
		t.Fatal(err)
	}
	c, err := n.Dial(t.Context(), "tcp", "127.0.0.1:9092")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	_, err = c.Read(make([]byte, 1))
	checkIs(t, err, syscall.ECONNRESET)
}

func TestDialWaitsForRoomInTheBacklogUntilItsContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New()
		if _, err := n.Listen("127.0.0.1:9092"); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for i := range backlogMax {
			if _, err := n.Dial(ctx, "tcp", "127.0.0.1:9092"); err != nil {
				t.Fatalf("dial %d: %v", i, err)
			}
		}
		start := time.Now()
		_, err := n.Dial(ctx, "tcp", "127.0.0.1:9092")
		checkIs(t, err, context.DeadlineExceeded)
		if waited := time.Since(start); waited != time.Minute {
			t.Errorf("waited %v", waited)
		}
	})
}

func TestCloseEndsBlockedCalls(t *testing.T) {
	calls := map[string]struct {
		call func(near, far net.Conn) error
		want error
	}{
		"read at this end":      {func(near, _ net.Conn) error { return readOne(near) }, net.ErrClosed},
		"read at the other end": {func(_, far net.Conn) error { return readOne(far) }, io.EOF},
		"write at this end":     {func(near, _ net.Conn) error { return writeMuch(near) }, net.ErrClosed},
		"write at the other":    {func(_, far net.Conn) error { return writeMuch(far) }, syscall.ECONNRESET},
	}
	for name, test := range calls {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := connect(t, New())
				returned := make(chan error)
				go func() { returned <- test.call(near, far) }()
				near.SetDeadline(time.Now().Add(time.Hour))
				synctest.Wait()
				near.Close()
				checkIs(t, <-returned, test.want)
				checkIs(t, near.Close(), net.ErrClosed)
				checkIs(t, near.SetDeadline(time.Time{}), net.ErrClosed)
			})
		})
	}
}

func readOne(c net.Conn) error {
	_, err := c.Read(make([]byte, 1))
	return err
}

func writeMuch(c net.Conn) error {
	_, err := c.Write(make([]byte, bufferBytes+1))
	return err
}

func TestCloseKeepsWhatWasWritten(t *testing.T) {
	client, server := connect(t, New())
	client.Write([]byte("last words"))
	client.Close()
	got, err := io.ReadAll(server)
	if err != nil || string(got) != "last words" {
		t.Errorf("read %q, %v", got, err)
	}
	_, err = server.Write([]byte("too late"))
	checkIs(t, err, syscall.EPIPE)
}

func TestCloseWithUnreadBytesResets(t *testing.T) {
	client, server := connect(t, New())
	server.Write([]byte("never read"))
	client.Close()
	_, err := server.Read(make([]byte, 1))
	checkIs(t, err, syscall.ECONNRESET)
}

func TestCloseWriteLeavesTheOtherDirection(t *testing.T) {
	client, server := connect(t, New())
	client.Write([]byte("request"))
	client.(interface{ CloseWrite() error }).CloseWrite()
	if got, err := io.ReadAll(server); err != nil || string(got) != "request" {
		t.Errorf("read %q, %v", got, err)
	}
	server.Write([]byte("answer"))
	server.Close()
	if got, err := io.ReadAll(client); err != nil || string(got) != "answer" {
		t.Errorf("read %q, %v", got, err)
	}
}

func TestDeadlinesPassInBubbleTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := connect(t, New())
		start := time.Now()
		client.SetReadDeadline(start.Add(time.Minute))
		_, err := client.Read(make([]byte, 1))
		checkIs(t, err, os.ErrDeadlineExceeded)
		var netErr net.Error
		if !errors.As(err, &netErr) || !netErr.Timeout() {
			t.Errorf("error %v is no timeout", err)
		}
		if waited := time.Since(start); waited != time.Minute {
			t.Errorf("waited %v", waited)
		}

		client.SetReadDeadline(time.Time{})
		server.Write([]byte("x"))
		if n, err := client.Read(make([]byte, 1)); n != 1 || err != nil {
			t.Errorf("read after the deadline was taken back: %d, %v", n, err)
		}

		server.SetWriteDeadline(time.Now().Add(time.Second))
		n, err := server.Write(make([]byte, bufferBytes+1))
		checkIs(t, err, os.ErrDeadlineExceeded)
		if n != bufferBytes {
			t.Errorf("%d bytes written", n)
		}
	})
}

func TestDeadlineInThePastWakesABlockedRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, _ := connect(t, New())
		done := make(chan error)
		go func() {
			_, err := client.Read(make([]byte, 1))
			done <- err
		}()
		synctest.Wait()
		client.SetReadDeadline(time.Unix(1, 0))
		checkIs(t, <-done, os.ErrDeadlineExceeded)
	})
}

func TestReplacedDeadlineDoesNotFire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := connect(t, New())
		client.SetReadDeadline(time.Now().Add(time.Second))
		client.SetReadDeadline(time.Now().Add(time.Hour))
		time.AfterFunc(time.Minute, func() { server.Write([]byte("x")) })
		if _, err := client.Read(make([]byte, 1)); err != nil {
			t.Error(err)
		}
	})
}

// TestHTTPServerRunsInABubble has a client and a server that nobody wrote for this network talk over it.
func TestHTTPServerRunsInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New()
		l, err := n.Listen("127.0.0.1:80")
		if err != nil {
			t.Fatal(err)
		}
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, "hello")
		})}
		var serving sync.WaitGroup
		serving.Go(func() { server.Serve(l) })
		transport := &http.Transport{DialContext: n.Dial}
		client := &http.Client{Transport: transport, Timeout: time.Second}
		for range 3 {
			answer, err := client.Get("http://127.0.0.1/")
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(answer.Body)
			answer.Body.Close()
			if err != nil || string(body) != "hello" {
				t.Errorf("body %q, %v", body, err)
			}
		}
		transport.CloseIdleConnections()
		if err := server.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		serving.Wait()
	})
}
