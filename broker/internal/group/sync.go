package group

// SyncRequest asks for a member's assignment; the leader brings everybody's.
type SyncRequest struct {
	Group        string
	MemberID     string
	InstanceID   string
	Generation   int32
	ProtocolType string // "" is not checked
	Protocol     string // "" is not checked
	Assignments  []Assignment
}

// Assignment is what the leader gives to one member. The State keeps the bytes.
type Assignment struct {
	MemberID string
	Bytes    []byte
}

// SyncAnswer carries a member's assignment.
type SyncAnswer struct {
	Code         Code
	ProtocolType string
	Protocol     string
	Assignment   []byte
}

// Sync hands out assignments. A follower's answer waits for the leader's request, bounded by the rebalance timeout.
func (s *State) Sync(to Ticket, r SyncRequest) {
	g, m, code := s.syncMember(r)
	switch {
	case code != None:
		s.environment.Reply(to, SyncAnswer{Code: code})
	case g.phase == PreparingRebalance:
		s.environment.Reply(to, SyncAnswer{Code: RebalanceInProgress})
	case g.phase == Stable:
		s.synced(g, m)
		s.environment.Reply(to, g.syncAnswer(m))
	default:
		s.answerSync(m, SyncAnswer{Code: RebalanceInProgress})
		m.sync = to
		s.synced(g, m)
		if g.leader == m.id {
			s.assign(g, r.Assignments)
		}
	}
}

// syncMember finds the member that a sync speaks for.
func (s *State) syncMember(r SyncRequest) (*group, *member, Code) {
	if r.Group == "" {
		return nil, nil, InvalidGroupID
	}
	g := s.groups[r.Group]
	if g == nil || g.phase == Empty {
		return nil, nil, UnknownMemberID
	}
	m, code := g.check(r.MemberID, r.InstanceID)
	switch {
	case code != None:
		return nil, nil, code
	case r.Generation != g.generation:
		return nil, nil, IllegalGeneration
	case r.ProtocolType != "" && r.ProtocolType != g.protocolType, r.Protocol != "" && r.Protocol != g.protocol:
		return nil, nil, InconsistentGroupProtocol
	}
	return g, m, None
}

// synced notes that a member asked for its assignment.
func (s *State) synced(g *group, m *member) {
	delete(g.pendingSync, m.id)
	if len(g.pendingSync) == 0 {
		s.cancel(g.syncTimer)
	}
}

// assign takes over the leader's assignment. It is written before anybody is told, so that a restart finds every
// member with what it works on; if it cannot be written, everybody has to join again.
func (s *State) assign(g *group, assignments []Assignment) {
	given := make(map[string][]byte, len(assignments))
	for _, a := range assignments {
		given[a.MemberID] = a.Bytes
	}
	missing := 0
	for _, m := range g.members {
		bytes, ok := given[m.id]
		if !ok {
			missing++
		}
		m.assignment = bytes
	}
	if missing > 0 {
		s.logger.Warn("the leader gave members no assignment", "group", g.id, "generation", g.generation, "members", missing)
	}
	if s.storeGroup(g) != nil {
		s.abortAssignment(g, CoordinatorNotAvailable)
		s.prepareRebalance(g, reasonAssignmentUnwritten)
		return
	}
	s.enter(g, Stable)
	for _, m := range g.members {
		if m.sync != 0 {
			s.answerSync(m, g.syncAnswer(m))
			s.restartSession(m)
		}
	}
}

// abortAssignment sends everybody who waits for an assignment away.
func (s *State) abortAssignment(g *group, code Code) {
	for _, m := range g.members {
		m.assignment = nil
		if m.sync != 0 {
			s.answerSync(m, SyncAnswer{Code: code})
			s.restartSession(m)
		}
	}
}

func (g *group) syncAnswer(m *member) SyncAnswer {
	return SyncAnswer{ProtocolType: g.protocolType, Protocol: g.protocol, Assignment: m.assignment}
}

// answerSync answers the sync that m waits with, if there is one.
func (s *State) answerSync(m *member, answer SyncAnswer) {
	if to := m.sync; to != 0 {
		m.sync = 0
		s.environment.Reply(to, answer)
	}
}
