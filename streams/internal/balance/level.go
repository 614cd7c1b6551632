package balance

// level moves tasks from the members that have the most over all sub-topologies to those that have the least, where no
// sub-topology gets out of balance by it. Each move makes the sum of squares of the loads smaller, so it ends.
func (a *assignment) level() {
	for a.levelOnce() {
	}
}

// levelOnce makes the cheapest move between the two members that are furthest apart and have one.
func (a *assignment) levelOnce() bool {
	best := move{}
	for from := range a.members {
		for to := range a.members {
			if a.load[from]-a.load[to] < 2 || best.part != nil && a.load[from]-a.load[to] <= best.gain {
				continue
			}
			if m := a.cheapest(from, to); m.part != nil {
				best = m
			}
		}
	}
	if best.part == nil {
		return false
	}
	best.part.give(a, best.task, best.to)
	return true
}

// move is a task that another member could have.
type move struct {
	part     *part
	task, to int
	gain     int   // by how many tasks the two members differ
	cost     int64 // what has to be restored, and whether somebody has to give up the task at all
}

// cheapest returns the task that costs least to move between two members; its part is nil if there is none.
func (a *assignment) cheapest(from, to int) (best move) {
	for _, p := range a.parts {
		if p.count[from] <= p.count[to] || !a.members[to].knows(p.variant) {
			continue
		}
		for task, owner := range p.to {
			if owner != from {
				continue
			}
			m := move{part: p, task: task, to: to, gain: a.load[from] - a.load[to], cost: p.cost(a, task, from, to)}
			if best.part == nil || m.cost < best.cost {
				best = m
			}
		}
	}
	return best
}

// cost of a move: less than nothing for a task that its new member had before, more where it has to be given up or restored.
func (p *part) cost(a *assignment, task, from, to int) int64 {
	cost := 2 * max(0, p.stored(a, task, from)-p.stored(a, task, to))
	switch p.owner[task] {
	case to:
		return -1
	case from:
		cost++
	}
	return cost
}
