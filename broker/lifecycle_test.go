package broker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"github.com/millrace/millrace/internal/disk"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestHundredsOfBrokersInOneProcess(t *testing.T) {
	before := goleak.IgnoreCurrent()
	const count = 200
	var brokers []*Broker
	for i := range count {
		b, err := New(Options{InMemory: true, Listen: "127.0.0.1:0", HTTP: "127.0.0.1:0"})
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		brokers = append(brokers, b)
		if i%20 == 0 {
			createTopic(t, b, "t", 3)
			c := dial(t, b)
			c.ask(produceRequest("t", -1, batchOf(t, "a")))
		}
	}
	var stopping sync.WaitGroup
	for i, b := range brokers {
		stopping.Go(func() {
			stop := b.Close
			if i%2 == 0 {
				stop = func() error { return b.Shutdown(t.Context()) }
			}
			if err := stop(); err != nil {
				t.Error(err)
			}
			if err := b.Wait(); err != nil {
				t.Error(err)
			}
		})
	}
	stopping.Wait()
	if err := goleak.Find(before); err != nil {
		t.Error(err)
	}
}

func BenchmarkStartStop(b *testing.B) {
	for name, dir := range map[string]string{"memory": "", "disk": b.TempDir()} {
		b.Run(name, func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				options := Options{InMemory: true, Listen: "127.0.0.1:0"}
				if dir != "" {
					options = Options{DataDir: filepath.Join(dir, fmt.Sprint(i)), Listen: "127.0.0.1:0"}
				}
				broker, err := New(options)
				if err != nil {
					b.Fatal(err)
				}
				if err := broker.Start(b.Context()); err != nil {
					b.Fatal(err)
				}
				if err := broker.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func TestInvalidOptions(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	for want, options := range map[string]Options{
		"one of DataDir and InMemory":    {},
		"and InMemory can be set":        {DataDir: "x", InMemory: true},
		"and Listener can be set":        {InMemory: true, Listen: "127.0.0.1:0", Listener: listener},
		`Listen "nonsense"`:              {InMemory: true, Listen: "nonsense"},
		`HTTP "127.0.0.1:http8"`:         {InMemory: true, HTTP: "127.0.0.1:http8"},
		`did you mean "num.partitions"?`: {InMemory: true, Config: map[string]string{"num.partition": "1"}},
		"num.partitions":                 {InMemory: true, Config: map[string]string{"num.partitions": "many"}},
	} {
		if _, err := New(options); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", options, err, want)
		}
	}
}

func TestPortInUseIsSaid(t *testing.T) {
	first := startBroker(t, Options{}, nil)
	dir := filepath.Join(t.TempDir(), "data")
	for _, options := range []Options{
		{DataDir: dir, Listen: first.Addr().String()},
		{DataDir: dir, Listen: "127.0.0.1:0", HTTP: first.Addr().String()},
	} {
		b, err := New(options)
		if err != nil {
			t.Fatal(err)
		}
		err = b.Start(t.Context())
		if err == nil || !strings.Contains(err.Error(), first.Addr().String()+": the port is in use") {
			t.Errorf("start: %v", err)
		}
		if _, err := disk.OS().Stat(dir); err == nil {
			t.Error("the data directory was touched")
		}
		if err := b.Wait(); err != nil {
			t.Errorf("wait: %v", err)
		}
	}
}

func TestLifecycleCallsInAnyOrder(t *testing.T) {
	newBroker := func() *Broker {
		b, err := New(Options{InMemory: true, Listen: "127.0.0.1:0"})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	t.Run("close without start", func(t *testing.T) {
		b := newBroker()
		if err := errors.Join(b.Close(), b.Shutdown(t.Context()), b.Close(), b.Wait()); err != nil {
			t.Error(err)
		}
		if err := b.Start(t.Context()); !errors.Is(err, ErrClosed) {
			t.Errorf("start: %v", err)
		}
		if b.Addr() != nil {
			t.Error("a broker that never started has an address")
		}
	})
	t.Run("start twice", func(t *testing.T) {
		b := newBroker()
		if err := b.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := b.Start(t.Context()); err == nil || errors.Is(err, ErrClosed) {
			t.Errorf("second start: %v", err)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		if err := b.Start(t.Context()); !errors.Is(err, ErrClosed) {
			t.Errorf("start after close: %v", err)
		}
	})
	t.Run("many stops at once", func(t *testing.T) {
		b := newBroker()
		if err := b.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		var stops sync.WaitGroup
		for i := range 10 {
			stops.Go(func() {
				stop := b.Close
				if i%2 == 0 {
					stop = func() error { return b.Shutdown(t.Context()) }
				}
				if err := stop(); err != nil {
					t.Error(err)
				}
			})
		}
		stops.Wait()
	})
	t.Run("close while it starts", func(t *testing.T) {
		for range 20 {
			b := newBroker()
			var both sync.WaitGroup
			both.Go(func() { _ = b.Start(t.Context()) })
			if err := b.Close(); err != nil {
				t.Error(err)
			}
			both.Wait()
			if err := b.Wait(); err != nil {
				t.Error(err)
			}
		}
	})
	t.Run("close cancels a start that takes long", func(t *testing.T) {
		slow := &slowFileSystem{FS: disk.NewMem(), reached: make(chan struct{}), proceed: make(chan struct{})}
		b, err := New(Options{InMemory: true, Listen: "127.0.0.1:0", fileSystem: slow})
		if err != nil {
			t.Fatal(err)
		}
		started := make(chan error, 1)
		go func() { started <- b.Start(t.Context()) }()
		<-slow.reached
		closed := make(chan error, 1)
		go func() { closed <- b.Close() }()
		waitUntil(t, func() bool { return b.currentState() == stopping })
		close(slow.proceed)
		if err := <-started; !errors.Is(err, context.Canceled) {
			t.Errorf("start: %v", err)
		}
		if err := <-closed; err != nil {
			t.Errorf("close: %v", err)
		}
	})
	t.Run("start that is not wanted any more", func(t *testing.T) {
		b := newBroker()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := b.Start(ctx); err == nil {
			t.Error("started")
			_ = b.Close()
		}
	})
}

// slowFileSystem waits before it makes a directory.
type slowFileSystem struct {
	disk.FS
	once             sync.Once
	reached, proceed chan struct{}
}

func (s *slowFileSystem) MkdirAll(dir string) error {
	s.once.Do(func() { close(s.reached) })
	<-s.proceed
	return s.FS.MkdirAll(dir)
}

func TestShutdownAnswersWhatWasAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g gate
		var broker *Broker
		produces, network := dialMemory(t, Options{}, func(b *Broker) {
			broker = b
			serveWith(produceKey, g.later)(b)
		})
		createTopic(t, broker, "t", 1)
		waits, idle := dialNetwork(t, network), dialNetwork(t, network)
		idle.expectServed()
		began := time.Now()
		produces.send(produceRequest("t", -1, nil))
		waits.send(fetchRequest("t", 0, 60_000))
		synctest.Wait()

		stopped := make(chan error, 1)
		go func() { stopped <- broker.Shutdown(t.Context()) }()
		idle.expectClosed()
		if _, code := fetched(t, waits.receive()); code != 0 {
			t.Errorf("the fetch that waited was answered with error %d", code)
		}
		waits.expectClosed()
		synctest.Wait()
		select {
		case err := <-stopped:
			t.Fatalf("shutdown returned %v with a produce unanswered", err)
		default:
		}
		if _, err := network.Dial(t.Context(), "tcp", "10.0.0.1:9092"); err == nil {
			t.Error("a broker that shuts down accepts connections")
		}
		close(g.door(1))
		if offset := offsetOf(produces.receive()); offset != 1 {
			t.Errorf("produce answered with offset %d", offset)
		}
		produces.expectClosed()
		if err := <-stopped; err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("took %v: the fetch was not woken", took)
		}
	})
}

func TestShutdownCutsWhatDoesNotEndInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g gate
		var broker *Broker
		c, _ := dialMemory(t, Options{}, func(b *Broker) {
			broker = b
			serveWith(produceKey, g.later)(b)
		})
		c.send(produceRequest("t", -1, nil))
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		began := time.Now()
		if err := broker.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("took %v", took)
		}
		c.expectClosed()
	})
}

func TestCloseCutsAnAnswerThatTheClientDoesNotTake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var broker *Broker
		c, _ := dialMemory(t, Options{}, func(b *Broker) {
			broker = b
			serveWith(produceKey, func(*Broker, *call, kmsg.Request) (reply, error) {
				return reply{later: func(context.Context) kmsg.Response {
					message := strings.Repeat("x", 1<<20)
					response := producedAt(0)
					response.Topics[0].Partitions[0].ErrorMessage = &message
					return response
				}}, nil
			})(b)
		})
		c.send(produceRequest("t", -1, nil), produceRequest("t", -1, nil))
		synctest.Wait() // the writer is stuck
		if err := broker.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestImpatientCloseEndsAShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g gate
		var broker *Broker
		c, _ := dialMemory(t, Options{}, func(b *Broker) {
			broker = b
			serveWith(produceKey, g.later)(b)
		})
		c.send(produceRequest("t", -1, nil))
		synctest.Wait()
		stopped := make(chan error, 1)
		go func() { stopped <- broker.Shutdown(t.Context()) }()
		synctest.Wait()
		if err := broker.Close(); err != nil {
			t.Error(err)
		}
		if err := <-stopped; err != nil {
			t.Error(err)
		}
	})
}

func TestRecordsSurviveARestart(t *testing.T) {
	for name, stop := range map[string]func(*Broker) error{
		"shutdown": func(b *Broker) error { return b.Shutdown(context.Background()) },
		"close":    (*Broker).Close,
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			b := startBroker(t, Options{DataDir: dir}, nil)
			createTopic(t, b, "t", 1)
			dial(t, b).ask(produceRequest("t", -1, batchOf(t, "a", "b")))
			clusterID := b.directory.clusterID
			if err := stop(b); err != nil {
				t.Fatal(err)
			}
			again := startBroker(t, Options{DataDir: dir}, nil)
			if !again.directory.clean {
				t.Error("the directory is not marked as cleanly closed")
			}
			if again.directory.clusterID != clusterID {
				t.Error("another cluster id")
			}
			if values, _ := fetched(t, dial(t, again).ask(fetchRequest("t", 0, 0))); len(values) != 2 {
				t.Errorf("fetched %q", values)
			}
		})
	}
}

func TestFailedStartHoldsNothing(t *testing.T) {
	fs := disk.NewMem()
	b, err := New(Options{InMemory: true, Listen: "127.0.0.1:0", fileSystem: fs, Config: map[string]string{"node.id": "7"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(b.Start(t.Context()), b.Close()); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second one would find the lock of the first
		b, err := New(Options{InMemory: true, Listen: "127.0.0.1:0", HTTP: "127.0.0.1:0", fileSystem: fs})
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "belongs to node.id 7, not to 1") {
			t.Errorf("start: %v", err)
		}
	}
}

func TestAnswersOfAKmsgKindAreChecked(t *testing.T) {
	// A handler that forgets to set the version of its answer is put right: clients would not understand it.
	b := startBroker(t, Options{}, serveWith(int16(kmsg.ListGroups), func(*Broker, *call, kmsg.Request) (reply, error) {
		return reply{response: kmsg.NewPtrListGroupsResponse()}, nil
	}))
	request := kmsg.NewPtrListGroupsRequest()
	request.SetVersion(4)
	dial(t, b).ask(request)
}
