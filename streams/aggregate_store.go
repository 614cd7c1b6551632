package streams

import (
	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams/internal/engine"
)

// owned describes a store that an operator keeps its results in.
type owned[K, V any] interface {
	state.Store
	Name() string
	KeyCodec() state.Codec[K]
	ValueCodec() state.Codec[V]
}

// own notes the store of an operator, and reports whether it can have it: with codecs, and not that of another operator.
func own[K, V any](t *Topology, store owned[K, V], windows string) bool {
	switch {
	case store.KeyCodec() == nil || store.ValueCodec() == nil:
		t.fail(store.Name(), "the store lacks the codec of its keys or of its values: give both to its constructor")
		return false
	case t.owned[store.Name()]:
		t.fail(store.Name(), "two operators keep their results in this store: give each its own")
		return false
	}
	t.owned[store.Name()] = true
	t.addStore(store, windows)
	return true
}

// storeNode returns the name of the node that owns a store: the store's, unless a topic that is read or written is called so too.
func storeNode(t *Topology, store string) string {
	if t.graph.Node(store) == nil {
		return store
	}
	return t.free(store + "-store")
}

// place is an operator in a task.
type place struct {
	site *engine.Site
	node *engine.Node
}

// failed is what an operator returns when it could not use its store: the record is to blame, unless the disk is.
func (p place) failed(err error, m *engine.Meta) error {
	return p.site.Reject(p.node, engine.Policy{}, engine.Failed, err, m)
}
