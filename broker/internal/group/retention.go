package group

import "github.com/millrace/millrace/log/record"

// tombstonesPerBatch bounds the batches that clean-ups write.
const tombstonesPerBatch = 1000

// expireOffsets forgets offsets that nobody can want any more and then groups of which nothing is left (KIP-211).
// What cannot be written is tried again at the next check, and what an open transaction changes is left to one after it.
func (s *State) expireOffsets() {
	for _, id := range s.groupIDs() {
		s.expireGroup(s.groups[id])
	}
	s.schedule(s.retention, s.config.OffsetsCheckIntervalMs)
}

func (s *State) expireGroup(g *group) {
	var gone []record.Record
	for _, p := range g.offsets.partitions() {
		if o, _ := g.offsets.get(p); s.expired(g, p.Topic, o.Offset) && !g.isUnstable(p) {
			gone = append(gone, offsetTombstone(g.id, p))
		}
	}
	if len(gone) > 0 {
		s.logger.Info("offsets expired", "group", g.id, "offsets", len(gone))
	}
	if !s.tombstone("offset expiry", g, gone) || g.phase != Empty || len(g.pending) > 0 || g.hasOffsets() {
		return
	}
	if g.stored && s.append("group expiry", g.id, groupTombstone(g.id)) != nil {
		return
	}
	s.logger.Info("group removed", "group", g.id)
	s.forget(g)
}

// expired says whether an offset's retention is over. It counts from when the group became empty; in a simple group,
// and for a topic that a stable group has stopped reading, from the commit.
func (s *State) expired(g *group, topic string, o Offset) bool {
	fromMs := o.CommittedMs
	switch {
	case g.subscribes(topic):
		return false
	case g.protocolType == "":
	case g.phase == Empty:
		if g.stateSinceMs >= 0 {
			fromMs = g.stateSinceMs
		}
	case g.phase != Stable || g.subscribed == nil:
		return false
	}
	if o.ExpiresMs >= 0 {
		return s.wallMs >= o.ExpiresMs
	}
	return s.wallMs-fromMs >= s.config.OffsetsRetentionMs
}

// tombstone writes tombstones of offsets in bounded batches and applies each batch that was written.
func (s *State) tombstone(what string, g *group, gone []record.Record) bool {
	for len(gone) > 0 {
		count := min(len(gone), tombstonesPerBatch)
		if s.change(what, g, gone[:count]) != None {
			return false
		}
		gone = gone[count:]
	}
	return true
}

// TopicDeleted forgets every group's offsets for a topic, so that a new topic of the same name begins without any.
// keep is asked for every topic with offsets; those that it denies go.
func (s *State) TopicDeleted(keep func(topic string) bool) {
	for _, id := range s.groupIDs() {
		g := s.groups[id]
		var gone []record.Record
		for _, p := range g.all() {
			if !keep(p.Topic) {
				gone = append(gone, offsetTombstone(id, p))
			}
		}
		s.tombstone("topic deletion", g, gone)
		s.dropVacant(g)
	}
}
