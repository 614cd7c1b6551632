package reorder

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"testing"

	"github.com/millrace/millrace/internal/memnet"
)

// pretender answers every request with its correlation id, and notes what it was asked, and over which connection.
type pretender struct {
	mu    sync.Mutex
	asked []string
}

func (p *pretender) serve(l net.Listener) {
	for number := 0; ; number++ {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go p.answer(conn, number)
	}
}

func (p *pretender) answer(conn net.Conn, number int) {
	for {
		frame, err := readFrame(conn)
		if err != nil {
			return
		}
		r, err := parse(number, frame)
		if err != nil {
			return
		}
		p.mu.Lock()
		p.asked = append(p.asked, fmt.Sprintf("%s@%d", r.Body(), number))
		p.mu.Unlock()
		if _, err := conn.Write(binary.BigEndian.AppendUint32([]byte{0, 0, 0, 4}, uint32(r.Correlation))); err != nil {
			return
		}
	}
}

func (p *pretender) expect(t *testing.T, want ...string) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if !slices.Equal(p.asked, want) {
		t.Errorf("the broker was asked %v, want %v", p.asked, want)
	}
}

// world is a proxy before a pretended broker, on a network of its own.
type world struct {
	t       *testing.T
	network *memnet.Network
	broker  pretender
	proxy   *Proxy
	next    int32
}

const proxyAddress, brokerAddress = "127.0.0.1:1", "127.0.0.1:2"

// begin starts a world in which the requests named in fates have them; the others of key 1 pass.
func begin(t *testing.T, fates map[int]Fate) *world {
	w := &world{t: t, network: memnet.New()}
	l, err := w.network.Listen(brokerAddress)
	if err != nil {
		t.Fatal(err)
	}
	go w.broker.serve(l)
	near, err := w.network.Listen(proxyAddress)
	if err != nil {
		t.Fatal(err)
	}
	dial := func(ctx context.Context) (net.Conn, error) { return w.network.Dial(ctx, "tcp", brokerAddress) }
	w.proxy = Start(near, dial, NewSchedule(Keys(1), func(number int, _ Request) Fate { return fates[number] }))
	t.Cleanup(func() {
		w.proxy.Close()
		_ = l.Close()
	})
	return w
}

func (w *world) dial() net.Conn {
	w.t.Helper()
	conn, err := w.network.Dial(context.Background(), "tcp", proxyAddress)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// ask sends a request and returns whether it was answered, or else the connection cut.
func (w *world) ask(conn net.Conn, key int16, body string) bool {
	w.t.Helper()
	w.next++
	frame := binary.BigEndian.AppendUint32(nil, uint32(8+len(body)))
	frame = binary.BigEndian.AppendUint16(frame, uint16(key))
	frame = binary.BigEndian.AppendUint16(frame, 0)
	frame = append(binary.BigEndian.AppendUint32(frame, uint32(w.next)), body...)
	if _, err := conn.Write(frame); err != nil {
		return false
	}
	answer, err := readFrame(conn)
	if err != nil {
		return false
	}
	if id, ok := correlationOf(answer); !ok || id != w.next {
		w.t.Fatalf("answer %x, asked %d", answer, w.next)
	}
	return true
}

func (w *world) must(conn net.Conn, key int16, body string) {
	w.t.Helper()
	if !w.ask(conn, key, body) {
		w.t.Fatalf("%s was not answered", body)
	}
}

func TestRequestsPassInOrder(t *testing.T) {
	w := begin(t, nil)
	conn := w.dial()
	for _, body := range []string{"a", "b", "c"} {
		w.must(conn, 1, body)
	}
	w.broker.expect(t, "a@0", "b@0", "c@0")
}

func TestRepeatedRequestsComeAgainOverANewConnection(t *testing.T) {
	w := begin(t, map[int]Fate{0: {Repeated, 1}, 1: {Repeated, 5}})
	conn := w.dial()
	w.must(conn, 1, "a")
	w.must(conn, 2, "not counted")
	w.must(conn, 1, "b")
	w.must(conn, 1, "c")
	w.broker.expect(t, "a@0", "not counted@0", "b@0", "a@1", "c@0")
	w.proxy.DeliverRest()
	w.broker.expect(t, "a@0", "not counted@0", "b@0", "a@1", "c@0", "b@2")
	delivered := w.proxy.Delivered()
	if len(delivered) != 2 || delivered[0].Kind != Repeated || delivered[0].Err != nil || len(delivered[0].Answer) != 8 {
		t.Errorf("delivered %+v", delivered)
	}
}

func TestHeldRequestsComeLateOverTheirOwnConnection(t *testing.T) {
	w := begin(t, map[int]Fate{1: {Held, 1}})
	first := w.dial()
	w.must(first, 1, "a")
	if w.ask(first, 1, "held") {
		t.Fatal("a held request was answered")
	}
	second := w.dial()
	w.must(second, 1, "again")
	w.must(second, 1, "next")
	w.broker.expect(t, "a@0", "again@1", "held@0", "next@1")
	if d := w.proxy.Delivered(); len(d) != 1 || d[0].Kind != Held || d[0].Err != nil || len(d[0].Answer) != 8 {
		t.Errorf("delivered %+v", d)
	}
}

func TestAnUnansweredRequestReachesTheBroker(t *testing.T) {
	w := begin(t, map[int]Fate{0: {Kind: Unanswered}})
	if conn := w.dial(); w.ask(conn, 1, "a") {
		t.Fatal("it was answered")
	}
	w.must(w.dial(), 1, "again")
	w.broker.expect(t, "a@0", "again@1")
}

func TestABrokenFrameEndsItsConnection(t *testing.T) {
	w := begin(t, nil)
	for _, frame := range [][]byte{{0, 0, 0, 1, 9}, {0xff, 0xff, 0xff, 0xff}} {
		conn := w.dial()
		if _, err := conn.Write(frame); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Read(make([]byte, 1)); err == nil {
			t.Errorf("% x was answered", frame)
		}
	}
	w.must(w.dial(), 1, "a")
	w.broker.expect(t, "a@2")
}

func TestCloseCutsEverything(t *testing.T) {
	w := begin(t, map[int]Fate{1: {Held, 9}})
	live, held := w.dial(), w.dial()
	w.must(live, 1, "a")
	if w.ask(held, 1, "b") {
		t.Fatal("a held request was answered")
	}
	w.proxy.Close()
	if _, err := live.Read(make([]byte, 1)); err == nil {
		t.Error("the connection lives on")
	}
	w.proxy.DeliverRest()
	if d := w.proxy.Delivered(); len(d) != 1 || d[0].Err == nil {
		t.Errorf("delivered %+v over a closed connection", d)
	}
}

func TestABrokerThatIsAwayLooksAway(t *testing.T) {
	network := memnet.New()
	near, err := network.Listen(proxyAddress)
	if err != nil {
		t.Fatal(err)
	}
	dial := func(ctx context.Context) (net.Conn, error) { return network.Dial(ctx, "tcp", brokerAddress) }
	proxy := Start(near, dial, NewSchedule(Keys(1), func(int, Request) Fate { return Fate{} }))
	defer proxy.Close()
	conn, err := network.Dial(context.Background(), "tcp", proxyAddress)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); err == nil || err == io.ErrNoProgress {
		t.Errorf("read: %v, want an end", err)
	}
}

// TestScheduleLosesNothing: whatever fates chance deals, each request that is repeated or held is due once, after it came
// and at most LaterMax subjects later.
func TestScheduleLosesNothing(t *testing.T) {
	for seed := range uint64(50) {
		chances := Chances{Repeated: .3, Unanswered: .1, Held: .3, LaterMax: 4}
		s := NewSchedule(Keys(1), chances.Random(rand.New(rand.NewPCG(seed, 7))))
		came, dueAt := map[int32]int{}, map[int32]int{}
		subjects := 0
		for i := range int32(200) {
			due, fate := s.Step(Request{Key: int16(i % 3), Correlation: i})
			for _, late := range due {
				id := late.Request.Correlation
				if dueAt[id]++; dueAt[id] > 1 || subjects-came[id] < 1 || subjects-came[id] > chances.LaterMax+1 {
					t.Fatalf("seed %d: %d is due %d subjects after it came", seed, id, subjects-came[id])
				}
			}
			if i%3 != 1 {
				if len(due) > 0 || fate != (Fate{}) {
					t.Fatalf("seed %d: what is no subject has fate %v", seed, fate)
				}
				continue
			}
			if fate.Kind == Repeated || fate.Kind == Held {
				came[i] = subjects
			}
			subjects++
		}
		for _, late := range s.Rest() {
			dueAt[late.Request.Correlation]++
		}
		if len(dueAt) != len(came) || len(came) < 20 || s.Count() != subjects {
			t.Fatalf("seed %d: %d came, %d were due, %d of %d counted", seed, len(came), len(dueAt), s.Count(), subjects)
		}
	}
}
