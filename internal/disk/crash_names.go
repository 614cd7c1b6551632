package disk

import "maps"

// nameHistory is what a directory looks like on the medium, and the changes since. Guarded by Mem.names.
type nameHistory struct {
	crashes *crashes
	durable map[string]*node
	changes []nameChange // oldest first
}

// nameChange removes one name, adds one, or both at once, which is a rename.
type nameChange struct {
	removed  string // "": none
	added    string // "": none
	node     *node  // of added
	sequence uint64
}

func newNameHistory(c *crashes, durable map[string]*node) *nameHistory {
	if durable == nil {
		durable = map[string]*node{}
	}
	return &nameHistory{crashes: c, durable: durable}
}

// track returns the history of a directory, nil if there is none to keep.
func (c *crashes) track(directory *node) *nameHistory {
	if c == nil {
		return nil
	}
	return directory.names
}

func (h *nameHistory) changed(change nameChange) {
	if h == nil {
		return
	}
	change.sequence = h.crashes.sequence.Add(1)
	h.changes = append(h.changes, change)
}

func (h *nameHistory) sync() {
	if h == nil {
		return
	}
	for _, change := range h.changes {
		change.apply(h.durable)
	}
	h.changes = nil
}

func (n nameChange) apply(names map[string]*node) {
	if n.removed != "" {
		delete(names, n.removed)
	}
	if n.added != "" {
		names[n.added] = n.node
	}
}

// survive returns the names that a crash leaves of a directory that live is the present state of.
func (h *nameHistory) survive(s *survivor, live map[string]*node) map[string]*node {
	if s.Names == SurvivesEverything {
		return live
	}
	names := maps.Clone(h.durable)
	for _, change := range h.changes {
		if s.Names == SurvivesPrefix && change.sequence <= s.cut ||
			s.Names == SurvivesSome && s.random.IntN(2) == 0 {
			change.apply(names)
		}
	}
	return names
}
