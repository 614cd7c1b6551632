package streams_test

import (
	"testing"

	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams"
	"github.com/millrace/millrace/streams/serde"
	"github.com/millrace/millrace/streams/streamstest"
)

var (
	orders = streams.NewTopic("orders", serde.String, serde.String)
	rich   = streams.NewTopic("orders-enriched", serde.String, serde.String)
)

func TestJoinTakesTheRowAsItIsWhenTheRecordComes(t *testing.T) {
	top := streams.NewTopology()
	streams.Join(streams.From(top, orders), userTable(top), func(order, city string) string { return order + " to " + city }).To(rich)

	d := streamstest.New(t, top, streamstest.Options{})
	send(d, orders, "ann=early@1")
	send(d, users, "ann=rome@2")
	send(d, orders, "ann=tea@3", "bob=tea@4")
	send(d, users, "ann=bonn@5", "bob=oslo@6")
	send(d, orders, "ann=ink@5", "bob=ink@7")
	send(d, users, "ann=-@8")
	send(d, orders, "ann=late@9", "-=ghost@9", "ann=-@9", "-=-@9")
	expect(t, d, rich, "ann=tea to rome@3", "ann=ink to bonn@5", "bob=ink to oslo@7")
	expectDropped(t, d, "op-1", "null_key", 2)
	expectDropped(t, d, "op-1", "null_value", 1)
}

func TestLeftJoinKeepsRecordsWithoutARow(t *testing.T) {
	top := streams.NewTopology()
	streams.LeftJoin(streams.From(top, orders), userTable(top), func(order string, city *string) string {
		if city == nil {
			return order + " to nowhere"
		}
		return order + " to " + *city
	}).To(rich)

	d := streamstest.New(t, top, streamstest.Options{})
	send(d, users, "ann=rome@1")
	send(d, orders, "ann=tea@2", "bob=tea@3", "-=ghost@4", "ann=-@5")
	expect(t, d, rich, "ann=tea to rome@2", "bob=tea to nowhere@3", "-=ghost to nowhere@4")
	expectDropped(t, d, "op-1", "null_value", 1)
}

func TestJoinWithADerivedTable(t *testing.T) {
	top := streams.NewTopology()
	cities := userTable(top).Filter(func(_, city string) bool { return city != "rome" })
	lengths := streams.MapTableValues(cities, func(city string) int { return len(city) })
	streams.Join(streams.From(top, orders), lengths, func(order string, n int) string { return order + "......"[:n] }).To(rich)

	d := streamstest.New(t, top, streamstest.Options{})
	send(d, users, "ann=rome@1", "bob=oslo@2", "eve=berlin@3")
	send(d, orders, "ann=tea@4", "bob=tea@5", "eve=tea@6", "joe=tea@7")
	expect(t, d, rich, "bob=tea....@5", "eve=tea......@6")
}

func TestJoinWithAnAggregate(t *testing.T) {
	top := streams.NewTopology()
	s := streams.From(top, orders)
	soFar := s.GroupByKey().Count(state.NewKV("orders-so-far", serde.String, serde.Int64))
	streams.Join(s, soFar, func(order string, n int64) string { return order + "###"[:n] }).To(rich)

	d := streamstest.New(t, top, streamstest.Options{Partitions: map[string]int{"orders": 3, "orders-enriched": 1}})
	send(d, orders, "ann=tea@4", "bob=tea@5", "ann=ink@6")
	if got := streamstest.Latest(d, rich); got["ann"] != "ink##" || got["bob"] != "tea#" {
		t.Errorf("got %v", got)
	}
}
