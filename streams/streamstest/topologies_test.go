package streamstest

import (
	"fmt"
	"iter"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams"
	"github.com/millrace/millrace/streams/serde"
)

// The topics of the topologies that are disturbed.
var (
	texts   = streams.NewTopic("texts", serde.String, serde.String)
	others  = streams.NewTopic("others", serde.String, serde.String)
	numbers = streams.NewTopic("numbers", serde.String, serde.Int64)
	byWord  = streams.NewTopic("by-word", serde.String, serde.String)
	out     = streams.NewTopic("out", serde.String, serde.String)
	sums    = streams.NewTopic("sums", serde.String, serde.Int64)
)

// order says in how far a topology's output depends on the order in which its tasks run.
type order int

const (
	exact  order = iota // not at all: each output partition is the same, record by record
	perKey              // the values of each key are the same, and in the same order
	final               // the last value of each key is the same
)

// subject is a topology that is run with and without disturbances.
type subject struct {
	name       string
	build      func(*streams.Topology)
	partitions map[string]int
	inputs     []string
	outputs    map[string]order
	stores     order // final: without the timestamps, which depend on the order
}

var subjects = []subject{
	{
		name: "stateless chain",
		build: func(t *streams.Topology) {
			s := streams.From(t, texts).Filter(func(_, v string) bool { return v != "c" })
			upper := streams.MapValues(s, strings.ToUpper)
			branches := streams.FlatMapValues(upper, letters).Branch(func(k, _ string) bool { return k < "k3" })
			branches[0].Merge(branches[1]).To(out)
		},
		partitions: map[string]int{"texts": 3, "out": 3},
		inputs:     []string{"texts"},
		outputs:    map[string]order{"out": exact},
	},
	{
		name:       "repartition and count, one writer",
		build:      wordCount,
		partitions: map[string]int{"texts": 1, "sums": 2},
		inputs:     []string{"texts"},
		outputs:    map[string]order{"sums": exact},
	},
	{
		name:       "repartition and count, several writers",
		build:      wordCount,
		partitions: map[string]int{"texts": 3, "sums": 2},
		inputs:     []string{"texts"},
		outputs:    map[string]order{"sums": perKey},
	},
	{
		name:       "table with subtractor, one writer",
		build:      tableSums,
		partitions: map[string]int{"numbers": 1, "sums": 2},
		inputs:     []string{"numbers"},
		outputs:    map[string]order{"sums": exact},
	},
	{
		name:       "table with subtractor, several writers",
		build:      tableSums,
		partitions: map[string]int{"numbers": 3, "sums": 2},
		inputs:     []string{"numbers"},
		outputs:    map[string]order{"sums": final},
		stores:     final,
	},
	{
		name: "stream-table join",
		build: func(t *streams.Topology) {
			table := streams.TableFrom(t, others, state.NewKV("others", serde.String, serde.String))
			streams.LeftJoin(streams.From(t, texts), table, func(v string, o *string) string {
				if o == nil {
					return v + " alone"
				}
				return v + " with " + *o
			}).To(out)
		},
		partitions: map[string]int{"texts": 2, "others": 2, "out": 2},
		inputs:     []string{"texts", "others"},
		outputs:    map[string]order{"out": exact},
	},
	{
		name: "process with stream timers",
		build: func(t *streams.Topology) {
			store := state.NewKV("pending", serde.String, serde.Int64)
			streams.Process(streams.From(t, texts), "collect", func() streams.Processor[string, string, string, int64] {
				return &collector{store: store}
			}, streams.ProcessOptions{Stores: []state.Store{store}}).To(sums)
		},
		partitions: map[string]int{"texts": 2, "sums": 2},
		inputs:     []string{"texts"},
		outputs:    map[string]order{"sums": exact},
	},
}

func letters(v string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for i, r := range v + v {
			if !yield(fmt.Sprintf("%c%d", r, i)) {
				return
			}
		}
	}
}

func wordCount(t *streams.Topology) {
	streams.GroupBy(streams.From(t, texts), byWord.WithPartitions(2), func(_, v string) string { return v }).
		Count(state.NewKV("counts", serde.String, serde.Int64)).ToStream().To(sums)
}

func tableSums(t *streams.Topology) {
	table := streams.TableFrom(t, numbers, state.NewKV("rows", serde.String, serde.Int64))
	groups := streams.NewTopic("groups", serde.String, serde.Int64).WithPartitions(2)
	add, subtract := func(_ string, v, sum int64) int64 { return sum + v }, func(_ string, v, sum int64) int64 { return sum - v }
	streams.AggregateTable(
		streams.GroupTable(table, groups, func(_ string, v int64) (string, int64) { return fmt.Sprint("group ", v%3), v }),
		state.NewKV("sums", serde.String, serde.Int64), func() int64 { return 0 }, add, subtract,
	).ToStream().To(sums)
}

// collector counts the records of each key and passes the counts on every ten seconds of stream time.
type collector struct {
	store state.KV[string, int64]
	kept  *state.KVStore[string, int64]
}

func (c *collector) Init(ctx *streams.Context[string, int64]) (err error) {
	if c.kept, err = streams.KVStore(ctx, c.store); err != nil {
		return err
	}
	ctx.Schedule(streams.StreamTime, 10*time.Second, func(ctx *streams.Context[string, int64], _ time.Time) error {
		for row, err := range c.kept.Range(nil, nil) {
			if err != nil {
				return err
			}
			if err := ctx.Forward(streams.Record[string, int64]{Key: row.Key, Value: row.Value}); err != nil {
				return err
			}
		}
		return nil
	})
	return nil
}

func (c *collector) Process(_ *streams.Context[string, int64], r streams.Record[string, string]) error {
	n, _, err := c.kept.Get(r.Key)
	if err != nil {
		return err
	}
	if r.NoValue {
		return c.kept.Delete(r.Key)
	}
	return c.kept.Put(r.Key, n+1)
}

// sent is a record of a test's input.
type sent struct {
	topic, key string
	value      string // or a number, where the topic has numbers; "" for a deletion
	number     int64
	at         time.Duration // since the start
}

// records draws what is sent in one round. Time goes on, with some records out of order.
func (s subject) records(t *rapid.T, round int) []sent {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) sent {
		return sent{
			topic:  rapid.SampledFrom(s.inputs).Draw(t, "topic"),
			key:    fmt.Sprint("k", rapid.IntRange(0, 5).Draw(t, "key")),
			value:  rapid.SampledFrom([]string{"a", "b", "c", "d", ""}).Draw(t, "value"),
			number: rapid.Int64Range(0, 8).Draw(t, "number"),
			at:     time.Duration(round*8+rapid.IntRange(0, 20).Draw(t, "second")) * time.Second,
		}
	}), 0, 40).Draw(t, "records")
}

func (s sent) send(d *Driver) {
	options := []SendOption{At(d.options.Start.Add(s.at))}
	if s.value == "" {
		options = append(options, NoValue())
	}
	if s.topic == numbers.Name() {
		Send(d, numbers, s.key, s.number, options...)
		return
	}
	topic := texts
	if s.topic == others.Name() {
		topic = others
	}
	Send(d, topic, s.key, s.value, options...)
}
