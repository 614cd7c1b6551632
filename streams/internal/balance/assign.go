package balance

import (
	"cmp"
	"slices"
)

// Assign distributes tasks: all inputs of a task go to one member that knows its sub-topology, and the counts of two such
// members differ by one at most, for each sub-topology and, as far as all of them know the same, in sum. Under these rules a
// task stays where it is; one that nobody has goes to who has the most of its state, else to who has least to do. The members'
// order makes no difference.
func Assign(members []Member, partitions map[string]int32) Plan {
	a := newAssignment(members, partitions)
	for _, part := range a.parts {
		part.keep(a)
	}
	for _, part := range a.parts {
		part.place(a)
	}
	a.level()
	return a.plan()
}

// assignment is the state of Assign. Members and tasks are numbers: places in sorted lists.
type assignment struct {
	members    []Member
	partitions map[string]int32
	parts      []*part
	load       []int // tasks of each member, over all parts
}

// part is the tasks of one sub-topology.
type part struct {
	variant  Variant
	eligible []int // members that know it
	owner    []int // of each task before
	to       []int // of each task in the plan; none while nobody has it
	count    []int // tasks of each member in the plan
}

const none = -1

func newAssignment(members []Member, partitions map[string]int32) *assignment {
	members = slices.SortedFunc(slices.Values(members), func(a, b Member) int { return cmp.Compare(a.ID, b.ID) })
	a := &assignment{members: members, partitions: partitions, load: make([]int, len(members))}
	owners := map[Input]int{}
	for at, m := range members {
		for _, input := range m.Owned {
			if _, claimed := owners[input]; !claimed {
				owners[input] = at
			}
		}
	}
	for _, v := range choose(members) {
		p := &part{variant: v, count: make([]int, len(members))}
		for at, m := range members {
			if m.knows(v) {
				p.eligible = append(p.eligible, at)
			}
		}
		for task := range v.tasks(partitions) {
			p.owner = append(p.owner, ownerOf(v.inputs(task, partitions), owners))
			p.to = append(p.to, none)
		}
		a.parts = append(a.parts, p)
	}
	return a
}

// ownerOf returns the member that has the first of a task's inputs that anybody has.
func ownerOf(inputs []Input, owners map[Input]int) int {
	for _, input := range inputs {
		if owner, owned := owners[input]; owned {
			return owner
		}
	}
	return none
}

// keep leaves tasks where they are up to each member's share. Shares differ by one at most; the larger ones go to those who
// have the most already, so that as few tasks as possible move.
func (p *part) keep(a *assignment) {
	owned := make([]int, len(a.members))
	for _, owner := range p.owner {
		if owner != none {
			owned[owner]++
		}
	}
	share := p.shares(owned)
	for _, task := range p.byClaim(a) {
		if owner := p.owner[task]; owner != none && p.count[owner] < share[owner] {
			p.give(a, task, owner)
		}
	}
}

func (p *part) shares(owned []int) (share []int) {
	share = make([]int, len(p.count))
	order := slices.SortedStableFunc(slices.Values(p.eligible), func(a, b int) int { return owned[b] - owned[a] })
	for at, member := range order {
		share[member] = len(p.owner) / len(order)
		if at < len(p.owner)%len(order) {
			share[member]++
		}
	}
	return share
}

// byClaim orders the tasks by what is lost when they move: those of whose state their owner is furthest ahead of all others come
// first.
func (p *part) byClaim(a *assignment) []int {
	lead := make([]int64, len(p.owner))
	for task, owner := range p.owner {
		if owner == none {
			continue
		}
		best := int64(0)
		for _, member := range p.eligible {
			if member != owner {
				best = max(best, p.stored(a, task, member))
			}
		}
		lead[task] = p.stored(a, task, owner) - best
	}
	order := make([]int, len(p.owner))
	for task := range order {
		order[task] = task
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(lead[b], lead[a]) })
	return order
}

// stored is how much of a task's state a member has.
func (p *part) stored(a *assignment, task, member int) int64 {
	return a.members[member].Stored[Task{p.variant.Name, int32(task)}]
}

func (p *part) give(a *assignment, task, member int) {
	if from := p.to[task]; from != none {
		p.count[from]--
		a.load[from]--
	}
	p.to[task] = member
	p.count[member]++
	a.load[member]++
}

// place gives away the tasks that nobody kept.
func (p *part) place(a *assignment) {
	floor := len(p.to) / len(p.eligible)
	for task, to := range p.to {
		if to == none {
			if member := p.mostStored(a, task, floor); member != none {
				p.give(a, task, member)
			}
		}
	}
	for task, to := range p.to {
		if to == none {
			p.give(a, task, p.leastLoaded(a))
		}
	}
}

// mostStored returns who has the most of a task's state and room for it, none if nobody has any.
func (p *part) mostStored(a *assignment, task, floor int) int {
	most, best := int64(0), none
	for _, member := range p.eligible {
		if stored := p.stored(a, task, member); stored > most && p.hasRoom(member, floor) {
			most, best = stored, member
		}
	}
	return best
}

// hasRoom reports whether one task more leaves all counts within one of each other, once all tasks are placed.
func (p *part) hasRoom(member, floor int) bool {
	if p.count[member] < floor {
		return true
	}
	above := 0 // members that have one more than floor
	for _, other := range p.eligible {
		above += max(0, p.count[other]-floor)
	}
	return p.count[member] == floor && above < len(p.to)%len(p.eligible)
}

func (p *part) leastLoaded(a *assignment) int {
	return slices.MinFunc(p.eligible, func(x, y int) int {
		return cmp.Or(p.count[x]-p.count[y], a.load[x]-a.load[y], x-y)
	})
}

func (a *assignment) plan() Plan {
	plan := Plan{}
	for _, m := range a.members {
		plan[m.ID] = nil
	}
	for _, p := range a.parts {
		for task, to := range p.to {
			id := a.members[to].ID
			plan[id] = append(plan[id], p.variant.inputs(int32(task), a.partitions)...)
		}
	}
	return plan
}
