package group

import (
	"unicode/utf16"

	"github.com/millrace/millrace/log/record"
)

// Offset is what a group has committed for one partition.
type Offset struct {
	Offset      int64
	LeaderEpoch int32 // -1 unknown
	Metadata    string
	CommittedMs int64 // wall clock
	ExpiresMs   int64 // set by clients of OffsetCommit v2-v4 that ask for it; -1 for the broker's retention
}

// TopicPartition names one partition.
type TopicPartition struct {
	Topic     string
	Partition int32
}

// CommitRequest stores offsets for a group.
type CommitRequest struct {
	Group       string
	MemberID    string // "" for a simple group
	InstanceID  string
	Generation  int32 // -1 for a simple group
	RetentionMs int64 // -1 for the broker's retention
	Offsets     []CommitOffset
}

// CommitOffset is the new offset of one partition. The caller has checked that the partition exists.
type CommitOffset struct {
	TopicPartition
	Offset      int64
	LeaderEpoch int32
	Metadata    string
}

// Commit stores offsets. It returns one code for the request and, if that is None, one for each offset. An unknown
// group with a generation is GroupIDNotFound, which old clients have to be told as IllegalGeneration.
func (s *State) Commit(r CommitRequest) (Code, []Code) {
	g := s.groups[r.Group]
	if g == nil && r.Generation >= 0 {
		return GroupIDNotFound, nil
	}
	g = s.groupOrNew(r.Group)
	defer s.dropVacant(g)
	m, code := g.committer(r)
	if code != None {
		return code, nil
	}
	if m != nil {
		s.restartSession(m)
	}
	records, codes := s.offsetRecords(r)
	if code := s.change("commit", g, records); code != None {
		return code, nil
	}
	g.commits += uint64(len(records))
	return None, codes
}

// offsetRecords are the records of the offsets that can be stored, with a code for each offset.
func (s *State) offsetRecords(r CommitRequest) ([]record.Record, []Code) {
	codes := make([]Code, len(r.Offsets))
	records := make([]record.Record, 0, len(r.Offsets))
	for i, o := range r.Offsets {
		if utf16Length(o.Metadata) > int(s.config.OffsetMetadataMaxBytes) {
			codes[i] = OffsetMetadataTooLarge
			continue
		}
		records = append(records, s.offsetRecord(r, o))
	}
	return records, codes
}

// offsetRecord is the record of one committed offset.
func (s *State) offsetRecord(r CommitRequest, o CommitOffset) record.Record {
	value := Offset{
		Offset: o.Offset, LeaderEpoch: o.LeaderEpoch, Metadata: o.Metadata, CommittedMs: s.wallMs, ExpiresMs: -1,
	}
	if r.RetentionMs >= 0 {
		value.ExpiresMs = s.wallMs + r.RetentionMs
	}
	return offsetRecord(r.Group, o.TopicPartition, value)
}

// committer checks who commits. A member that is asked to rejoin may still commit what it has done; between the join
// and its assignment it may not, since the partitions may already be another's. m is nil for a simple commit.
func (g *group) committer(r CommitRequest) (m *member, code Code) {
	if r.Generation < 0 && g.phase == Empty {
		return nil, None
	}
	if r.Generation < 0 && r.MemberID == "" && r.InstanceID == "" {
		return nil, UnknownMemberID
	}
	m, code = g.check(r.MemberID, r.InstanceID)
	switch {
	case code != None:
		return nil, code
	case r.Generation != g.generation:
		return nil, IllegalGeneration
	case g.phase == CompletingRebalance:
		return nil, RebalanceInProgress
	}
	return m, None
}

// change writes offset records and applies them, the same way as a restart does.
func (s *State) change(what string, g *group, records []record.Record) Code {
	if len(records) == 0 {
		return None
	}
	if s.append(what, g.id, records...) != nil {
		return CoordinatorNotAvailable
	}
	for _, r := range records {
		s.replayOwn(r)
	}
	return None
}

// Offset returns what a group has committed for a partition. An unknown group has committed nothing.
func (s *State) Offset(groupID string, p TopicPartition) (Offset, bool) {
	g := s.groups[groupID]
	if g == nil {
		return Offset{}, false
	}
	o, ok := g.offsets.get(p)
	return o.Offset, ok
}

// Committed returns the partitions that a group has offsets for, sorted.
func (s *State) Committed(groupID string) []TopicPartition {
	g := s.groups[groupID]
	if g == nil {
		return nil
	}
	return g.offsets.partitions()
}

// DeleteOffsets forgets offsets that no member works on (KIP-496). It returns one code for the request and, if that is
// None, one for each partition.
func (s *State) DeleteOffsets(groupID string, partitions []TopicPartition) (Code, []Code) {
	if groupID == "" {
		return InvalidGroupID, nil
	}
	g := s.groups[groupID]
	switch {
	case g == nil:
		return GroupIDNotFound, nil
	case g.phase != Empty && g.protocolType != consumerProtocolType:
		return NonEmptyGroup, nil
	}
	defer s.dropVacant(g)
	codes := make([]Code, len(partitions))
	var gone []record.Record
	for i, p := range partitions {
		if g.subscribes(p.Topic) {
			codes[i] = GroupSubscribedToTopic
		} else if g.has(p) {
			gone = append(gone, offsetTombstone(groupID, p))
		}
	}
	if code := s.change("offset delete", g, gone); code != None {
		return code, nil
	}
	return None, codes
}

// utf16Length counts as Kafka does, where a string is UTF-16.
func utf16Length(text string) int {
	length := 0
	for _, r := range text {
		length += max(utf16.RuneLen(r), 1)
	}
	return length
}
