package balance

import "slices"

// Cooperate takes out of a plan the tasks that move and that their present owner still has: it gives them up when it sees this
// plan, joins again, and then they are free for their new one. A task moves as a whole.
func Cooperate(plan Plan, members []Member, partitions map[string]int32) Plan {
	owners := map[Input][]string{} // more than one after a member has missed a rebalance
	for _, m := range members {
		for _, input := range m.Owned {
			owners[input] = append(owners[input], m.ID)
		}
	}
	whole := tasksOf(members, partitions)
	first := Plan{}
	for member, inputs := range plan {
		first[member] = nil
		held := map[Task]bool{}
		for _, input := range inputs {
			if slices.ContainsFunc(owners[input], func(owner string) bool { return owner != member }) {
				held[whole[input]] = true
			}
		}
		for _, input := range inputs {
			if !held[whole[input]] {
				first[member] = append(first[member], input)
			}
		}
	}
	return first
}

// tasksOf returns the task to which each input belongs.
func tasksOf(members []Member, partitions map[string]int32) map[Input]Task {
	tasks := map[Input]Task{}
	for _, v := range choose(members) {
		for task := range v.tasks(partitions) {
			for _, input := range v.inputs(task, partitions) {
				tasks[input] = Task{v.Name, task}
			}
		}
	}
	return tasks
}
