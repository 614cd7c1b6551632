package group

import (
	"slices"
	"strings"
)

// Description is what an administrator sees of a group. Protocol, metadata and assignments are only told of a stable
// group.
type Description struct {
	Phase        Phase
	ProtocolType string
	Protocol     string
	Members      []MemberDescription
}

// MemberDescription is what an administrator sees of a member.
type MemberDescription struct {
	ID         string
	InstanceID string
	ClientID   string
	ClientHost string
	Metadata   []byte
	Assignment []byte
}

// Describe describes a group; false if there is none.
func (s *State) Describe(groupID string) (Description, bool) {
	g := s.groups[groupID]
	if g == nil {
		return Description{}, false
	}
	d := Description{Phase: g.phase, ProtocolType: g.protocolType}
	if g.phase == Stable {
		d.Protocol = g.protocol
	}
	for _, m := range g.members {
		described := MemberDescription{ID: m.id, InstanceID: m.instanceID, ClientID: m.clientID, ClientHost: m.clientHost}
		if g.phase == Stable {
			described.Metadata = m.metadata(g.protocol)
			described.Assignment = m.assignment
		}
		d.Members = append(d.Members, described)
	}
	return d, true
}

// Listing is one line of a list of groups.
type Listing struct {
	Group        string
	ProtocolType string
	Phase        Phase
}

// List returns the groups whose phase is one of the names, in any case, sorted by id; all if there are no names.
func (s *State) List(phases []string) []Listing {
	var list []Listing
	for _, id := range s.groupIDs() {
		g := s.groups[id]
		named := func(name string) bool { return strings.EqualFold(name, g.phase.String()) }
		if len(phases) == 0 || slices.ContainsFunc(phases, named) {
			list = append(list, Listing{Group: id, ProtocolType: g.protocolType, Phase: g.phase})
		}
	}
	return list
}

// Delete removes an empty group with its offsets.
func (s *State) Delete(groupID string) Code {
	g := s.groups[groupID]
	switch {
	case g == nil:
		return GroupIDNotFound
	case g.phase != Empty:
		return NonEmptyGroup
	}
	tombstones := g.tombstones()
	for len(tombstones) > 0 {
		count := min(len(tombstones), tombstonesPerBatch)
		if s.append("group deletion", g.id, tombstones[:count]...) != nil {
			return CoordinatorNotAvailable
		}
		for _, r := range tombstones[:count] {
			s.replayOwn(r)
		}
		tombstones = tombstones[count:]
	}
	s.logger.Info("group deleted", "group", g.id)
	s.forget(g)
	return None
}
