package streams_test

import (
	"fmt"
	"strings"
	"time"

	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams"
	"github.com/millrace/millrace/streams/serde"
	"github.com/millrace/millrace/windows"
)

func ExampleGroupBy() {
	var (
		lines      = streams.NewTopic("lines", serde.String, serde.String)
		byWord     = streams.NewTopic("words-by-word", serde.String, serde.String) // repartition topic
		wordCounts = streams.NewTopic("word-counts", serde.String, serde.Int64)
	)
	t := streams.NewTopology()
	words := streams.FlatMapValues(streams.From(t, lines), strings.FieldsSeq)
	streams.GroupBy(words, byWord, func(_, word string) string { return word }).
		Count(state.NewKV("word-counts", serde.String, serde.Int64)).
		ToStream().To(wordCounts)
	fmt.Println(t.Err())
	// Output: <nil>
}

type pageView struct{ Page, User string }

func ExampleWindowed_Late() {
	var (
		views    = streams.NewTopic("page-views", serde.String, serde.JSON[pageView]())
		late     = streams.NewTopic("page-views-late", serde.String, serde.JSON[pageView]())
		views5m  = streams.NewTopic("page-views-5m", serde.Windowed(serde.String), serde.Int64)
		perPage  = state.NewWindow("views-5m", serde.String, serde.Int64)
		fiveMins = windows.Tumbling(5 * time.Minute).Grace(time.Minute)
	)
	t := streams.NewTopology()
	w := streams.From(t, views).
		Filter(func(_ string, v pageView) bool { return v.Page != "" }).
		GroupByKey().
		Window(fiveMins).
		Emit(windows.OnClose)
	w.Late().To(late)
	streams.WindowsToStream(w.Count(perPage)).To(views5m)
	fmt.Println(t.Err())
	// Output: <nil>
}

type (
	order    struct{ Cents int64 }
	user     struct{ Tier string }
	enriched struct {
		order
		Tier string
	}
)

func ExampleLeftJoin() {
	var (
		orders = streams.NewTopic("orders", serde.String, serde.JSON[order]())
		users  = streams.NewTopic("users", serde.String, serde.JSON[user]())
		rich   = streams.NewTopic("orders-enriched", serde.String, serde.JSON[enriched]())
	)
	t := streams.NewTopology()
	table := streams.TableFrom(t, users, state.NewKV("users", serde.String, serde.JSON[user]()))
	streams.LeftJoin(streams.From(t, orders), table, func(o order, u *user) enriched {
		if u == nil {
			return enriched{o, "none"}
		}
		return enriched{o, u.Tier}
	}).To(rich)
	fmt.Println(t.Err())
	// Output: <nil>
}

func ExampleAggregateSessions() {
	orders := streams.NewTopic("orders", serde.String, serde.JSON[order]())
	t := streams.NewTopology()
	w := streams.From(t, orders).GroupByKey().
		Sessions(windows.Sessions(30 * time.Minute).Grace(time.Minute))
	streams.AggregateSessions(w, state.NewSession("spent", serde.String, serde.Int64),
		func() int64 { return 0 },
		func(_ string, o order, spent int64) int64 { return spent + o.Cents },
		func(_ string, a, b int64) int64 { return a + b })
	fmt.Println(t.Err())
	// Output: <nil>
}
