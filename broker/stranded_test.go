package broker

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/internal/memnet"
)

func TestOnlyAClientThatAsksAndDoesNotComeBackIsStranded(t *testing.T) {
	type step struct {
		afterMs int64
		host    hostConnections
		works   bool // the client sends something else instead
	}
	alone, two, again := hostConnections{1, 1}, hostConnections{2, 2}, hostConnections{1, 2}
	for name, test := range map[string]struct {
		steps []step
		want  int // the step that finds it, from 0; -1: none
	}{
		"asks on":                     {[]step{{0, alone, false}, {7000, alone, false}, {7000, alone, false}, {7000, alone, false}, {7000, alone, false}}, 3},
		"asks too seldom to tell":     {[]step{{0, alone, false}, {300_000, alone, false}, {300_000, alone, false}}, -1},
		"asks often for a moment":     {[]step{{0, alone, false}, {100, alone, false}, {100, alone, false}, {100, alone, false}, {100, alone, false}}, -1},
		"comes back":                  {[]step{{0, alone, false}, {9000, two, false}, {9000, two, false}, {9000, two, false}, {9000, two, false}}, -1},
		"came back and left":          {[]step{{0, alone, false}, {9000, again, false}, {9000, again, false}, {9000, again, false}, {9000, again, false}}, -1},
		"uses the first connection":   {[]step{{0, alone, false}, {0, alone, true}, {9000, alone, false}, {9000, alone, false}, {9000, alone, false}, {9000, alone, false}}, -1},
		"works before it asks":        {[]step{{0, alone, true}, {9000, alone, false}, {9000, alone, false}, {9000, alone, false}, {9000, alone, false}}, -1},
		"shares its host with others": {[]step{{0, two, false}, {9000, two, false}, {9000, two, false}, {9000, two, false}, {9000, two, false}}, -1},
	} {
		var w strandedWatch
		found, now := -1, time.UnixMilli(0)
		for i, s := range test.steps {
			now = now.Add(time.Duration(s.afterMs) * time.Millisecond)
			if s.works {
				w.works()
			} else if w.answered(now, s.host) {
				if found >= 0 {
					t.Errorf("%s: found twice", name)
				}
				found = i
			}
		}
		if found != test.want {
			t.Errorf("%s: found at step %d, want %d", name, found, test.want)
		}
	}
}

func TestAClientThatLeavesWithoutHavingComeBackWasStranded(t *testing.T) {
	alone, two, again := hostConnections{1, 1}, hostConnections{2, 2}, hostConnections{1, 2}
	for name, test := range map[string]struct {
		answers int
		works   bool
		stays   time.Duration
		host    hostConnections // when it leaves
		want    bool
	}{
		"asks once and waits":      {1, false, time.Minute, alone, true},
		"asks once and leaves":     {1, false, time.Second, alone, false},
		"never asks":               {0, false, time.Minute, alone, false},
		"works":                    {1, true, time.Minute, alone, false},
		"comes back":               {1, false, time.Minute, two, false},
		"came back and left":       {1, false, time.Minute, again, false},
		"was told of, as it asked": {strandedAnswersMin, false, time.Minute, alone, false},
	} {
		var w strandedWatch
		now := time.UnixMilli(0)
		for range test.answers {
			w.answered(now, alone)
			now = now.Add(test.stays)
		}
		if test.works {
			w.works()
		}
		if got := w.left(now, test.host); got != test.want {
			t.Errorf("%s: %t, want %t", name, got, test.want)
		}
	}
}

// lockedLines is a log that the test reads while the broker writes.
type lockedLines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lockedLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lockedLines) count(part string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), part)
}

func TestAStrandedClientIsToldOfInOneLine(t *testing.T) {
	const told = "told=nowhere.example:9092"
	for name, test := range map[string]struct {
		change func(*kmsg.MetadataRequest)
		asks   int
		leaves bool
		again  bool // opens another connection
		want   int
	}{
		"named topics":  {func(*kmsg.MetadataRequest) {}, 20, true, false, 1},
		"asks once":     {func(*kmsg.MetadataRequest) {}, 1, true, false, 1},
		"stays":         {func(*kmsg.MetadataRequest) {}, 1, false, false, 0},
		"came back":     {func(*kmsg.MetadataRequest) {}, 20, true, true, 0},
		"all topics":    {func(r *kmsg.MetadataRequest) { r.Topics = nil }, 20, true, false, 0},
		"missing topic": {func(r *kmsg.MetadataRequest) { r.Topics[0].Topic = kmsg.StringPtr("missing") }, 20, true, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				network := memnet.New()
				listener, err := network.Listen("10.0.0.1:9092")
				if err != nil {
					t.Fatal(err)
				}
				var lines lockedLines
				b := startBroker(t, Options{Listener: listener, Logger: slog.New(slog.NewTextHandler(&lines, nil)),
					Config: map[string]string{"advertised.listeners": "PLAINTEXT://nowhere.example:9092"}}, nil)
				createTopic(t, b, "t", 1)
				connect := func() *client {
					conn, err := network.Dial(t.Context(), "tcp", "10.0.0.1:9092")
					if err != nil {
						t.Fatal(err)
					}
					return newClient(t, conn)
				}
				c := connect()
				c.ask(apiVersionsRequest(3))
				for range test.asks {
					r := kmsg.NewPtrMetadataRequest()
					r.Version = 9
					topic := kmsg.NewMetadataRequestTopic()
					topic.Topic = kmsg.StringPtr("t")
					r.Topics = append(r.Topics, topic)
					test.change(r)
					c.ask(r)
					if test.again {
						connect().ask(apiVersionsRequest(3))
						test.again = false
					}
					time.Sleep(3 * time.Second)
				}
				time.Sleep(strandedMin)
				if test.leaves {
					_ = c.conn.Close()
				}
				synctest.Wait()
				if got := lines.count(told); got != test.want {
					t.Errorf("%d lines, want %d:\n%s", got, test.want, lines.text.String())
				}
				_ = b.Close()
				if got := lines.count(told); got != test.want {
					t.Errorf("%d lines after the broker's end, want %d:\n%s", got, test.want, lines.text.String())
				}
			})
		})
	}
}
