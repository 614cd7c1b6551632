package streams_test

import (
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams"
	"github.com/millrace/millrace/streams/serde"
	"github.com/millrace/millrace/streams/streamstest"
	"github.com/millrace/millrace/windows"
)

// The code of docs/streams/windows-and-time.md.

type view struct {
	Page string    `json:"page"`
	At   time.Time `json:"at"`
}

var (
	pageViews = streams.NewTopic("views", serde.String, serde.JSON[view]())
	tooLateTo = streams.NewTopic("views-too-late", serde.String, serde.JSON[view]())
	perMinute = streams.NewTopic("views-per-minute", serde.Windowed(serde.String), serde.Int64)
	visitTo   = streams.NewTopic("visits", serde.Windowed(serde.String), serde.Int64)
)

func viewsPerMinute() *streams.Topology {
	t := streams.NewTopology()
	views := streams.From(t, pageViews,
		streams.TimestampBy(func(_ string, v view) time.Time { return v.At }))
	minutes := views.GroupByKey().
		Window(windows.Tumbling(time.Minute).Grace(30 * time.Second)).
		Emit(windows.OnClose)
	minutes.Late().To(tooLateTo)
	streams.WindowsToStream(
		minutes.Count(state.NewWindow("views-per-minute", serde.String, serde.Int64)),
	).To(perMinute)
	return t
}

// Views of one page, of which the third comes late and the fifth too late.
func ExampleGrouped_Window() {
	d := streamstest.New(exampleTB{}, viewsPerMinute(), streamstest.Options{})
	defer d.Stop()

	morning := time.Date(2026, 1, 1, 10, 0, 0, 0, time.UTC)
	for _, second := range []int{5, 70, 55, 95, 50} {
		streamstest.Send(d, pageViews, "home", view{Page: "home", At: morning.Add(time.Duration(second) * time.Second)})
	}
	d.Drain()

	for _, r := range streamstest.Read(d, perMinute) {
		fmt.Println(r.Key, r.Value)
	}
	for _, r := range streamstest.Read(d, tooLateTo) {
		fmt.Println("too late:", r.Value.At.Format("15:04:05"))
	}
	// Output:
	// home@2026-01-01T10:00:00.000Z/2026-01-01T10:01:00.000Z 2
	// too late: 10:00:50
}

func visits() *streams.Topology {
	t := streams.NewTopology()
	streams.WindowsToStream(
		streams.From(t, pageViews).GroupByKey().
			Sessions(windows.Sessions(30 * time.Minute).Grace(time.Minute)).
			Emit(windows.OnClose).
			Count(state.NewSession("visits", serde.String, serde.Int64)),
	).To(visitTo)
	return t
}

func ExampleGrouped_Sessions() {
	d := streamstest.New(exampleTB{}, visits(), streamstest.Options{})
	defer d.Stop()

	morning := time.Date(2026, 1, 1, 10, 0, 0, 0, time.UTC)
	for _, minute := range []int{0, 10, 35, 120} {
		streamstest.Send(d, pageViews, "anna", view{}, streamstest.At(morning.Add(time.Duration(minute)*time.Minute)))
	}
	d.Drain()
	for _, r := range streamstest.Read(d, visitTo) {
		fmt.Println(r.Key, r.Value)
	}
	// Output:
	// anna@2026-01-01T10:00:00.000Z/2026-01-01T10:35:00.000Z 3
}

// Windows that close although nothing comes, and clocks that are ahead.
func Example_silence() {
	t := streams.NewTopology()
	counted := streams.From(t, pageViews).GroupByKey().
		Window(windows.Tumbling(time.Minute).
			Idle(10 * time.Second).     // nothing for 10 s: time goes on
			MaxAhead(5 * time.Minute)). // from the future: not believed
		Emit(windows.OnClose)
	counted.Late().To(tooLateTo)
	streams.WindowsToStream(
		counted.Count(state.NewWindow("views-per-minute", serde.String, serde.Int64)),
	).To(perMinute)

	d := streamstest.New(exampleTB{}, t, streamstest.Options{})
	defer d.Stop()
	streamstest.Send(d, pageViews, "home", view{}, streamstest.At(d.Now()))
	streamstest.Send(d, pageViews, "home", view{}, streamstest.At(d.Now().AddDate(73, 0, 0)))
	d.Drain()
	fmt.Println("closed:", len(streamstest.Read(d, perMinute)), "refused:", len(streamstest.Read(d, tooLateTo)))
	d.Advance(time.Minute)
	fmt.Println("closed:", len(streamstest.Read(d, perMinute)))
	// Output:
	// closed: 0 refused: 1
	// closed: 1
}

// exampleTB is a test for examples, which have none of their own.
type exampleTB struct{ testing.TB }

func (exampleTB) Helper()           {}
func (exampleTB) Cleanup(func())    {}
func (exampleTB) Output() io.Writer { return io.Discard }
func (exampleTB) Fatalf(format string, args ...any) {
	panic(fmt.Sprintf(format, args...))
}
