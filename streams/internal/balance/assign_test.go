package balance

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// cluster is an application whose members come and go.
type cluster struct {
	variants   []Variant
	partitions map[string]int32
	members    []Member
}

func drawCluster(t *rapid.T) cluster {
	c := cluster{partitions: map[string]int32{}}
	for i := range rapid.IntRange(1, 4).Draw(t, "sub-topologies") {
		v := Variant{Name: fmt.Sprintf("part-%d", i), Hash: "1"}
		for j := range rapid.IntRange(1, 3).Draw(t, "topics") {
			topic := fmt.Sprintf("topic-%d-%d", i, j)
			v.Sources = append(v.Sources, topic)
			c.partitions[topic] = rapid.Int32Range(1, 9).Draw(t, "partitions")
		}
		c.variants = append(c.variants, v)
	}
	for i := range rapid.IntRange(1, 6).Draw(t, "members") {
		c.members = append(c.members, Member{ID: fmt.Sprintf("m%d", i), Variants: c.variants, Stored: c.drawStored(t)})
	}
	return c
}

func (c *cluster) drawStored(t *rapid.T) map[Task]int64 {
	stored := map[Task]int64{}
	for range rapid.IntRange(0, 6).Draw(t, "tasks on disk") {
		v := rapid.SampledFrom(c.variants).Draw(t, "of")
		stored[Task{v.Name, rapid.Int32Range(0, 9).Draw(t, "task")}] = rapid.Int64Range(0, 5).Draw(t, "stored")
	}
	return stored
}

// roundsMax is how many rounds a rebalance may take. What a member gives up changes what is best for the others: of 30,000 histories
// some took five.
const roundsMax = 10

// rebalance assigns in rounds until every member has what it is meant to have, as members that cooperate do: each gives up what the plan
// does not leave it, and joins again.
func (c *cluster) rebalance(t *rapid.T) {
	for round := 0; ; round++ {
		final := Assign(c.members, c.partitions)
		c.checkWhole(t, final)
		plan := Cooperate(final, c.members, c.partitions)
		before := map[Input]string{}
		for _, m := range c.members {
			for _, input := range m.Owned {
				before[input] = m.ID
			}
		}
		settled := true
		for at, m := range c.members {
			for _, input := range plan[m.ID] {
				if owner := before[input]; owner != "" && owner != m.ID {
					t.Fatalf("%v goes to %s while %s has it", input, m.ID, owner)
				}
			}
			settled = settled && len(plan[m.ID]) == len(m.Owned)
			c.members[at].Owned = plan[m.ID]
		}
		if settled && reflect.DeepEqual(plan, final) {
			return
		}
		if round == roundsMax {
			t.Fatalf("no end after %d rounds", round)
		}
	}
}

// checkWhole checks that each input has one member and that those of a task have the same.
func (c *cluster) checkWhole(t *rapid.T, plan Plan) {
	owner := map[Input]string{}
	for member, inputs := range plan {
		for _, input := range inputs {
			if other, owned := owner[input]; owned {
				t.Fatalf("%v goes to %s and to %s", input, other, member)
			}
			owner[input] = member
		}
	}
	all := 0
	for _, v := range c.variants {
		for task := range v.tasks(c.partitions) {
			inputs := v.inputs(task, c.partitions)
			all += len(inputs)
			for _, input := range inputs {
				if owner[input] == "" || owner[input] != owner[inputs[0]] {
					t.Fatalf("%v goes to %q, %v to %q", input, owner[input], inputs[0], owner[inputs[0]])
				}
			}
		}
	}
	if all != len(owner) {
		t.Fatalf("%d inputs were assigned, there are %d", len(owner), all)
	}
}

// counts returns the tasks that each member has, of each variant and, under "", of all.
func (c *cluster) counts() map[string][]int {
	counts := map[string][]int{}
	for _, v := range c.variants {
		for _, m := range c.members {
			n := 0
			for task := range v.tasks(c.partitions) {
				if slices.Contains(m.Owned, v.inputs(task, c.partitions)[0]) {
					n++
				}
			}
			counts[v.Name] = append(counts[v.Name], n)
		}
		for at, n := range counts[v.Name] {
			if counts[""] == nil {
				counts[""] = make([]int, len(c.members))
			}
			counts[""][at] += n
		}
	}
	return counts
}

func TestAnyHistoryEndsBalanced(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := drawCluster(t)
		for step := range rapid.IntRange(1, 5).Draw(t, "steps") {
			c.rebalance(t)
			for name, counts := range c.counts() {
				if slices.Max(counts)-slices.Min(counts) > 1 {
					t.Fatalf("tasks of %q: %v", name, counts)
				}
			}
			held := c.holdings()
			if c.rebalance(t); !maps.Equal(held, c.holdings()) {
				t.Fatalf("tasks move although nothing has changed: %v, then %v", held, c.holdings())
			}
			if len(c.members) > 1 && rapid.Bool().Draw(t, "leaves") {
				at := rapid.IntRange(0, len(c.members)-1).Draw(t, "who")
				c.members = slices.Delete(c.members, at, at+1)
			} else {
				c.members = append(c.members, Member{ID: fmt.Sprintf("n%d", step), Variants: c.variants, Stored: c.drawStored(t)})
			}
		}
	})
}

func (c *cluster) holdings() map[Input]string {
	held := map[Input]string{}
	for _, m := range c.members {
		for _, input := range m.Owned {
			held[input] = m.ID
		}
	}
	return held
}

// moved is how many inputs another member has than before, without those that nobody had.
func moved(before, after map[Input]string, without string) (n int) {
	for input, owner := range before {
		if owner != without && after[input] != owner {
			n++
		}
	}
	return n
}

func TestNoMoreMovesThanNeeded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tasks := rapid.Int32Range(1, 20).Draw(t, "tasks")
		c := cluster{variants: []Variant{{Name: "a", Hash: "1", Sources: []string{"a"}}}, partitions: map[string]int32{"a": tasks}}
		for i := range rapid.IntRange(1, 6).Draw(t, "members") {
			c.members = append(c.members, Member{ID: fmt.Sprintf("m%d", i), Variants: c.variants, Stored: c.drawStored(t)})
		}
		c.rebalance(t)
		before := c.holdings()
		c.members = append(c.members, Member{ID: "new", Variants: c.variants, Stored: c.drawStored(t)})
		c.rebalance(t)
		joined := c.holdings()
		if n, most := moved(before, joined, ""), int(tasks)/len(c.members); n != most {
			t.Fatalf("%d tasks move to one that joins, its share is %d", n, most)
		}
		at := rapid.IntRange(0, len(c.members)-1).Draw(t, "leaves")
		gone := c.members[at].ID
		c.members = slices.Delete(c.members, at, at+1)
		c.rebalance(t)
		if n := moved(joined, c.holdings(), gone); n != 0 {
			t.Fatalf("%d tasks of members that stay move when %s leaves", n, gone)
		}
	})
}

func TestTheOrderOfMembersMakesNoDifference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := drawCluster(t)
		want := Assign(c.members, c.partitions)
		shuffled := slices.Clone(c.members)
		seed := rapid.Uint64().Draw(t, "seed")
		rand.New(rand.NewPCG(seed, 0)).Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		if got := Assign(shuffled, c.partitions); !reflect.DeepEqual(got, want) {
			t.Fatalf("%v, in another order %v", want, got)
		}
	})
}

func two(stored map[Task]int64) (members []Member, partitions map[string]int32) {
	variants := []Variant{{Name: "a", Hash: "1", Sources: []string{"left", "right"}}}
	return []Member{{ID: "x", Variants: variants}, {ID: "y", Variants: variants, Stored: stored}}, map[string]int32{"left": 2, "right": 2}
}

func TestATaskGoesWhereItsStateIs(t *testing.T) {
	for _, task := range []int32{0, 1} {
		members, partitions := two(map[Task]int64{{"a", task}: 7})
		if got, want := Assign(members, partitions)["y"], []Input{{"left", task}, {"right", task}}; !reflect.DeepEqual(got, want) {
			t.Errorf("y has the state of task %d and gets %v", task, got)
		}
	}
}

func TestAnOwnerGivesUpWhatTheOtherHasStateOf(t *testing.T) {
	members, partitions := two(map[Task]int64{{"a", 0}: 7})
	members[0].Owned = []Input{{"left", 0}, {"left", 1}, {"right", 0}, {"right", 1}}
	members[0].Stored = map[Task]int64{{"a", 0}: 8, {"a", 1}: 8}
	plan := Assign(members, partitions)
	if got, want := plan["y"], []Input{{"left", 0}, {"right", 0}}; !reflect.DeepEqual(got, want) {
		t.Errorf("y is to get %v, want %v", got, want)
	}
	first := Cooperate(plan, members, partitions)
	if len(first["y"]) != 0 || !reflect.DeepEqual(first["x"], []Input{{"left", 1}, {"right", 1}}) {
		t.Errorf("while x has all: %v", first)
	}
}

func TestMembersGetOnlyWhatTheyKnow(t *testing.T) {
	old := Variant{Name: "a", Hash: "old", Sources: []string{"t"}}
	both := Variant{Name: "b", Hash: "1", Sources: []string{"u"}}
	changed := Variant{Name: "a", Hash: "new", Sources: []string{"t"}}
	added := Variant{Name: "c", Hash: "1", Sources: []string{"v"}}
	partitions := map[string]int32{"t": 2, "u": 2, "v": 2}
	members := []Member{{ID: "x", Variants: []Variant{old, both}}, {ID: "y", Variants: []Variant{changed, both, added}},
		{ID: "z", Variants: []Variant{changed, both, added}}}
	plan := Assign(members, partitions)
	for _, input := range plan["x"] {
		if input.Topic != "u" {
			t.Errorf("x gets %v, most run another version of it", input)
		}
	}
	if n := len(plan["y"]) + len(plan["z"]) + len(plan["x"]); n != 6 {
		t.Errorf("%d inputs are assigned: %v", n, plan)
	}
}

func TestATaskThatTwoClaimIsGivenUpByBoth(t *testing.T) {
	members, partitions := two(nil)
	members[1].Owned = []Input{{"left", 0}, {"right", 0}, {"left", 1}, {"right", 1}}
	members[0].Owned = members[1].Owned[2:]
	want := Plan{"x": nil, "y": {{"left", 0}, {"right", 0}}}
	for _, members := range [][]Member{members, {members[1], members[0]}} {
		if first := Cooperate(Assign(members, partitions), members, partitions); !reflect.DeepEqual(first, want) {
			t.Errorf("%v, want %v", first, want)
		}
	}
}
