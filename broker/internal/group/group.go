package group

import (
	"bytes"
	"slices"
)

// Phase is where a group is in its life.
type Phase int8

// The phases, with Kafka's names.
const (
	Empty               Phase = iota // no members; maybe offsets
	PreparingRebalance               // members are asked to join again
	CompletingRebalance              // all have joined; the leader's assignment is awaited
	Stable                           // all have their assignment
)

// String is the name that clients see.
func (p Phase) String() string {
	return [...]string{"Empty", "PreparingRebalance", "CompletingRebalance", "Stable"}[p]
}

// consumerProtocolType is the protocol type whose subscriptions the coordinator can read.
const consumerProtocolType = "consumer"

// group is one group. A simple group, which only keeps offsets, is an empty one without a protocol type.
type group struct {
	id             string
	phase          Phase
	initial        bool  // the rebalance being prepared began from Empty: only the clock ends it
	newMemberAdded bool  // since the initial delay was last extended
	delayMs        int64 // the part of the initial delay that is running
	remainingMs    int64 // how much further the initial delay may be extended
	stored         bool  // a metadata record of this group is in the log
	generation     int32
	protocolType   string // "" while no member ever joined
	protocol       string // "" while none is chosen
	leader         string // member id, "" for none
	stateSinceMs   int64  // wall clock, -1 unknown
	members        []*member
	offered        map[string]int      // how many members offer a protocol
	static         map[string]*member  // by instance id
	pending        map[string]*timer   // ids given out and not joined yet (KIP-394)
	pendingSync    map[string]struct{} // joined this generation and not synced yet
	subscribed     map[string]struct{} // topics; nil if the coordinator cannot tell
	offsets        offsets             // committed
	unstable       map[int64]offsets   // of open transactions, by producer id; nil for none
	joinTimer      *timer
	syncTimer      *timer
	rebalances     [Reasons]uint64 // since the broker started
	commits        uint64          // offsets committed since then
}

// member is one member of a group.
type member struct {
	id                 string
	instanceID         string // group.instance.id, "" for a dynamic member
	clientID           string
	clientHost         string
	sessionTimeoutMs   int32
	rebalanceTimeoutMs int32
	protocols          []Protocol
	assignment         []byte
	isNew              bool   // has not got its first join answer
	join               Ticket // waits for the join barrier
	sync               Ticket // waits for the leader's assignment
	session            *timer
}

// Protocol is an assignment strategy that a member offers, with the metadata it would bring. The bytes are relayed
// untouched and must not change any more.
type Protocol struct {
	Name     string
	Metadata []byte
}

func (g *group) member(id string) *member {
	for _, m := range g.members {
		if m.id == id {
			return m
		}
	}
	return nil
}

// check says whether a request may speak for a member.
func (g *group) check(memberID, instanceID string) (*member, Code) {
	if instanceID != "" {
		m := g.static[instanceID]
		if m == nil {
			return nil, UnknownMemberID
		}
		if m.id != memberID {
			return nil, FencedInstanceID
		}
		return m, None
	}
	m := g.member(memberID)
	if m == nil {
		return nil, UnknownMemberID
	}
	return m, None
}

// add makes m a member. The caller has checked that the group supports its protocols.
func (g *group) add(m *member, protocolType string, protocols []Protocol) {
	if len(g.members) == 0 {
		g.protocolType = protocolType
	}
	if g.leader == "" {
		g.leader = m.id
	}
	g.members = append(g.members, m)
	g.setProtocols(m, protocols)
	if m.instanceID != "" {
		if g.static == nil {
			g.static = make(map[string]*member)
		}
		g.static[m.instanceID] = m
	}
}

// drop takes m out of the group and hands leadership on.
func (g *group) drop(m *member) {
	g.setProtocols(m, nil)
	g.members = slices.DeleteFunc(g.members, func(other *member) bool { return other == m })
	if g.static[m.instanceID] == m {
		delete(g.static, m.instanceID)
	}
	if g.leader == m.id {
		g.leader = ""
		if len(g.members) > 0 {
			g.leader = g.members[0].id
		}
	}
}

// allJoined says whether the join barrier is complete.
func (g *group) allJoined() bool { return g.waiting() == len(g.members) && len(g.pending) == 0 }

// waiting counts the members in the join barrier.
func (g *group) waiting() int {
	count := 0
	for _, m := range g.members {
		if m.join != 0 {
			count++
		}
	}
	return count
}

// rebalanceTimeoutMs is the longest that any member asks the others to wait.
func (g *group) rebalanceTimeoutMs() int64 {
	var longest int32
	for _, m := range g.members {
		longest = max(longest, m.rebalanceTimeoutMs)
	}
	return int64(longest)
}

// supports says whether a member with these protocols can be part of the group.
func (g *group) supports(protocolType string, protocols []Protocol) bool {
	if g.phase == Empty {
		return protocolType != "" && len(protocols) > 0
	}
	if protocolType != g.protocolType {
		return false
	}
	return slices.ContainsFunc(protocols, func(p Protocol) bool { return g.common(p.Name) })
}

// common says whether every member offers the protocol.
func (g *group) common(name string) bool {
	return len(g.members) > 0 && g.offered[name] == len(g.members)
}

// vote chooses the protocol: every member votes for the first of its list that all members offer. The protocol whose
// first voter is the longest in the group wins a tie.
func (g *group) vote() string {
	votes := make(map[string]int)
	var candidates []string
	for _, m := range g.members {
		for _, p := range m.protocols {
			if !g.common(p.Name) {
				continue
			}
			if votes[p.Name] == 0 {
				candidates = append(candidates, p.Name)
			}
			votes[p.Name]++
			break
		}
	}
	chosen := ""
	for _, name := range candidates {
		if votes[name] > votes[chosen] {
			chosen = name
		}
	}
	return chosen
}

// setProtocols replaces what a member offers. Names must be distinct.
func (g *group) setProtocols(m *member, protocols []Protocol) {
	for _, p := range m.protocols {
		if g.offered[p.Name]--; g.offered[p.Name] == 0 {
			delete(g.offered, p.Name)
		}
	}
	m.protocols = protocols
	for _, p := range protocols {
		if g.offered == nil {
			g.offered = make(map[string]int)
		}
		g.offered[p.Name]++
	}
}

// distinct returns the protocols without those whose name came before.
func distinct(protocols []Protocol) []Protocol {
	seen := make(map[string]struct{}, len(protocols))
	return slices.DeleteFunc(slices.Clone(protocols), func(p Protocol) bool {
		_, again := seen[p.Name]
		seen[p.Name] = struct{}{}
		return again
	})
}

// metadata is what the member brings for a protocol.
func (m *member) metadata(protocol string) []byte {
	for _, p := range m.protocols {
		if p.Name == protocol {
			return p.Metadata
		}
	}
	return nil
}

// sameProtocols says whether a rejoin brings exactly what the member brought before, in the same order.
func (m *member) sameProtocols(protocols []Protocol) bool {
	return slices.EqualFunc(m.protocols, protocols, func(a, b Protocol) bool {
		return a.Name == b.Name && bytes.Equal(a.Metadata, b.Metadata)
	})
}
