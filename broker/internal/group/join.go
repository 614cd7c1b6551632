package group

import "slices"

// JoinRequest asks for a place in a group's next generation.
type JoinRequest struct {
	Group              string
	MemberID           string // "" if the member has none yet
	InstanceID         string // "" for a dynamic member
	ClientID           string
	ClientHost         string
	RandomID           string // makes a new member id unique
	SessionTimeoutMs   int32
	RebalanceTimeoutMs int32
	ProtocolType       string
	Protocols          []Protocol // in order of preference; the State keeps the metadata bytes
	Reason             string     // what the client says, for the log (KIP-800)
	RequireMemberID    bool       // a new dynamic member has to come back with the id it is given (KIP-394)
	SkipAssignment     bool       // the client understands JoinAnswer.SkipAssignment (KIP-814)
}

// JoinAnswer is the end of a join. Members is only set for the leader.
type JoinAnswer struct {
	Code           Code
	Generation     int32
	ProtocolType   string
	Protocol       string
	Leader         string
	MemberID       string
	SkipAssignment bool
	Members        []JoinMember
}

// JoinMember is what the leader is told about a member.
type JoinMember struct {
	ID         string
	InstanceID string
	Metadata   []byte
}

// Join adds a member to a group or lets it into the next generation. The answer goes to the ticket, maybe much later:
// it waits for all members, bounded by the rebalance timeout.
func (s *State) Join(to Ticket, r JoinRequest) {
	if code := s.joinable(r); code != None {
		s.refuseJoin(to, r.MemberID, code)
		return
	}
	if s.groups[r.Group] == nil && r.MemberID != "" {
		s.refuseJoin(to, r.MemberID, UnknownMemberID)
		return
	}
	r.Protocols = distinct(r.Protocols)
	g := s.groupOrNew(r.Group)
	defer s.dropVacant(g)
	m := g.member(r.MemberID)
	switch {
	case !s.hasRoom(g, m):
		s.expel(g, m, r.MemberID)
		s.refuseJoin(to, "", GroupMaxSizeReached)
	case !g.supports(r.ProtocolType, r.Protocols):
		s.refuseJoin(to, r.MemberID, InconsistentGroupProtocol)
	case r.MemberID == "":
		s.joinNew(g, to, r)
	case g.pending[r.MemberID] != nil && r.InstanceID == "":
		s.addMember(g, to, r, r.MemberID)
	default:
		s.rejoin(g, to, r)
	}
}

// joinable checks what needs no group.
func (s *State) joinable(r JoinRequest) Code {
	switch {
	case r.Group == "":
		return InvalidGroupID
	case r.SessionTimeoutMs < s.config.MinSessionTimeoutMs, r.SessionTimeoutMs > s.config.MaxSessionTimeoutMs:
		return InvalidSessionTimeout
	}
	return None
}

// hasRoom applies group.max.size. During a rebalance the members in the barrier count, so that in a group that is
// already too large the last ones to rejoin are the ones that have to go. m is nil for a new member.
func (s *State) hasRoom(g *group, m *member) bool {
	switch g.phase {
	case Empty:
		return true
	case PreparingRebalance:
		return m != nil && m.join != 0 || g.waiting() < int(s.config.MaxSize)
	default:
		return m != nil || len(g.members) < int(s.config.MaxSize)
	}
}

// expel removes a member that found no room.
func (s *State) expel(g *group, m *member, memberID string) {
	if m != nil {
		s.remove(g, m, UnknownMemberID)
	}
	s.dropPending(g, memberID)
	s.completeJoinIfAll(g)
}

func (s *State) refuseJoin(to Ticket, memberID string, code Code) {
	s.environment.Reply(to, JoinAnswer{Code: code, MemberID: memberID, Generation: -1})
}

// joinNew takes in a member that has no id yet.
func (s *State) joinNew(g *group, to Ticket, r JoinRequest) {
	if r.InstanceID != "" {
		id := r.InstanceID + "-" + r.RandomID
		if m := g.static[r.InstanceID]; m != nil {
			s.replaceStatic(g, m, to, r, id)
			return
		}
		s.addMember(g, to, r, id)
		return
	}
	id := r.ClientID + "-" + r.RandomID
	if !r.RequireMemberID {
		s.addMember(g, to, r, id)
		return
	}
	if g.pending == nil {
		g.pending = make(map[string]*timer)
	}
	t := newTimer(func() { s.pendingDue(g, id) })
	g.pending[id] = t
	s.schedule(t, int64(r.SessionTimeoutMs))
	s.logger.Debug("member id given out", "group", g.id, "member", id)
	s.refuseJoin(to, id, MemberIDRequired)
}

// addMember makes a member and starts or goes on with a rebalance.
func (s *State) addMember(g *group, to Ticket, r JoinRequest, id string) {
	m := &member{
		id:                 id,
		instanceID:         r.InstanceID,
		clientID:           r.ClientID,
		clientHost:         r.ClientHost,
		sessionTimeoutMs:   r.SessionTimeoutMs,
		rebalanceTimeoutMs: r.RebalanceTimeoutMs,
		isNew:              true,
		join:               to,
	}
	m.session = newTimer(func() { s.sessionDue(g, m) })
	s.dropPending(g, id)
	if g.phase == PreparingRebalance && g.initial {
		g.newMemberAdded = true
	}
	g.add(m, r.ProtocolType, r.Protocols)
	s.schedule(m.session, newMemberJoinTimeoutMs)
	s.logger.Info("member joined", "group", g.id, "member", id, "instance", r.InstanceID, "phase", g.phase, "reason", r.Reason)
	s.rebalanceOrComplete(g, reasonMemberJoined)
}

// rejoin handles a join with a member id that was given out before.
func (s *State) rejoin(g *group, to Ticket, r JoinRequest) {
	m, code := g.check(r.MemberID, r.InstanceID)
	if code != None {
		s.refuseJoin(to, r.MemberID, code)
		return
	}
	changed := !m.sameProtocols(r.Protocols)
	switch {
	case g.phase == PreparingRebalance:
		s.updateMember(g, m, to, r)
		s.rebalanceOrComplete(g, reasonMemberRejoined)
	case g.phase == Stable && g.leader == m.id:
		// The leader may know of a reason that no metadata shows, such as new partitions.
		s.logger.Info("leader rejoined", "group", g.id, "member", m.id, "reason", r.Reason)
		s.updateMember(g, m, to, r)
		s.rebalanceOrComplete(g, reasonLeaderRejoined)
	case changed:
		s.logger.Info("member changed its metadata", "group", g.id, "member", m.id, "reason", r.Reason)
		s.updateMember(g, m, to, r)
		s.rebalanceOrComplete(g, reasonMetadataChanged)
	default:
		// It has probably not received its answer: the current generation once more.
		s.environment.Reply(to, g.joinAnswer(m))
	}
}

// updateMember takes over what a rejoin brings and puts the member into the barrier.
func (s *State) updateMember(g *group, m *member, to Ticket, r JoinRequest) {
	g.setProtocols(m, r.Protocols)
	m.sessionTimeoutMs = r.SessionTimeoutMs
	m.rebalanceTimeoutMs = r.RebalanceTimeoutMs
	// An older join of the same member can only be a connection that it gave up.
	s.answerJoin(m, JoinAnswer{Code: RebalanceInProgress, MemberID: m.id, Generation: -1})
	m.join = to
}

// joinAnswer is what m is told about the current generation.
func (g *group) joinAnswer(m *member) JoinAnswer {
	answer := JoinAnswer{
		Generation:   g.generation,
		ProtocolType: g.protocolType,
		Protocol:     g.protocol,
		Leader:       g.leader,
		MemberID:     m.id,
	}
	if g.leader == m.id {
		for _, other := range g.members {
			answer.Members = append(answer.Members, JoinMember{
				ID: other.id, InstanceID: other.instanceID, Metadata: other.metadata(g.protocol),
			})
		}
	}
	return answer
}

// answerJoin answers the join that m waits with, if there is one.
func (s *State) answerJoin(m *member, answer JoinAnswer) {
	if to := m.join; to != 0 {
		m.join = 0
		s.environment.Reply(to, answer)
	}
}

// dropPending forgets an id that was given out.
func (s *State) dropPending(g *group, id string) {
	if t := g.pending[id]; t != nil {
		s.cancel(t)
		delete(g.pending, id)
	}
}

// pendingDue forgets a member that never came back with its id.
func (s *State) pendingDue(g *group, id string) {
	s.logger.Info("pending member expired", "group", g.id, "member", id)
	delete(g.pending, id)
	s.completeJoinIfAll(g)
	s.dropVacant(g)
}

// replaceStatic lets a static member that lost its id take its old place under a new id (KIP-345).
func (s *State) replaceStatic(g *group, old *member, to Ticket, r JoinRequest, id string) {
	s.logger.Info("static member replaced", "group", g.id, "instance", r.InstanceID, "old", old.id, "member", id,
		"phase", g.phase, "reason", r.Reason)
	m := &member{
		id:                 id,
		instanceID:         old.instanceID,
		clientID:           old.clientID,
		clientHost:         old.clientHost,
		sessionTimeoutMs:   r.SessionTimeoutMs,
		rebalanceTimeoutMs: r.RebalanceTimeoutMs,
		protocols:          r.Protocols,
		assignment:         old.assignment,
	}
	m.session = newTimer(func() { s.sessionDue(g, m) })
	oldLeader := g.leader
	undo := g.swap(old, m)
	if g.phase == Stable && g.vote() == g.protocol {
		if s.storeGroup(g) != nil {
			undo()
			s.refuseJoin(to, "", CoordinatorNotAvailable)
			return
		}
		s.fence(old)
		s.restartSession(m)
		s.environment.Reply(to, g.staticAnswer(m, oldLeader, r.SkipAssignment))
		return
	}
	s.fence(old)
	m.join = to
	s.restartSession(m)
	switch g.phase {
	case Stable:
		s.rebalanceOrComplete(g, reasonProtocolChanged)
	case CompletingRebalance:
		// The leader may assign to the old id, which would leave the new one with nothing.
		s.prepareRebalance(g, reasonStaticReplaced)
	default:
		s.completeJoinPhase(g)
	}
}

// swap puts m where old was and returns how to take it back.
func (g *group) swap(old, m *member) (undo func()) {
	place := slices.Index(g.members, old)
	protocols := m.protocols
	m.protocols = nil
	oldProtocols := old.protocols
	put := func(out, in *member, offered []Protocol) {
		g.setProtocols(out, nil)
		g.setProtocols(in, offered)
		g.members[place] = in
		g.static[in.instanceID] = in
		if _, ok := g.pendingSync[out.id]; ok {
			delete(g.pendingSync, out.id)
			g.pendingSync[in.id] = struct{}{}
		}
		if g.leader == out.id {
			g.leader = in.id
		}
	}
	put(old, m, protocols)
	return func() { put(m, old, oldProtocols) }
}

// fence answers whatever a replaced member still waits for.
func (s *State) fence(old *member) {
	s.cancel(old.session)
	s.answerJoin(old, JoinAnswer{Code: FencedInstanceID, MemberID: old.id, Generation: -1})
	s.answerSync(old, SyncAnswer{Code: FencedInstanceID})
}

// staticAnswer lets a replaced member go on in the running generation. A client that does not know SkipAssignment is
// told of the old leader, so that it does not think that it has to assign.
func (g *group) staticAnswer(m *member, oldLeader string, skipAssignment bool) JoinAnswer {
	answer := g.joinAnswer(m)
	if skipAssignment {
		answer.SkipAssignment = g.leader == m.id
		return answer
	}
	answer.Leader = oldLeader
	answer.Members = nil
	return answer
}
