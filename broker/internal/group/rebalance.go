package group

import (
	"maps"
	"slices"
)

// joinRetryMinMs keeps a group of absent static members whose rebalance timeout is tiny from spinning.
const joinRetryMinMs = 1000

// rebalanceOrComplete starts a rebalance, or ends the join phase of the running one if it can.
func (s *State) rebalanceOrComplete(g *group, reason Reason) {
	if g.phase == PreparingRebalance {
		s.completeJoinPhase(g)
		return
	}
	s.prepareRebalance(g, reason)
}

// prepareRebalance asks all members to join again. The first rebalance of an empty group waits for more members to
// come (KIP-134); any other ends when all have rejoined or the rebalance timeout has passed.
func (s *State) prepareRebalance(g *group, reason Reason) {
	if g.phase == CompletingRebalance {
		s.abortAssignment(g, RebalanceInProgress)
	}
	s.endSyncPhase(g)
	g.initial = g.phase == Empty
	s.enter(g, PreparingRebalance)
	g.rebalances[reason]++
	s.logger.Info("rebalance started", "group", g.id, "generation", g.generation, "members", len(g.members),
		"reason", reason.String())
	switch {
	case g.initial:
		g.newMemberAdded = false
		g.delayMs = int64(s.config.InitialRebalanceDelayMs)
		g.remainingMs = max(g.rebalanceTimeoutMs()-g.delayMs, 0)
		s.schedule(g.joinTimer, g.delayMs)
	case g.allJoined():
		s.completeJoin(g)
	default:
		s.schedule(g.joinTimer, g.rebalanceTimeoutMs())
	}
}

// enter changes the phase.
func (s *State) enter(g *group, phase Phase) {
	g.phase = phase
	g.stateSinceMs = s.wallMs
}

// completeJoinPhase ends the join phase if nobody is missing, except in an initial rebalance, which lasts its time.
func (s *State) completeJoinPhase(g *group) {
	if g.phase == PreparingRebalance && !g.initial && g.allJoined() {
		s.completeJoin(g)
	}
}

// completeJoinIfAll ends the join phase after a member went away.
func (s *State) completeJoinIfAll(g *group) {
	if g.phase == PreparingRebalance && g.allJoined() {
		s.completeJoin(g)
	}
}

// joinDue ends the join phase by the clock.
func (s *State) joinDue(g *group) {
	if g.phase != PreparingRebalance {
		return
	}
	if g.initial && g.newMemberAdded && g.remainingMs > 0 {
		g.newMemberAdded = false
		delay := min(int64(s.config.InitialRebalanceDelayMs), g.remainingMs)
		g.remainingMs = max(g.remainingMs-g.delayMs, 0)
		g.delayMs = delay
		s.schedule(g.joinTimer, delay)
		return
	}
	s.completeJoin(g)
}

// completeJoin begins the next generation with the members that are in the barrier and the static ones that are not.
func (s *State) completeJoin(g *group) {
	s.cancel(g.joinTimer)
	s.dropAbsent(g)
	if len(g.members) > 0 && !g.electLeader() {
		// Only static members are left and none came. Their sessions end it.
		s.schedule(g.joinTimer, max(g.rebalanceTimeoutMs(), joinRetryMinMs))
		return
	}
	g.generation++
	g.initial = false
	clear(g.pendingSync)
	if len(g.members) == 0 {
		s.becomeEmpty(g)
		return
	}
	g.protocol = g.vote()
	g.subscribed = g.subscriptions()
	s.enter(g, CompletingRebalance)
	s.logger.Info("generation started", "group", g.id, "generation", g.generation, "members", len(g.members), "protocol", g.protocol)
	for _, m := range g.members {
		s.answerJoin(m, g.joinAnswer(m))
		m.isNew = false
		s.restartSession(m)
		if g.pendingSync == nil {
			g.pendingSync = make(map[string]struct{})
		}
		g.pendingSync[m.id] = struct{}{}
	}
	s.schedule(g.syncTimer, g.rebalanceTimeoutMs())
}

// dropAbsent removes the dynamic members that are not in the barrier.
func (s *State) dropAbsent(g *group) {
	var absent []*member
	for _, m := range g.members {
		if m.join == 0 && m.instanceID == "" {
			absent = append(absent, m)
		}
	}
	for _, m := range absent {
		s.logger.Info("member did not rejoin in time", "group", g.id, "member", m.id)
		s.remove(g, m, UnknownMemberID)
	}
}

// electLeader makes sure that the leader is in the barrier, if anybody is.
func (g *group) electLeader() bool {
	if leader := g.member(g.leader); leader != nil && leader.join != 0 {
		return true
	}
	for _, m := range g.members {
		if m.join != 0 {
			g.leader = m.id
			return true
		}
	}
	return false
}

// becomeEmpty records that the last member has gone. If that cannot be written, a restart finds the last generation
// with members and lets their sessions expire, so the error needs no answer.
func (s *State) becomeEmpty(g *group) {
	g.protocol = ""
	g.leader = ""
	g.subscribed = g.subscriptions()
	s.enter(g, Empty)
	s.logger.Info("group is empty", "group", g.id, "generation", g.generation)
	_ = s.storeGroup(g)
}

// storeGroup writes the group's metadata record.
func (s *State) storeGroup(g *group) error {
	if err := s.append("metadata", g.id, groupRecord(g)); err != nil {
		return err
	}
	g.stored = true
	return nil
}

// remove takes a member out, answering whatever it waits for.
func (s *State) remove(g *group, m *member, code Code) {
	s.cancel(m.session)
	g.drop(m)
	s.answerJoin(m, JoinAnswer{Code: code, Generation: -1})
	s.answerSync(m, SyncAnswer{Code: code})
}

// afterRemoval goes on once members have been removed.
func (s *State) afterRemoval(g *group, reason Reason) {
	switch g.phase {
	case Stable, CompletingRebalance:
		s.prepareRebalance(g, reason)
	case PreparingRebalance:
		s.completeJoinIfAll(g)
	}
	s.dropVacant(g)
}

// restartSession gives a member its full session again.
func (s *State) restartSession(m *member) { s.schedule(m.session, int64(m.sessionTimeoutMs)) }

// sessionDue removes a member that sent no heartbeat. One that waits for an answer sends none and is excused, unless
// it is new: then nobody may be there any more to send one.
func (s *State) sessionDue(g *group, m *member) {
	if !m.isNew && (m.join != 0 || m.sync != 0) {
		return
	}
	s.logger.Info("member expired", "group", g.id, "member", m.id, "instance", m.instanceID, "generation", g.generation)
	s.remove(g, m, UnknownMemberID)
	s.afterRemoval(g, reasonSessionExpired)
}

// syncDue removes the members that joined and never synced.
func (s *State) syncDue(g *group) {
	if g.phase != CompletingRebalance && g.phase != Stable || len(g.pendingSync) == 0 {
		return
	}
	late := maps.Clone(g.pendingSync)
	for _, m := range slices.Clone(g.members) {
		if _, ok := late[m.id]; ok {
			s.logger.Info("member did not sync in time", "group", g.id, "member", m.id)
			s.remove(g, m, UnknownMemberID)
		}
	}
	s.afterRemoval(g, reasonSyncTimedOut)
}

// endSyncPhase stops waiting for members to sync.
func (s *State) endSyncPhase(g *group) {
	clear(g.pendingSync)
	s.cancel(g.syncTimer)
}
