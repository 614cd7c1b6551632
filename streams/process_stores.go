package streams

import (
	"fmt"
	"slices"

	"github.com/millrace/millrace/state"
)

// Stores is a Context, of whatever it forwards, as KVStore, WindowStore and SessionStore take it.
type Stores interface {
	storesOf(store string) (*state.DB, error)
}

func (c *Context[K, V]) storesOf(store string) (*state.DB, error) {
	if !slices.Contains(c.stores, store) {
		return nil, fmt.Errorf("node %s: store %s is not in its ProcessOptions.Stores", c.node.Name, store)
	}
	return c.site.DB(), nil
}

// KVStore returns a store of the task. It belongs to the processor's goroutine.
func KVStore[K, V any](ctx Stores, store state.KV[K, V]) (*state.KVStore[K, V], error) {
	db, err := ctx.storesOf(store.Name())
	if err != nil {
		return nil, err
	}
	return state.OpenKV(db, store)
}

// WindowStore returns a store of the task, as KVStore does.
func WindowStore[K, V any](ctx Stores, store state.Window[K, V]) (*state.WindowStore[K, V], error) {
	db, err := ctx.storesOf(store.Name())
	if err != nil {
		return nil, err
	}
	return state.OpenWindow(db, store)
}

// SessionStore returns a store of the task, as KVStore does.
func SessionStore[K, V any](ctx Stores, store state.Session[K, V]) (*state.SessionStore[K, V], error) {
	db, err := ctx.storesOf(store.Name())
	if err != nil {
		return nil, err
	}
	return state.OpenSession(db, store)
}
