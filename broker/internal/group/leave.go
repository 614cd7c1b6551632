package group

// Leaver names one member that is to go: by its id, or by its instance id alone when an administrator removes it.
type Leaver struct {
	MemberID   string
	InstanceID string
	Reason     string // what the client says, for the log (KIP-800)
}

// Leave removes members at once (KIP-345 made it several). It returns one code for the request and, if that is None,
// one for each leaver.
func (s *State) Leave(groupID string, leavers []Leaver) (Code, []Code) {
	if groupID == "" {
		return InvalidGroupID, nil
	}
	codes := make([]Code, len(leavers))
	g := s.groups[groupID]
	if g == nil {
		for i := range codes {
			codes[i] = UnknownMemberID
		}
		return None, codes
	}
	left := false
	for i, l := range leavers {
		codes[i] = s.leave(g, l)
		left = left || codes[i] == None
	}
	if left {
		s.afterLeaving(g)
	}
	return None, codes
}

func (s *State) leave(g *group, l Leaver) Code {
	var m *member
	switch {
	case l.MemberID == "":
		m = g.static[l.InstanceID]
		if m == nil {
			return UnknownMemberID
		}
	case g.pending[l.MemberID] != nil:
		s.dropPending(g, l.MemberID)
		return None
	default:
		var code Code
		if m, code = g.check(l.MemberID, l.InstanceID); code != None {
			return code
		}
	}
	s.logger.Info("member left", "group", g.id, "member", m.id, "instance", m.instanceID, "reason", l.Reason)
	s.remove(g, m, UnknownMemberID)
	return None
}

// afterLeaving is afterRemoval, except that leaving does not cut an initial delay short while members remain.
func (s *State) afterLeaving(g *group) {
	if g.phase == PreparingRebalance && len(g.members) > 0 {
		s.completeJoinPhase(g)
		return
	}
	s.afterRemoval(g, reasonMembersLeft)
}
