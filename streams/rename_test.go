package streams_test

import (
	"fmt"
	"testing"

	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams"
	"github.com/millrace/millrace/streams/serde"
)

// lineTally counts lines in several stores.
type lineTally struct {
	of     []state.KV[string, int64]
	stores []*state.KVStore[string, int64]
}

func (c *lineTally) Init(ctx *streams.Context[string, int64]) error {
	for _, d := range c.of {
		store, err := streams.KVStore(ctx, d)
		if err != nil {
			return err
		}
		c.stores = append(c.stores, store)
	}
	return nil
}

func (c *lineTally) Process(ctx *streams.Context[string, int64], r streams.Record[string, string]) error {
	for _, store := range c.stores {
		entry, err := store.Edit(r.Value)
		if err != nil {
			return err
		}
		entry.Set(entry.Value+1, r.Timestamp.UnixMilli())
	}
	return nil
}

// A store under another name begins empty, and leaves those beside it as they are: also when the task is named after it.
func TestAStoreUnderAnotherNameBeginsEmpty(t *testing.T) {
	for at, name := range []string{"the first store", "the second store"} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t)
			c.wordTopics(1)
			stateDir := t.TempDir()
			run := func(renamed string) *running {
				stores := []state.KV[string, int64]{state.NewKV("kept", serde.String, serde.Int64), state.NewKV("kept", serde.String, serde.Int64)}
				stores[at] = state.NewKV(renamed, serde.String, serde.Int64)
				topology := streams.NewTopology()
				streams.Process(streams.From(topology, lines), "count", func() streams.Processor[string, string, string, int64] {
					return &lineTally{of: stores}
				}, streams.ProcessOptions{Stores: []state.Store{stores[0], stores[1]}}).To(counts)
				return c.run(topology, streams.Config{StateDir: stateDir})
			}
			c.sendWords(1, 3, 0, 30)
			app := run("old")
			counted := func(app *running, name string, want int64) {
				c.eventually(fmt.Sprintf("%d in %s", want, name), func() bool {
					n, _, err := streams.Get(t.Context(), app.App, state.NewKV(name, serde.String, serde.Int64), "word-2")
					return err == nil && n == want
				})
			}
			counted(app, "old", 10)
			counted(app, "kept", 10)
			app.mustStop()
			app = run("new")
			counted(app, "kept", 10)
			if n, found, err := streams.Get(t.Context(), app.App, state.NewKV("new", serde.String, serde.Int64), "word-2"); found || err != nil {
				t.Errorf("it begins with %d, %v", n, err)
			}
			c.sendWords(1, 3, 30, 60)
			counted(app, "kept", 20)
			counted(app, "new", 10)
			app.mustStop()
			if topics, err := c.admin.ListTopics(t.Context(), "app-old-changelog"); err != nil || topics.Error() != nil {
				t.Errorf("the old changelog: %v, %v", err, topics.Error())
			}
		})
	}
}
