package graph

// sets are disjoint sets of names that can be joined.
type sets map[string]string // to another name of the same set; to itself for the one that stands for the set

func newSets() sets { return sets{} }

func (s sets) add(name string) {
	if _, known := s[name]; !known {
		s[name] = name
	}
}

// root returns the name that stands for the set in which name is.
func (s sets) root(name string) string {
	s.add(name)
	for s[name] != name {
		name = s[name]
	}
	return name
}

func (s sets) join(a, b string) { s[s.root(b)] = s.root(a) }
