package group

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/log/record"
)

// The records of __consumer_offsets, as Kafka writes them (OffsetCommitKey/Value, GroupMetadataKey/Value). A key
// begins with an int16 that says what it is:
//
//	0, 1  the offset of a group, topic and partition
//	2     a group's generation with its members
//	3..   groups of the newer protocols (KIP-848 and later), left alone
//
// A record without value is a tombstone.
const (
	offsetKeyVersion         = 1
	groupKeyVersion          = 2
	offsetValueVersion       = 3
	offsetExpiryValueVersion = 1 // the only one that carries a time of expiry
	groupValueVersion        = 3
)

// ErrRecord means that a record of __consumer_offsets does not parse.
var ErrRecord = errors.New("group record does not parse")

// offsetRecord is the record of one committed offset.
func offsetRecord(groupID string, p TopicPartition, o Offset) record.Record {
	value := kmsg.NewOffsetCommitValue()
	value.Version = offsetValueVersion
	value.Offset = o.Offset
	value.LeaderEpoch = o.LeaderEpoch
	value.Metadata = o.Metadata
	value.CommitTimestamp = o.CommittedMs
	if o.ExpiresMs >= 0 {
		value.Version = offsetExpiryValueVersion
		value.ExpireTimestamp = o.ExpiresMs
	}
	return record.Record{Key: offsetKey(groupID, p), Value: value.AppendTo(nil)}
}

func offsetTombstone(groupID string, p TopicPartition) record.Record {
	return record.Record{Key: offsetKey(groupID, p)}
}

func offsetKey(groupID string, p TopicPartition) []byte {
	key := kmsg.OffsetCommitKey{Version: offsetKeyVersion, Group: groupID, Topic: p.Topic, Partition: p.Partition}
	return key.AppendTo(nil)
}

// groupRecord is the record of a group's generation, with what its members were assigned.
func groupRecord(g *group) record.Record {
	value := kmsg.NewGroupMetadataValue()
	value.Version = groupValueVersion
	value.ProtocolType = g.protocolType
	value.Generation = g.generation
	value.Protocol = optional(g.protocol)
	value.Leader = optional(g.leader)
	value.CurrentStateTimestamp = g.stateSinceMs
	for _, m := range g.members {
		stored := kmsg.NewGroupMetadataValueMember()
		stored.MemberID = m.id
		stored.InstanceID = optional(m.instanceID)
		stored.ClientID = m.clientID
		stored.ClientHost = m.clientHost
		stored.RebalanceTimeoutMillis = m.rebalanceTimeoutMs
		stored.SessionTimeoutMillis = m.sessionTimeoutMs
		stored.Subscription = m.metadata(g.protocol)
		stored.Assignment = m.assignment
		value.Members = append(value.Members, stored)
	}
	return record.Record{Key: groupKey(g.id), Value: value.AppendTo(nil)}
}

func groupTombstone(groupID string) record.Record { return record.Record{Key: groupKey(groupID)} }

func groupKey(groupID string) []byte {
	key := kmsg.GroupMetadataKey{Version: groupKeyVersion, Group: groupID}
	return key.AppendTo(nil)
}

// tombstones are all that is needed to forget the group.
func (g *group) tombstones() []record.Record {
	var gone []record.Record
	for _, p := range g.all() {
		gone = append(gone, offsetTombstone(g.id, p))
	}
	if g.stored {
		gone = append(gone, groupTombstone(g.id))
	}
	return gone
}

// Replay applies one record; a nil value is a tombstone. Neither slice is kept. Keys of a kind that is not known are
// passed over, so that a log with groups of a newer protocol still loads. ErrRecord changes nothing.
func (s *State) Replay(key, value []byte) error {
	if len(key) < 2 {
		return fmt.Errorf("%w: key of %d bytes", ErrRecord, len(key))
	}
	switch kind := binary.BigEndian.Uint16(key); kind {
	case 0, offsetKeyVersion:
		return s.replayOffset(noTransaction, key, value)
	case groupKeyVersion:
		return s.replayGroup(key, value)
	default:
		s.logger.Debug("record of an unknown kind passed over", "kind", kind)
		return nil
	}
}

// isOffsetKey says whether key is that of a committed offset.
func isOffsetKey(key []byte) bool {
	return len(key) >= 2 && binary.BigEndian.Uint16(key) <= offsetKeyVersion
}

// replayOwn applies a record that this State has just made.
func (s *State) replayOwn(r record.Record) {
	if err := s.Replay(r.Key, r.Value); err != nil {
		panic("group: own record does not replay: " + err.Error())
	}
}

// replayOffset applies an offset: a committed one, or one of a producer's open transaction. A tombstone takes both away,
// whoever wrote it.
func (s *State) replayOffset(producerID int64, key, value []byte) error {
	var k kmsg.OffsetCommitKey
	if err := k.ReadFrom(key); err != nil {
		return fmt.Errorf("%w: offset key: %w", ErrRecord, err)
	}
	p := TopicPartition{k.Topic, k.Partition}
	if value == nil {
		if g := s.groups[k.Group]; g != nil {
			g.offsets.drop(p)
			s.dropUnstable(g, p)
			s.dropVacant(g)
		}
		return nil
	}
	v := kmsg.NewOffsetCommitValue()
	if err := readVersioned(value, 4, v.ReadFrom); err != nil {
		return fmt.Errorf("%w: offset of group %q, %s-%d: %w", ErrRecord, k.Group, k.Topic, k.Partition, err)
	}
	o := Offset{
		Offset: v.Offset, LeaderEpoch: -1, Metadata: v.Metadata, CommittedMs: v.CommitTimestamp, ExpiresMs: -1,
	}
	if v.Version >= 3 {
		o.LeaderEpoch = v.LeaderEpoch
	}
	if v.Version == offsetExpiryValueVersion {
		o.ExpiresMs = v.ExpireTimestamp
	}
	s.placed++
	g := s.groupOrNew(k.Group)
	if producerID == noTransaction {
		g.offsets.set(p, placedOffset{o, s.placed})
	} else {
		s.setUnstable(g, producerID, p, placedOffset{o, s.placed})
	}
	return nil
}

func (s *State) replayGroup(key, value []byte) error {
	var k kmsg.GroupMetadataKey
	if err := k.ReadFrom(key); err != nil {
		return fmt.Errorf("%w: group key: %w", ErrRecord, err)
	}
	if value == nil {
		s.replayForgotten(k.Group)
		return nil
	}
	v := kmsg.NewGroupMetadataValue()
	if err := readVersioned(value, 4, v.ReadFrom); err != nil {
		return fmt.Errorf("%w: group %q: %w", ErrRecord, k.Group, err)
	}
	s.replayForgotten(k.Group)
	g := s.groupOrNew(k.Group)
	g.stored = true
	g.generation = v.Generation
	g.protocolType = v.ProtocolType
	g.stateSinceMs = v.CurrentStateTimestamp
	if len(v.Members) > 0 {
		s.replayMembers(g, &v)
	}
	g.subscribed = g.subscriptions()
	return nil
}

// replayForgotten takes a group's membership away and leaves its offsets, which have records of their own.
func (s *State) replayForgotten(groupID string) {
	g := s.groups[groupID]
	if g == nil {
		return
	}
	s.forget(g)
	if g.hasOffsets() {
		again := s.groupOrNew(groupID)
		again.offsets, again.unstable = g.offsets, g.unstable
	}
}

// replayMembers brings back the members of a generation that had its assignment.
func (s *State) replayMembers(g *group, v *kmsg.GroupMetadataValue) {
	g.phase = Stable
	g.protocol = orEmpty(v.Protocol)
	for i := range v.Members {
		stored := &v.Members[i]
		m := &member{
			id:                 stored.MemberID,
			instanceID:         orEmpty(stored.InstanceID),
			clientID:           stored.ClientID,
			clientHost:         stored.ClientHost,
			sessionTimeoutMs:   stored.SessionTimeoutMillis,
			rebalanceTimeoutMs: stored.RebalanceTimeoutMillis,
			assignment:         stored.Assignment,
		}
		if stored.RebalanceTimeoutMillis < 0 {
			m.rebalanceTimeoutMs = stored.SessionTimeoutMillis
		}
		m.session = newTimer(func() { s.sessionDue(g, m) })
		g.add(m, v.ProtocolType, []Protocol{{Name: g.protocol, Metadata: stored.Subscription}})
	}
	if leader := orEmpty(v.Leader); g.member(leader) != nil {
		g.leader = leader
	}
}

// readVersioned parses a value that begins with its version. The bytes are copied: what is parsed refers to them.
func readVersioned(b []byte, newest int16, read func([]byte) error) error {
	if len(b) < 2 {
		return fmt.Errorf("value of %d bytes", len(b))
	}
	if version := int16(binary.BigEndian.Uint16(b)); version < 0 || version > newest {
		return fmt.Errorf("value of version %d", version)
	}
	return read(append([]byte(nil), b...))
}

// optional and orEmpty turn "" into null and back.
func optional(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

func orEmpty(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}
