package graph

import (
	"fmt"
	"slices"
)

// picture is a description as boxes and arrows, in one order, for the languages that draw them.
type picture struct {
	groups []group
	loose  []box // topics: they lie between the sub-topologies
	arrows []arrow
}

type group struct {
	id, label string
	boxes     []box
}

type box struct {
	id, label string
	shape     shape
}

type shape int

const (
	stepShape shape = iota
	storeShape
	topicShape
	internalShape // a topic of the application's own
)

type arrow struct {
	from, to, label string
	dotted          bool // between a step and a store, or to a topic of dead letters
}

// picture lays out the description. Boxes are called n0, n1, ... so that names need no escaping.
func (d Description) picture() picture {
	var p picture
	ids := map[string]string{}
	id := func(kind, name string) string {
		if ids[kind+name] == "" {
			ids[kind+name] = fmt.Sprintf("n%d", len(ids))
		}
		return ids[kind+name]
	}
	topic := func(name string) string {
		known := ids["topic"+name] != ""
		if described, ok := d.Topic(name); !known && ok && described.Internal {
			p.loose = append(p.loose, box{id("topic", name), name, internalShape})
		} else if !known {
			p.loose = append(p.loose, box{id("topic", name), name, topicShape})
		}
		return id("topic", name)
	}
	for at, s := range d.Subtopologies {
		g := group{id: fmt.Sprintf("s%d", at), label: s.Name + count(" (%d tasks)", s.Tasks)}
		for _, n := range s.Nodes {
			g.boxes = append(g.boxes, box{id("node", n.Name), n.title(), stepShape})
			p.arrows = append(p.arrows, n.arrows(id, topic)...)
		}
		for _, store := range s.Stores {
			g.boxes = append(g.boxes, box{id("store", store), store, storeShape})
		}
		p.groups = append(p.groups, g)
	}
	return p
}

func (n NodeDescription) arrows(id func(kind, name string) string, topic func(string) string) (arrows []arrow) {
	own := id("node", n.Name)
	for _, parent := range n.Parents {
		arrows = append(arrows, arrow{from: id("node", parent), to: own, label: n.Edge})
	}
	for _, name := range n.Topics {
		if n.Kind == Sink {
			arrows = append(arrows, arrow{from: own, to: topic(name)})
		} else {
			arrows = append(arrows, arrow{from: topic(name), to: own})
		}
	}
	for _, store := range n.Stores {
		arrows = append(arrows, arrow{from: own, to: id("store", store), dotted: true})
	}
	if n.DeadLetters != "" {
		arrows = append(arrows, arrow{from: own, to: topic(n.DeadLetters), label: "dead letters", dotted: true})
	}
	return arrows
}

// title is the node's name with what it does, where the name does not say that already.
func (n NodeDescription) title() string {
	if label := n.label(); label != n.Name && !slices.Contains([]Kind{Source, Sink}, Kind(label)) {
		return label + ": " + n.Name
	}
	return n.Name
}
