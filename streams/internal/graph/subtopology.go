package graph

import "slices"

// Subtopology is the part of a topology that runs without the network in between: what edges, stores or a topic that is read
// twice hold together. A task is a sub-topology for one partition.
type Subtopology struct {
	Name    string   // its first store, else its first source topic: it stays when something else is inserted
	Nodes   []*Node  // in the order of definition, as all of these
	Stores  []*Store // local to its tasks
	Sources []string // topics that it reads
	Sinks   []string // topics that it writes
}

// Subtopologies cuts the topology at its internal topics. They are in the order of their first nodes.
func (t *Topology) Subtopologies() []*Subtopology {
	together := newSets()
	for _, n := range t.Nodes {
		together.add("node " + n.Name)
		for _, parent := range n.Parents {
			together.join("node "+n.Name, "node "+parent.Name)
		}
		for _, store := range n.Stores {
			together.join("node "+n.Name, "store "+store)
		}
		if n.Kind == Source {
			for _, topic := range n.Topics {
				together.join("node "+n.Name, "topic "+topic)
			}
		}
	}
	var all []*Subtopology
	of := map[string]*Subtopology{}
	for _, n := range t.Nodes {
		root := together.root("node " + n.Name)
		if of[root] == nil {
			of[root] = &Subtopology{}
			all = append(all, of[root])
		}
		of[root].add(t, n)
	}
	for _, s := range all {
		s.Name = s.name()
	}
	return all
}

// Ends returns the nodes that have none behind them.
func (s *Subtopology) Ends() (ends []*Node) {
	for _, n := range s.Nodes {
		if !slices.ContainsFunc(s.Nodes, func(other *Node) bool { return slices.Contains(other.Parents, n) }) {
			ends = append(ends, n)
		}
	}
	return ends
}

func (s *Subtopology) add(t *Topology, n *Node) {
	s.Nodes = append(s.Nodes, n)
	for _, name := range n.Stores {
		if store := t.Store(name); store != nil && !slices.Contains(s.Stores, store) {
			s.Stores = append(s.Stores, store)
		}
	}
	switch n.Kind {
	case Source:
		s.Sources = appendNew(s.Sources, n.Topics...)
	case Sink:
		s.Sinks = appendNew(s.Sinks, n.Topics...)
	}
}

func (s *Subtopology) name() string {
	switch {
	case len(s.Stores) > 0:
		return s.Stores[0].Name
	case len(s.Sources) > 0:
		return s.Sources[0]
	}
	return s.Nodes[0].Name // a mistake that Check finds
}

// Tasks is how many tasks the sub-topology has: the most partitions that one of its sources has.
func (s *Subtopology) Tasks(partitions map[string]int) int {
	most := 0
	for _, topic := range s.Sources {
		most = max(most, partitions[topic])
	}
	return most
}

func appendNew(list []string, more ...string) []string {
	for _, one := range more {
		if !slices.Contains(list, one) {
			list = append(list, one)
		}
	}
	return list
}
