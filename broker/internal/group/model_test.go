package group

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/millrace/millrace/log/record"
)

// TestGroupsKeepTheirPromises does random things to random groups and checks the invariants of the package after each.
func TestGroupsKeepTheirPromises(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		h := &harness{t: rt, config: defaultConfig()}
		h.config.InitialRebalanceDelayMs = int32(rapid.SampledFrom([]int{0, 3000}).Draw(rt, "delay"))
		h.config.MaxSize = int32(rapid.SampledFrom([]int{2, 100}).Draw(rt, "size"))
		h.config.OffsetsRetentionMs = 3_600_000
		h.start()
		rt.Repeat(map[string]func(*rapid.T){
			"join":      h.join,
			"rejoin":    h.rejoin,
			"sync":      h.sync,
			"heartbeat": h.heartbeat,
			"leave":     h.leave,
			"commit":    h.commit,
			"tick":      func(t *rapid.T) { h.tick(int64(rapid.IntRange(1, 20_000).Draw(t, "ms"))) },
			"long tick": func(t *rapid.T) { h.tick(int64(rapid.IntRange(1, 7_200_000).Draw(t, "ms"))) },
			"delete":    func(t *rapid.T) { h.state.Delete(h.group(t)) },
			"topic":     func(*rapid.T) { h.state.TopicDeleted(func(topic string) bool { return topic != "u" }) },
			"refuse":    func(t *rapid.T) { h.refuse = rapid.Bool().Draw(t, "refuse") },
			"restart":   func(*rapid.T) { h.restart() },
			"crash":     h.crash,
			"in txn":    h.commitInTransaction,
			"end":       h.end,
			"delete offset": func(t *rapid.T) {
				h.state.DeleteOffsets(h.group(t), []TopicPartition{h.partition(t), h.partition(t)})
			},
			"": h.check,
		})
		h.refuse = false
		h.tick(h.longestWaitMs())
		if len(h.waiting) > 0 {
			rt.Fatalf("one answer: %v still wait after all deadlines", h.waiting)
		}
	})
}

// harness does things to a State and knows what it was told.
type harness struct {
	t           *rapid.T
	config      Config
	state       *State
	nowMs       int64
	records     []logged
	epochs      map[int64]int16 // newest of each producer that the log has seen
	refuse      bool
	last        Ticket
	waiting     map[Ticket]string
	known       []identity
	generations map[string]int32 // highest that anybody was told, by group
}

// identity is what a client remembers of itself.
type identity struct {
	group, member, instance string
	generation              int32
	leader                  bool
}

func (h *harness) start() {
	h.waiting = make(map[Ticket]string)
	h.generations = make(map[string]int32)
	h.epochs = make(map[int64]int16)
	h.state = h.replayed()
}

// replayed is a new State out of the records so far.
func (h *harness) replayed() *State {
	s := New(h.config, Environment{
		Append: h.append, AppendTransactional: h.appendTransactional, AppendMarker: h.appendMarker, Reply: h.reply,
	}, slog.New(slog.DiscardHandler))
	for _, r := range h.records {
		if err := r.replay(s); err != nil {
			h.t.Fatal(err)
		}
	}
	s.Advance(h.nowMs, h.nowMs)
	return s
}

func (h *harness) restart() {
	h.state = h.replayed()
	h.state.Loaded()
	clear(h.waiting)
	// A generation that was never assigned may come again, with other members.
	clear(h.generations)
}

func (h *harness) append(_ int64, records []record.Record) error {
	if h.refuse {
		return errors.New("refused")
	}
	for _, r := range records {
		h.records = append(h.records, logged{record: r, producerID: noTransaction})
	}
	return nil
}

func (h *harness) reply(to Ticket, answer any) {
	what, ok := h.waiting[to]
	if !ok {
		h.t.Fatalf("one answer: ticket %d was answered before: %+v", to, answer)
	}
	delete(h.waiting, to)
	if a, ok := answer.(JoinAnswer); ok && a.MemberID != "" && (a.Code == None || a.Code == MemberIDRequired) {
		h.joined(what, a)
	}
}

// joined checks the end of a join and remembers who it was.
func (h *harness) joined(groupID string, a JoinAnswer) {
	i := identity{group: groupID, member: a.MemberID, generation: a.Generation, leader: a.Leader == a.MemberID}
	if a.Code == None {
		if a.Generation < h.generations[groupID] {
			h.t.Fatalf("monotone generation: %s went from %d to %d", groupID, h.generations[groupID], a.Generation)
		}
		h.generations[groupID] = a.Generation
		if i.leader && len(a.Members) == 0 {
			h.t.Fatalf("the leader %s of %s was told of no members", a.MemberID, groupID)
		}
		if !i.leader && len(a.Members) > 0 {
			h.t.Fatalf("one leader: the follower %s of %s was told of members", a.MemberID, groupID)
		}
	}
	h.known = append(h.known, i)
}

func (h *harness) group(t *rapid.T) string {
	return rapid.SampledFrom([]string{"g", "h"}).Draw(t, "group")
}

func (h *harness) partition(t *rapid.T) TopicPartition {
	return TopicPartition{rapid.SampledFrom([]string{"t", "u"}).Draw(t, "topic"), 0}
}

func (h *harness) ticket(groupID string) Ticket {
	h.last++
	h.waiting[h.last] = groupID
	return h.last
}

// request draws the part of a join that does not depend on who joins.
func (h *harness) request(t *rapid.T, groupID string) JoinRequest {
	protocols := rapid.SampledFrom([][]Protocol{
		{{"range", subscription("t")}},
		{{"range", subscription("t")}, {"sticky", subscription("t")}},
		{{"sticky", subscription("u")}, {"range", subscription("u")}},
		{{"range", []byte("broken")}, {"range", nil}},
		{{"other", nil}},
	}).Draw(t, "protocols")
	return JoinRequest{
		Group:              groupID,
		ClientID:           "c",
		RandomID:           fmt.Sprint(h.last),
		SessionTimeoutMs:   int32(rapid.SampledFrom([]int{6_000, 30_000, 1_800_000}).Draw(t, "session")),
		RebalanceTimeoutMs: int32(rapid.SampledFrom([]int{-5, 0, 5_000, 60_000}).Draw(t, "rebalance")),
		ProtocolType:       rapid.SampledFrom([]string{"consumer", "consumer", "consumer", "connect"}).Draw(t, "type"),
		Protocols:          protocols,
		RequireMemberID:    rapid.Bool().Draw(t, "v4"),
		SkipAssignment:     rapid.Bool().Draw(t, "v9"),
	}
}

func (h *harness) join(t *rapid.T) {
	groupID := h.group(t)
	to := h.ticket(groupID)
	r := h.request(t, groupID)
	r.InstanceID = rapid.SampledFrom([]string{"", "", "i", "j"}).Draw(t, "instance")
	h.state.Join(to, r)
}

// someone draws a member that exists, existed, or never did.
func (h *harness) someone(t *rapid.T) identity {
	if len(h.known) == 0 {
		return identity{group: h.group(t), member: "ghost"}
	}
	recent := h.known[max(0, len(h.known)-8):]
	i := recent[rapid.IntRange(0, len(recent)-1).Draw(t, "member")]
	i.instance = rapid.SampledFrom([]string{"", "", "i"}).Draw(t, "instance")
	return i
}

func (h *harness) rejoin(t *rapid.T) {
	i := h.someone(t)
	to := h.ticket(i.group)
	r := h.request(t, i.group)
	r.MemberID, r.InstanceID = i.member, i.instance
	h.state.Join(to, r)
}

func (h *harness) sync(t *rapid.T) {
	i := h.someone(t)
	before := len(h.records)
	g := h.state.groups[i.group]
	mayAssign := g != nil && g.phase == CompletingRebalance && g.leader == i.member && g.generation == i.generation
	h.state.Sync(h.ticket(i.group), SyncRequest{
		Group: i.group, MemberID: i.member, InstanceID: i.instance, Generation: i.generation,
		Assignments: []Assignment{{i.member, fmt.Append(nil, i.generation)}},
	})
	if len(h.records) > before && !mayAssign {
		t.Fatalf("current assignment: one was taken from %+v", i)
	}
}

func (h *harness) heartbeat(t *rapid.T) {
	i := h.someone(t)
	code := h.state.Heartbeat(i.group, i.member, i.instance, i.generation)
	g := h.state.groups[i.group]
	if code == None && (g == nil || g.member(i.member) == nil || g.generation != i.generation) {
		t.Fatalf("a heartbeat of %+v was taken", i)
	}
}

func (h *harness) leave(t *rapid.T) {
	i := h.someone(t)
	h.state.Leave(i.group, []Leaver{{MemberID: i.member, InstanceID: i.instance}, {InstanceID: "j"}})
}

func (h *harness) commit(t *rapid.T) {
	i := h.someone(t)
	if rapid.Bool().Draw(t, "simple") {
		i = identity{group: i.group, generation: -1}
	}
	offset := rapid.Int64Range(0, 100).Draw(t, "offset")
	partition := h.partition(t)
	code, codes := h.state.Commit(CommitRequest{
		Group: i.group, MemberID: i.member, InstanceID: i.instance, Generation: i.generation, RetentionMs: -1,
		Offsets: []CommitOffset{{TopicPartition: partition, Offset: offset}},
	})
	o, _ := h.state.Offset(i.group, partition)
	if code == None && codes[0] == None && o.Offset != offset {
		t.Fatalf("committed %d, there is %+v", offset, o)
	}
}

// tick lets time pass, stopping at every deadline.
func (h *harness) tick(ms int64) {
	end := h.nowMs + ms
	for h.nowMs < end {
		h.nowMs = min(max(h.state.Deadline(), h.nowMs+1), end)
		h.state.Advance(h.nowMs, h.nowMs)
	}
}

// longestWaitMs is longer than anything can wait: the longest session, the wait of a new member, and the rebalances
// that follow.
func (h *harness) longestWaitMs() int64 { return 4 * (1_800_000 + newMemberJoinTimeoutMs) }

// check looks at the state from the inside.
func (h *harness) check(t *rapid.T) {
	for id, g := range h.state.groups {
		switch {
		case g.phase == Empty && (len(g.members) > 0 || g.leader != "" && g.stored):
			t.Fatalf("%s is empty with members %v, leader %q", id, g.members, g.leader)
		case g.phase != Empty && len(g.members) == 0 && len(g.pending) == 0:
			t.Fatalf("%s is %s without members", id, g.phase)
		case len(g.members) > 0 && g.member(g.leader) == nil:
			t.Fatalf("one leader: %q leads %s and is no member", g.leader, id)
		case g.phase == PreparingRebalance && g.joinTimer.position < 0:
			t.Fatalf("one answer: the barrier of %s has no deadline", id)
		case g.phase == CompletingRebalance && g.syncTimer.position < 0:
			t.Fatalf("one answer: the assignment of %s has no deadline", id)
		}
		offered := make(map[string]int)
		for _, m := range g.members {
			h.checkMember(t, g, m)
			for _, p := range m.protocols {
				offered[p.Name]++
			}
		}
		if !maps.Equal(offered, g.offered) {
			t.Fatalf("%s counts protocols as %v, they are %v", id, g.offered, offered)
		}
	}
	for id := range h.generations {
		if h.state.groups[id] == nil {
			delete(h.generations, id) // one of the same name begins anew
		}
	}
	h.checkReplay(t)
	h.checkOffsets(t)
}

func (h *harness) checkMember(t *rapid.T, g *group, m *member) {
	if m.join != 0 && g.phase != PreparingRebalance {
		t.Fatalf("%s waits to join %s, which is %s", m.id, g.id, g.phase)
	}
	if m.sync != 0 && g.phase != CompletingRebalance {
		t.Fatalf("%s waits for its assignment from %s, which is %s", m.id, g.id, g.phase)
	}
	if m.session.position < 0 && m.join == 0 && m.sync == 0 {
		t.Fatalf("%s of %s never expires", m.id, g.id)
	}
	if m.instanceID != "" && g.static[m.instanceID] != m {
		t.Fatalf("%s of %s is not the one with instance %s", m.id, g.id, m.instanceID)
	}
}

// checkReplay compares what a restart would find with what is there: all offsets, and the groups that are stable or
// empty, which have been written last as they are.
func (h *harness) checkReplay(t *rapid.T) {
	restarted := h.replayed()
	for _, id := range []string{"g", "h"} {
		if a, b := h.state.Committed(id), restarted.Committed(id); !slices.Equal(a, b) {
			t.Fatalf("restart is replay: %s has offsets %v, after a restart %v", id, a, b)
		}
		for _, p := range h.state.Committed(id) {
			a, _ := h.state.Offset(id, p)
			b, _ := restarted.Offset(id, p)
			if a != b {
				t.Fatalf("restart is replay: %s %v is %+v, after a restart %+v", id, p, a, b)
			}
		}
		g := h.state.groups[id]
		if g == nil || g.phase != Stable {
			continue
		}
		r := restarted.groups[id]
		if r == nil || r.phase != Stable || r.generation != g.generation || r.leader != g.leader || len(r.members) != len(g.members) {
			t.Fatalf("restart is replay: %+v is after a restart %+v", g, r)
		}
		for i, m := range g.members {
			if r.members[i].id != m.id || string(r.members[i].assignment) != string(m.assignment) {
				t.Fatalf("restart is replay: member %+v is after a restart %+v", m, r.members[i])
			}
		}
	}
}

// TestAbsentStaticMembersDoNotSpin: their rebalance timeout may be anything, and nobody comes to end the join phase.
func TestAbsentStaticMembersDoNotSpin(t *testing.T) {
	w := newWorld(defaultConfig())
	for _, line := range []string{
		"set delay=0s",
		"join g as=a instance=i1 rebalance=1ms session=30s",
		"join g as=b instance=i2 rebalance=1ms session=30s",
		"join g as=a member=i1-1 instance=i1 rebalance=1ms session=30s",
		"sync g as=a member=i1-1 instance=i1 generation=2",
		"sync g as=b member=i2-1 instance=i2 generation=2",
		"leave g /i2",
	} {
		w.Run(t, line)
	}
	if d, _ := w.state.Describe("g"); d.Phase != PreparingRebalance {
		t.Fatalf("the group is %s:\n%s", d.Phase, w.output.String())
	}
	wakes := 0
	for end := w.nowMs + 10_000; w.nowMs < end; wakes++ {
		w.nowMs = max(w.state.Deadline(), w.nowMs+1)
		w.state.Advance(w.nowMs, w.nowMs)
	}
	if wakes > 20 {
		t.Errorf("woken %d times in 10s", wakes)
	}
}
