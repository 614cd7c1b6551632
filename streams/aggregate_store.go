package streams

import (
	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams/internal/engine"
	"github.com/millrace/millrace/streams/internal/graph"
)

// own notes the store of an operator, and reports whether it can have it: with codecs, and not that of another operator.
func own(t *Topology, store state.Store, windows string) bool {
	name := store.Spec().Name
	if t.owned[name] {
		t.fail(name, "two operators keep their results in this store: give each its own")
		return false
	}
	if !t.addStore(name, store, windows) {
		return false
	}
	if t.owned == nil {
		t.owned = map[string]bool{}
	}
	t.owned[name] = true
	return true
}

// addStore notes a store that a node has, and reports whether it is one. windows is what decides on its windows, "" for those who do
// not: a processor that uses the store of an operator need not know them, nor how long the operator keeps them.
func (t *Topology) addStore(node string, store state.Store, windows string) bool {
	if store == nil {
		t.fail(node, "one of its stores is nil: make it with state.NewKV, state.NewWindow or state.NewSession")
		return false
	}
	spec := store.Spec()
	if spec.Key == "" || spec.Value == "" {
		t.fail(spec.Name, "the store lacks the codec of its keys or of its values: give both to its constructor")
		return false
	}
	if t.specs == nil {
		t.specs = map[string]state.Spec{}
	}
	known, is := t.specs[spec.Name]
	if !is || windows != "" || !t.owned[spec.Name] && spec.RetentionMs > known.RetentionMs {
		t.specs[spec.Name] = spec
	}
	t.graph.AddStore(graph.Store{Name: spec.Name, Kind: spec.Kind.String(), Key: spec.Key, Value: spec.Value, Windows: windows})
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
	return p.site.Reject(p.node, engine.Policy{}, engine.Failed, err, m, nil)
}
