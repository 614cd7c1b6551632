package broker

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/internal/memnet"
)

// producedAt is a stand-in answer to a produce, which its base offset tells apart.
func producedAt(offset int64) *kmsg.ProduceResponse {
	r := kmsg.NewPtrProduceResponse()
	r.Topics = []kmsg.ProduceResponseTopic{{Partitions: []kmsg.ProduceResponseTopicPartition{{BaseOffset: offset}}}}
	return r
}

func offsetOf(r kmsg.Response) int64 {
	return r.(*kmsg.ProduceResponse).Topics[0].Partitions[0].BaseOffset
}

func TestBrokenFramesCostTheirOwnConnection(t *testing.T) {
	size := func(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }
	header := func(key, version uint16) []byte {
		b := binary.BigEndian.AppendUint16(size(10), key)
		b = binary.BigEndian.AppendUint16(b, version)
		return append(b, 0, 0, 0, 7, 0xff, 0xff)
	}
	b := startBroker(t, Options{Logger: testLogger()}, nil)
	other := dial(t, b)
	other.expectServed()
	for name, frame := range map[string][]byte{
		"negative size":             append(size(math.MaxUint32), make([]byte, 8)...),
		"size zero":                 append(size(0), make([]byte, 8)...),
		"smaller than a header":     append(size(9), make([]byte, 9)...),
		"two gigabytes":             append(size(math.MaxInt32), make([]byte, 8)...),
		"above the limit":           append(size(100<<20+1), make([]byte, 8)...),
		"large first request":       append(size(3<<20), 0, 0, 0, 9, 0, 0, 0, 1),
		"unknown key":               header(999, 0),
		"negative key":              header(0xffff, 0),
		"key of another broker":     header(uint16(kmsg.LeaderAndISR), 0),
		"version above":             header(uint16(kmsg.Metadata), 99),
		"version below":             header(uint16(kmsg.Fetch), 0),
		"advertised and not served": header(uint16(kmsg.Produce), 0),
		"negative version":          header(uint16(kmsg.Metadata), 0xffff),
		"garbled body":              append(binary.BigEndian.AppendUint32(nil, 20), []byte("\x00\x03\x00\x01\x00\x00\x00\x01\x00\x02xy\x7f\xff\xff\xff1234")...),
		"text":                      []byte("GET / HTTP/1.1\r\nHost: example.com\r\n\r\n"),
	} {
		t.Run(name, func(t *testing.T) {
			c := dial(t, b)
			c.write(frame)
			c.expectClosed()
		})
	}
	other.expectServed()
	if used := b.server.memory.used(); used != 0 {
		t.Errorf("%d bytes of the request memory are still taken", used)
	}
}

func TestTruncatedFrameIsNeverHandled(t *testing.T) {
	var handled atomic.Int64
	b := startBroker(t, Options{}, serveWith(apiVersionsKey, func(*Broker, *call, kmsg.Request) (reply, error) {
		handled.Add(1)
		return reply{}, nil
	}))
	c := dial(t, b)
	whole := c.encode(apiVersionsRequest(3))
	for end := 1; end < len(whole); end++ {
		c := dial(t, b)
		c.write(whole[:end])
		_ = c.conn.(*net.TCPConn).CloseWrite()
		c.expectClosed()
	}
	if n := handled.Load(); n != 0 {
		t.Errorf("%d truncated requests were handled", n)
	}
}

func TestFrameMayArriveByteByByte(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := dialMemory(t, Options{}, nil)
		for _, one := range c.encode(apiVersionsRequest(3)) {
			c.write([]byte{one})
			synctest.Wait()
		}
		if keys := c.receive().(*kmsg.ApiVersionsResponse).ApiKeys; len(keys) == 0 {
			t.Error("no keys")
		}
	})
}

func TestApiVersionsOfTheFutureIsToldTheRange(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	c := dial(t, b)
	request := c.encode(apiVersionsRequest(5))
	binary.BigEndian.PutUint16(request[6:], 77)
	c.write(request)
	body, err := readAnswer(c.conn)
	if err != nil {
		t.Fatal(err)
	}
	response := kmsg.NewPtrApiVersionsResponse() // version 0
	if err := response.ReadFrom(body[4:]); err != nil {
		t.Fatal(err)
	}
	if response.ErrorCode != kerr.UnsupportedVersion.Code || len(response.ApiKeys) != 1 ||
		response.ApiKeys[0].ApiKey != apiVersionsKey || response.ApiKeys[0].MaxVersion != 5 {
		t.Errorf("answer %+v", response)
	}
	c.pending = nil
	c.expectServed()
}

// gate lets the answers of produces out one by one.
type gate struct {
	mu    sync.Mutex
	doors map[int32]chan struct{}
}

func (g *gate) door(id int32) chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.doors == nil {
		g.doors = map[int32]chan struct{}{}
	}
	if g.doors[id] == nil {
		g.doors[id] = make(chan struct{})
	}
	return g.doors[id]
}

// later answers a produce with its correlation id as the offset, once its door is open.
func (g *gate) later(_ *Broker, c *call, _ kmsg.Request) (reply, error) {
	door, offset := g.door(c.correlationID), int64(c.correlationID)
	return reply{
		later: func(ctx context.Context) kmsg.Response {
			select {
			case <-door:
			case <-ctx.Done():
			}
			return producedAt(offset)
		},
		ready: func() bool {
			select {
			case <-door:
				return true
			default:
				return false
			}
		},
	}, nil
}

func TestAnswersLeaveInTheOrderOfTheRequests(t *testing.T) {
	var g gate
	b := startBroker(t, Options{}, serveWith(produceKey, g.later))
	c := dial(t, b)
	const count = 3 * inFlightMax
	sent := make(chan struct{})
	var frames []byte
	for range count {
		frames = append(frames, c.encode(produceRequest("t", -1, nil))...)
	}
	go func() {
		defer close(sent)
		_, _ = c.conn.Write(frames)
	}()
	for id := int32(count); id > 0; id-- { // the first answer is ready last
		close(g.door(id))
	}
	for want := int64(1); want <= count; want++ {
		if got := offsetOf(c.receive()); got != want {
			t.Fatalf("answer %d came, want %d", got, want)
		}
	}
	<-sent
}

func TestReadyAnswerDoesNotWaitForTheNextOne(t *testing.T) {
	var g gate
	b := startBroker(t, Options{}, serveWith(produceKey, g.later))
	c := dial(t, b)
	c.send(produceRequest("t", -1, nil), produceRequest("t", -1, nil))
	close(g.door(1))
	if got := offsetOf(c.receive()); got != 1 {
		t.Fatalf("answer %d", got)
	}
	close(g.door(2))
	if got := offsetOf(c.receive()); got != 2 {
		t.Fatalf("answer %d", got)
	}
}

func TestOnlyProduceOvertakesOutstandingAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g gate
		var appended, listed atomic.Int64
		c, _ := dialMemory(t, Options{}, func(b *Broker) {
			serveWith(produceKey, func(b *Broker, c *call, r kmsg.Request) (reply, error) {
				appended.Add(1)
				return g.later(b, c, r)
			})(b)
			serveWith(int16(kmsg.ListOffsets), func(_ *Broker, _ *call, r kmsg.Request) (reply, error) {
				listed.Add(1)
				return reply{response: r.ResponseKind()}, nil
			})(b)
		})
		list := kmsg.NewPtrListOffsetsRequest()
		list.SetVersion(1)
		c.send(produceRequest("t", -1, nil), produceRequest("t", -1, nil), list, produceRequest("t", -1, nil))
		synctest.Wait()
		if appended.Load() != 2 || listed.Load() != 0 {
			t.Fatalf("%d produces and %d list offsets were handled, want 2 and 0", appended.Load(), listed.Load())
		}
		close(g.door(1))
		synctest.Wait()
		if listed.Load() != 0 {
			t.Fatal("list offsets did not wait for all produces before it")
		}
		close(g.door(2))
		synctest.Wait()
		if appended.Load() != 3 || listed.Load() != 1 {
			t.Fatalf("%d produces and %d list offsets were handled, want 3 and 1", appended.Load(), listed.Load())
		}
		close(g.door(4))
		for range 4 {
			c.receive()
		}
	})
}

func TestProduceWithoutAcksIsNotAnswered(t *testing.T) {
	b := startBroker(t, Options{Config: map[string]string{"millrace.flush": "os"}}, nil)
	createTopic(t, b, "t", 1)
	c := dial(t, b)
	c.send(produceRequest("t", 0, batchOf(t, "a")), produceRequest("t", 1, batchOf(t, "b")))
	answer := c.receive().(*kmsg.ProduceResponse).Topics[0].Partitions[0]
	if answer.ErrorCode != 0 || answer.BaseOffset != 1 {
		t.Errorf("answer %+v, want offset 1", answer)
	}
	c.expectServed()
}

func TestFailedProduceWithoutAcksClosesItsConnection(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	c := dial(t, b)
	c.send(produceRequest("no-such-topic", 0, batchOf(t, "a")))
	c.expectClosed()
}

func TestPanicInAHandlerCostsItsOwnConnection(t *testing.T) {
	for name, serve := range map[string]func(*Broker, *call, kmsg.Request) (reply, error){
		"handler": func(*Broker, *call, kmsg.Request) (reply, error) { panic("boom") },
		"later": func(*Broker, *call, kmsg.Request) (reply, error) {
			return reply{later: func(context.Context) kmsg.Response { panic("boom") }}, nil
		},
		"later, at once": func(*Broker, *call, kmsg.Request) (reply, error) {
			return reply{later: func(context.Context) kmsg.Response { panic("boom") }, ready: func() bool { return true }}, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			var logged lockedBuffer
			b := startBroker(t, Options{Logger: slog.New(slog.NewTextHandler(&logged, nil))}, serveWith(produceKey, serve))
			other := dial(t, b)
			other.expectServed()
			c := dial(t, b)
			c.send(produceRequest("t", -1, nil))
			c.expectClosed()
			other.expectServed()
			if err := b.Close(); err != nil {
				t.Error(err)
			}
			for _, want := range []string{"panicked", "boom", "conn_test.go", "client_id=test"} {
				if text := logged.String(); !strings.Contains(text, want) {
					t.Errorf("log without %q:\n%s", want, text)
				}
			}
		})
	}
}

// lockedBuffer gathers log lines.
type lockedBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// In a bubble no time passes while clients come and go: all of it is one window.
func TestBrokenClientsFillNoLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logged lockedBuffer
		c, network := dialMemory(t, Options{Logger: slog.New(slog.NewTextHandler(&logged, nil))}, nil)
		for range 5 * limitedLines {
			c.write([]byte("\x00\x00\x00\x10\x00\x03\x00\x01\x00\x00\x00\x01\x00\x02id\x00\x00\x00\x09"))
			c.expectClosed()
			c = dialNetwork(t, network)
		}
		synctest.Wait() // a connection is logged after it was closed
		if lines := strings.Count(logged.String(), "malformed"); lines != limitedLines {
			t.Errorf("%d lines for %d broken clients, want %d", lines, 5*limitedLines, limitedLines)
		}
		if !strings.Contains(logged.String(), "client_id=id") {
			t.Errorf("no client id in the log:\n%s", logged.String())
		}
	})
}

// dialMemory starts a broker on a network in memory, for use under synctest, and connects to it.
func dialMemory(t *testing.T, options Options, change func(*Broker)) (*client, *memnet.Network) {
	t.Helper()
	network := memnet.New()
	listener, err := network.Listen("10.0.0.1:9092")
	if err != nil {
		t.Fatal(err)
	}
	options.Listener = listener
	startBroker(t, options, change)
	return dialNetwork(t, network), network
}

func dialNetwork(t *testing.T, network *memnet.Network) *client {
	t.Helper()
	conn, err := network.Dial(t.Context(), "tcp", "10.0.0.1:9092")
	if err != nil {
		t.Fatal(err)
	}
	return newClient(t, conn)
}

func TestClientThatDoesNotReadIsNotServedAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const answerBytes = 30 << 10
		var handled atomic.Int64
		name := strings.Repeat("x", answerBytes)
		serve := func(_ *Broker, _ *call, r kmsg.Request) (reply, error) {
			handled.Add(1)
			response := r.ResponseKind().(*kmsg.MetadataResponse)
			response.ClusterID = &name
			return reply{response: response}, nil
		}
		c, _ := dialMemory(t, Options{}, serveWith(int16(kmsg.Metadata), serve))
		request := kmsg.NewPtrMetadataRequest()
		request.SetVersion(4)
		const count = 1000
		var frames []byte
		for range count {
			frames = append(frames, c.encode(request)...)
		}
		go func() { _, _ = c.conn.Write(frames) }()
		synctest.Wait()
		// What the network holds, what is gathered, and the one that is stuck.
		most := int64((64<<10+gatherMax)/answerBytes + 2)
		if n := handled.Load(); n == 0 || n > most {
			t.Fatalf("%d requests were handled for a client that reads nothing, want at most %d", n, most)
		}
		for range count {
			c.receive()
		}
		if n := handled.Load(); n != count {
			t.Errorf("%d requests were handled, want %d", n, count)
		}
	})
}

func TestClientThatNeverReadsLosesItsConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		name := strings.Repeat("x", 1<<20)
		c, _ := dialMemory(t, Options{}, serveWith(int16(kmsg.Metadata), func(_ *Broker, _ *call, r kmsg.Request) (reply, error) {
			response := r.ResponseKind().(*kmsg.MetadataResponse)
			response.ClusterID = &name
			return reply{response: response}, nil
		}))
		request := kmsg.NewPtrMetadataRequest()
		request.SetVersion(9)
		began := time.Now()
		c.send(request)
		waitForEnd(t, c.conn)
		if took := time.Since(began); took < writeStallMax || took > 2*writeStallMax {
			t.Errorf("cut after %v, want %v", took, writeStallMax)
		}
	})
}

// waitForEnd returns when the other side has closed the connection. It sends nothing and reads nothing before that.
func waitForEnd(t *testing.T, conn net.Conn) {
	t.Helper()
	for {
		if _, err := conn.Write([]byte{0}); err != nil {
			return
		}
		timer := time.NewTimer(time.Second)
		<-timer.C
	}
}

func TestSilentConnectionIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := dialMemory(t, Options{Config: map[string]string{"connections.max.idle.ms": "60000"}}, nil)
		timer := time.NewTimer(50 * time.Second)
		<-timer.C
		c.expectServed() // it counts from the last request
		began := time.Now()
		c.expectClosed()
		if took := time.Since(began); took < 50*time.Second || took > 61*time.Second {
			t.Errorf("closed after %v of silence, want a minute", took)
		}
	})
}

func TestStalledRequestReleasesItsMemory(t *testing.T) {
	for name, test := range map[string]struct{ size, sent int }{
		"in its prologue":          {100, 5},
		"in the read-ahead buffer": {1 << 13, 1 << 12},
		"in a slab":                {1 << 19, 1 << 16},
		"right after the prologue": {1 << 19, prologueBytes},
		"one byte before the end":  {1 << 19, 1<<19 + 30},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var broker *Broker
				c, _ := dialMemory(t, Options{}, func(b *Broker) { broker = b })
				c.expectServed()
				frame := c.encode(produceRequest("t", -1, make([]byte, test.size)))
				sent := min(test.sent, len(frame)-1)
				go func() { _, _ = c.conn.Write(frame[:sent]) }()
				synctest.Wait()
				if used := broker.server.memory.used(); test.size > smallRequestMax && used < int64(test.size) {
					t.Errorf("%d bytes are reserved for a request of %d that is on its way", used, len(frame))
				}
				began := time.Now()
				c.expectClosed()
				if took := time.Since(began); took > frameStallMax+time.Second {
					t.Errorf("closed after %v", took)
				}
				synctest.Wait()
				if used := broker.server.memory.used(); used != 0 {
					t.Errorf("%d bytes are still taken", used)
				}
			})
		})
	}
}

func TestAnswersInFlightAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g gate
		var appended atomic.Int64
		c, _ := dialMemory(t, Options{}, serveWith(produceKey, func(b *Broker, c *call, r kmsg.Request) (reply, error) {
			appended.Add(1)
			return g.later(b, c, r)
		}))
		const count = inFlightMax + 10
		var frames []byte
		for range count {
			frames = append(frames, c.encode(produceRequest("t", -1, nil))...)
		}
		go func() { _, _ = c.conn.Write(frames) }()
		synctest.Wait()
		if n := appended.Load(); n != inFlightMax {
			t.Errorf("%d requests were handled with no answer ready, want %d", n, inFlightMax)
		}
		for id := int32(1); id <= count; id++ {
			close(g.door(id))
		}
		for range count {
			c.receive()
		}
	})
}

func TestRequestsShareTheirMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var broker *Broker
		const limit = 1 << 20
		release := make(chan struct{})
		var handling atomic.Int64
		first, network := dialMemory(t, Options{Config: map[string]string{
			"socket.request.max.bytes": fmt.Sprint(limit), "queued.max.request.bytes": fmt.Sprint(limit),
		}}, func(b *Broker) {
			broker = b
			serveWith(produceKey, func(*Broker, *call, kmsg.Request) (reply, error) {
				handling.Add(1)
				defer handling.Add(-1)
				<-release
				return reply{response: producedAt(0)}, nil
			})(b)
		})
		second := dialNetwork(t, network)
		for _, c := range []*client{first, second} {
			c.expectServed()
			go func() { _, _ = c.conn.Write(c.encode(produceRequest("t", -1, make([]byte, limit*3/4)))) }()
		}
		synctest.Wait()
		if n := handling.Load(); n != 1 {
			t.Fatalf("%d requests of three quarters of the memory are handled at once", n)
		}
		if used := broker.server.memory.used(); used > limit {
			t.Errorf("%d bytes are taken, limit %d", used, limit)
		}
		close(release)
		first.receive()
		second.receive()
		if used := broker.server.memory.used(); used != 0 {
			t.Errorf("%d bytes are still taken", used)
		}
	})
}

func TestConnectionLimits(t *testing.T) {
	for name, settings := range map[string]map[string]string{
		"in all":      {"max.connections": "2"},
		"per address": {"max.connections.per.ip": "2"},
	} {
		t.Run(name, func(t *testing.T) {
			b := startBroker(t, Options{Config: settings}, nil)
			first, second := dial(t, b), dial(t, b)
			first.expectServed()
			second.expectServed()
			dial(t, b).expectClosed()
			first.expectServed()
			counted := uint64(0)
			for i := range b.metrics.rejections {
				counted += b.metrics.rejections[i].Load()
			}
			if counted != 1 {
				t.Errorf("%d refused connections were counted", counted)
			}
			_ = first.conn.Close()
			waitUntil(t, func() bool { return b.server.connections()[plaintextListener] == 1 })
			dial(t, b).expectServed()
		})
	}
}

// waitUntil returns when condition holds; the test's own time limit is the only other end.
func waitUntil(t testing.TB, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-t.Context().Done():
			t.Fatal("the condition never held")
		}
	}
}

func TestHandlersThatKeepViewsOfARequestAreFoundOut(t *testing.T) {
	for _, size := range []int{100, 2 * inPlaceMax} {
		var kept []byte
		b := startBroker(t, Options{}, serveWith(produceKey, func(_ *Broker, _ *call, r kmsg.Request) (reply, error) {
			kept = r.(*kmsg.ProduceRequest).Topics[0].Partitions[0].Records
			return reply{response: producedAt(0)}, nil
		}))
		c := dial(t, b)
		c.ask(produceRequest("t", -1, slices.Repeat([]byte{'x'}, size)))
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		if poisoned := kept[0] == 0xdb; poisoned != invariantsEnabled {
			t.Errorf("request of %d bytes: poisoned is %v, want %v", size, poisoned, invariantsEnabled)
		}
	}
}

func TestLargeAndSmallRequestsMix(t *testing.T) {
	b := startBroker(t, Options{DataDir: filepath.Join(t.TempDir(), "data"), Config: map[string]string{"millrace.flush": "os"}}, nil)
	createTopic(t, b, "t", 1)
	c := dial(t, b)
	c.expectServed()
	values := []string{}
	var frames []byte
	for i, size := range []int{1, 100, 16 << 10, 3, 17 << 10, 60 << 10, 70 << 10, 5, 900 << 10, 8 << 10, 2, 16<<10 - 75, 1} {
		v := strings.Repeat(string(rune('a'+i)), size)
		values = append(values, v)
		frames = append(frames, c.encode(produceRequest("t", -1, batchOf(t, v)))...)
	}
	go func() { _, _ = c.conn.Write(frames) }()
	for i := range values {
		answer := c.receive().(*kmsg.ProduceResponse).Topics[0].Partitions[0]
		if answer.ErrorCode != 0 || answer.BaseOffset != int64(i) {
			t.Fatalf("answer %d: %+v", i, answer)
		}
	}
	got, code := fetched(t, c.ask(fetchRequest("t", 0, 0)))
	if code != 0 || !slices.Equal(got, values) {
		t.Errorf("fetched %d values, error %d, want %d", len(got), code, len(values))
	}
}
