package balance

import "slices"

// Member is one process of an application, as it described itself when it joined.
type Member struct {
	ID       string
	Variants []Variant      // sub-topologies that it can run
	Owned    []Input        // partitions that it has now
	Stored   map[Task]int64 // of tasks whose state it has on its disk: the sum of the changelog offsets that are in it
}

func (m Member) knows(v Variant) bool {
	return slices.ContainsFunc(m.Variants, func(own Variant) bool { return own.key() == v.key() })
}

// Plan is which partitions each member is to have, by its id. Every member is in it.
type Plan map[string][]Input
