package streams

import (
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams/internal/engine"
	"github.com/millrace/millrace/streams/internal/graph"
)

// Topology is the description of an application: which topics it reads, what becomes of their records, and where results go. It
// is described by one goroutine and does not change once it runs; it may run several times. The zero Topology is an empty one.
type Topology struct {
	graph    graph.Topology
	sources  []*source
	specs    map[string]state.Spec
	owned    map[string]bool // stores that operators keep their results in
	fromEnd  []string        // topics
	mistakes []error
	checks   []func() error // of what only the finished description shows
	numbered int
}

// source is where records of some topics come in.
type source struct {
	topics []string
	build  func(*build) (map[string]engine.Input, error) // by topic
}

// NewTopology returns an empty description.
func NewTopology() *Topology { return &Topology{} }

// Err returns all mistakes of the description, joined, each with the node or the store that it is about; nil without any. What
// needs a cluster to be seen, such as missing topics, is not among them.
func (t *Topology) Err() error {
	mistakes := slices.Clone(t.mistakes)
	for _, check := range t.checks {
		mistakes = append(mistakes, check())
	}
	return errors.Join(append(mistakes, t.graph.Check())...)
}

// Compile makes a topology ready to run. Its result is for streamstest; a program calls Run or New.
func Compile(t *Topology) (*engine.Program, error) {
	if t == nil {
		return nil, errors.New("topology: it is nil: describe one that NewTopology returns")
	}
	if err := t.Err(); err != nil {
		return nil, fmt.Errorf("topology: %w", err)
	}
	program := &engine.Program{Graph: &t.graph, FromEnd: t.fromEnd}
	for _, described := range t.graph.Subtopologies() {
		sub := &engine.Subtopology{Subtopology: described, Graph: &t.graph}
		for _, store := range described.Stores {
			sub.Stores = append(sub.Stores, t.specs[store.Name])
		}
		sub.Build = func(site *engine.Site) (map[string]engine.Input, error) { return t.build(site, described) }
		program.Subtopologies = append(program.Subtopologies, sub)
	}
	return program, nil
}

// build makes the operators of one task.
func (t *Topology) build(site *engine.Site, sub *graph.Subtopology) (map[string]engine.Input, error) {
	b := &build{site: site, topology: t, made: map[any]any{}}
	inputs := map[string]engine.Input{}
	for _, s := range t.sources {
		if !slices.Contains(sub.Sources, s.topics[0]) {
			continue
		}
		built, err := s.build(b)
		if err != nil {
			return nil, err
		}
		for topic, input := range built {
			inputs[topic] = both(inputs[topic], input)
		}
	}
	return inputs, nil
}

// fail notes a mistake. node may be of a store too.
func (t *Topology) fail(node, format string, args ...any) {
	t.mistakes = append(t.mistakes, fmt.Errorf("node %s: %w", node, fmt.Errorf(format, args...)))
}

// node adds a node. Without a name it gets the next one of the kind op-1, op-2, ...
func (t *Topology) node(n graph.Node) *graph.Node {
	if n.Name == "" {
		t.numbered++
		n.Name = fmt.Sprintf("op-%d", t.numbered)
	}
	return t.graph.Add(&n)
}

// argument is a function that an operator was given, by the name that the operator has for it.
type argument struct {
	name     string
	function any
}

// needs notes the mistake of functions that are nil.
func (t *Topology) needs(node *graph.Node, given ...argument) {
	for _, one := range given {
		if reflect.ValueOf(one.function).IsNil() {
			t.fail(node.Name, "%s: the argument %s is nil: give it a function", node.Operator, one.name)
		}
	}
}

// named notes the mistake of a node whose name errors and counters cannot have.
func (t *Topology) named(operator, name string) {
	if name == "" {
		t.fail(operator, "it has no name: errors and counters need one")
	} else if err := graph.CheckName(name); err != nil {
		t.fail(name, "%s: %w", operator, err)
	}
}

// follow returns a policy as the engine has it, and notes a mistake of it.
func (t *Topology) follow(node string, policy Policy) engine.Policy {
	if policy.mistake != nil {
		t.fail(node, "%w", policy.mistake)
	}
	return policy.engine
}

// free returns name, with a number behind it if a node has that name.
func (t *Topology) free(name string) string {
	for n, one := 2, name; ; n++ {
		if t.graph.Node(one) == nil {
			return one
		}
		one = fmt.Sprintf("%s-%d", name, n)
	}
}
