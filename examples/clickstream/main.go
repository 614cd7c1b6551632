// Command clickstream makes visits of a shop's clicks: what a visitor clicks without a break of half an hour is one visit.
// Clicks that come too late for their visit go to a topic of their own.
//
//	go run ./examples/clickstream
package main

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/millrace/millrace/examples/internal/stage"
	"github.com/millrace/millrace/internal/clicks"
	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams"
	"github.com/millrace/millrace/streams/serde"
	"github.com/millrace/millrace/windows"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Visit is what a visitor did without a break.
type Visit struct {
	Clicks int64 `json:"clicks"`
	Bought int64 `json:"bought"`
}

var (
	clicked = streams.NewTopic("clicks", serde.String, serde.JSON[clicks.Click]()) // by user
	visited = streams.NewTopic("visits", serde.Windowed(serde.String), serde.JSON[Visit]())
	tooLate = streams.NewTopic("clicks-late", serde.String, serde.JSON[clicks.Click]())
	store   = state.NewSession("visits", serde.String, serde.JSON[Visit]())

	session = windows.Sessions(30 * time.Minute).Grace(10 * time.Minute)
)

func topology() *streams.Topology {
	t := streams.NewTopology()
	sessions := streams.From(t, clicked).GroupByKey().Sessions(session).Emit(windows.OnClose)
	sessions.Late().To(tooLate)
	visits := streams.AggregateSessions(sessions, store, noVisit, addClick, mergeVisits)
	streams.WindowsToStream(visits).To(visited)
	return t
}

func noVisit() Visit { return Visit{} }

func addClick(_ string, c clicks.Click, v Visit) Visit {
	v.Clicks++
	if c.Action == "buy" {
		v.Bought++
	}
	return v
}

// mergeVisits makes one of two, when a click closes the gap between them.
func mergeVisits(_ string, a, b Visit) Visit {
	return Visit{Clicks: a.Clicks + b.Clicks, Bought: a.Bought + b.Bought}
}

func main() { stage.Main(example) }

var example = stage.Example{
	Name:  "clickstream",
	About: "Make visits of clicks with session windows; clicks that come too late are a stream of their own.",
	Count: 50_000,
	Run:   run,
}

func run(ctx context.Context, s *stage.Stage) error {
	if err := s.CreateTopics(ctx, 4, clicked.Name(), visited.Name(), tooLate.Name()); err != nil {
		return err
	}
	if err := s.Produce(ctx, records(s)); err != nil {
		return err
	}
	app, err := streams.New(topology(), streams.Config{App: "clickstream", Brokers: s.Brokers, StateDir: s.StateDir()})
	if err != nil {
		return err
	}
	want, err := visitsOf(s.All(ctx, clicked.Name()))
	if err != nil {
		return err
	}
	if err := stage.While(ctx, app.Run, func(ctx context.Context) error {
		return errors.Join(s.Await(ctx, visited.Name(), int64(len(want.visits))), s.Await(ctx, tooLate.Name(), int64(len(want.late))))
	}); err != nil {
		return err
	}
	return check(ctx, s, want)
}

const users = 400

// arriving is the order in which clicks arrive: one every two seconds, nearly in the order in which they happened, but for
// one in fifty, which comes up to three hours late.
func arriving(seed uint64) clicks.Stream {
	return clicks.Stream{Seed: seed, Users: users, Every: 2 * time.Second, Jitter: 20 * time.Second, LatePercent: 2, Delay: 3 * time.Hour}
}

// records are the clicks and, at the end, one of each visitor on another day: only that closes the last visits, because the
// time of a stream is that of its records.
func records(s *stage.Stage) iter.Seq2[*kgo.Record, error] {
	stream := arriving(s.Seed)
	return func(yield func(*kgo.Record, error) bool) {
		for id := range s.Count {
			if !yield(record(stream.Click(id))) {
				return
			}
		}
		for user := range users {
			if !yield(record(anotherDay(stream, s.Count, user))) {
				return
			}
		}
	}
}

func anotherDay(stream clicks.Stream, count int64, user int) clicks.Click {
	c := stream.Click(count + int64(user))
	c.User = clicks.User(user)
	c.TimeMs = clicks.FirstMs + count*stream.Every.Milliseconds() + (24 * time.Hour).Milliseconds()
	return c
}

func record(c clicks.Click) (*kgo.Record, error) {
	r, err := clicked.Record(c.User, c)
	if err == nil {
		r.Timestamp = c.Time()
	}
	return r, err
}
