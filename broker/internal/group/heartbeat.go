package group

// Heartbeat keeps a member's session alive and tells it when it has to join again.
func (s *State) Heartbeat(groupID, memberID, instanceID string, generation int32) Code {
	if groupID == "" {
		return InvalidGroupID
	}
	g := s.groups[groupID]
	if g == nil {
		return UnknownMemberID
	}
	m, code := g.check(memberID, instanceID)
	switch {
	case code != None:
		return code
	case generation != g.generation:
		return IllegalGeneration
	}
	s.restartSession(m)
	if g.phase == PreparingRebalance {
		return RebalanceInProgress
	}
	return None
}
