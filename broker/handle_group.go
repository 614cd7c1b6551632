package broker

import (
	"bytes"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/broker/internal/group"
)

// JoinGroup 0-9, SyncGroup 0-5, Heartbeat 0-4, LeaveGroup 0-5: the classic rebalance protocol (KIP-62 rebalance
// timeout, KIP-345 static members, KIP-394 member ids, KIP-559 protocol type, KIP-800 reasons, KIP-814 skipped
// assignment). The rules are in package group; here is only what versions look like.

// firstSyncVersionProtocol is the first version of SyncGroup in which a member must say what it takes the protocol for
// (KIP-559). The schema allows null; Kafka does not.
const firstSyncVersionProtocol = 5

// joinGroup waits until the group's next generation begins.
func (b *Broker) joinGroup(c *call, req *kmsg.JoinGroupRequest) (*kmsg.JoinGroupResponse, error) {
	join := group.JoinRequest{
		Group:              req.Group,
		MemberID:           req.MemberID,
		InstanceID:         text(req.InstanceID),
		ClientID:           c.clientID,
		ClientHost:         "/" + c.clientHost, // as Java writes an address
		RandomID:           randomID(),
		SessionTimeoutMs:   req.SessionTimeoutMillis,
		RebalanceTimeoutMs: req.RebalanceTimeoutMillis,
		ProtocolType:       req.ProtocolType,
		Reason:             text(req.Reason),
		RequireMemberID:    c.version >= 4,
		SkipAssignment:     c.version >= 9,
	}
	if c.version == 0 {
		join.RebalanceTimeoutMs = req.SessionTimeoutMillis
	}
	for _, p := range req.Protocols {
		join.Protocols = append(join.Protocols, group.Protocol{Name: p.Name, Metadata: bytes.Clone(p.Metadata)})
	}
	c.park()
	answer, err := askGroup[group.JoinAnswer](c.ctx, b.groups, req.Group, func(s *group.State, to group.Ticket) any {
		s.Join(to, join)
		return nil
	})
	if err != nil {
		answer = group.JoinAnswer{Code: group.Code(errorCode(err)), MemberID: req.MemberID, Generation: -1}
	}
	response := req.ResponseKind().(*kmsg.JoinGroupResponse)
	response.ErrorCode = int16(answer.Code)
	response.Generation = answer.Generation
	response.ProtocolType = nullable(answer.ProtocolType)
	response.Protocol = &answer.Protocol
	if c.version >= 7 {
		response.Protocol = nullable(answer.Protocol)
	}
	response.LeaderID = answer.Leader
	response.SkipAssignment = answer.SkipAssignment
	response.MemberID = answer.MemberID
	for _, m := range answer.Members {
		member := kmsg.NewJoinGroupResponseMember()
		member.MemberID, member.InstanceID, member.ProtocolMetadata = m.ID, nullable(m.InstanceID), m.Metadata
		response.Members = append(response.Members, member)
	}
	return response, nil
}

// syncGroup waits until the group's leader has assigned.
func (b *Broker) syncGroup(c *call, req *kmsg.SyncGroupRequest) (*kmsg.SyncGroupResponse, error) {
	response := req.ResponseKind().(*kmsg.SyncGroupResponse)
	if c.version >= firstSyncVersionProtocol && (req.ProtocolType == nil || req.Protocol == nil) {
		response.ErrorCode = int16(group.InconsistentGroupProtocol)
		return response, nil
	}
	sync := group.SyncRequest{
		Group:        req.Group,
		MemberID:     req.MemberID,
		InstanceID:   text(req.InstanceID),
		Generation:   req.Generation,
		ProtocolType: text(req.ProtocolType),
		Protocol:     text(req.Protocol),
	}
	for _, a := range req.GroupAssignment {
		sync.Assignments = append(sync.Assignments, group.Assignment{MemberID: a.MemberID, Bytes: bytes.Clone(a.MemberAssignment)})
	}
	c.park()
	answer, err := askGroup[group.SyncAnswer](c.ctx, b.groups, req.Group, func(s *group.State, to group.Ticket) any {
		s.Sync(to, sync)
		return nil
	})
	if err != nil {
		answer = group.SyncAnswer{Code: group.Code(errorCode(err))}
	}
	response.ErrorCode = int16(answer.Code)
	response.ProtocolType = nullable(answer.ProtocolType)
	response.Protocol = nullable(answer.Protocol)
	response.MemberAssignment = answer.Assignment
	return response, nil
}

// heartbeat keeps a member's session alive.
func (b *Broker) heartbeat(c *call, req *kmsg.HeartbeatRequest) (*kmsg.HeartbeatResponse, error) {
	groupID, memberID, instanceID, generation := req.Group, req.MemberID, text(req.InstanceID), req.Generation
	code, err := askGroupNow(c.ctx, b.groups, req.Group, func(s *group.State) group.Code {
		return s.Heartbeat(groupID, memberID, instanceID, generation)
	})
	response := req.ResponseKind().(*kmsg.HeartbeatResponse)
	response.ErrorCode = groupCode(code, err)
	return response, nil
}

// leaveGroup removes members at once.
func (b *Broker) leaveGroup(c *call, req *kmsg.LeaveGroupRequest) (*kmsg.LeaveGroupResponse, error) {
	leavers := []group.Leaver{{MemberID: req.MemberID}}
	if c.version >= 3 {
		leavers = leavers[:0]
		for _, m := range req.Members {
			leavers = append(leavers, group.Leaver{MemberID: m.MemberID, InstanceID: text(m.InstanceID), Reason: text(m.Reason)})
		}
	}
	groupID := req.Group
	answer, err := askGroupNow(c.ctx, b.groups, req.Group, func(s *group.State) groupCodes {
		code, codes := s.Leave(groupID, leavers)
		return groupCodes{code, codes}
	})
	response := req.ResponseKind().(*kmsg.LeaveGroupResponse)
	response.ErrorCode = groupCode(answer.code, err)
	if response.ErrorCode != 0 {
		return response, nil
	}
	if c.version < 3 {
		response.ErrorCode = int16(answer.codes[0])
		return response, nil
	}
	for i, m := range req.Members {
		member := kmsg.NewLeaveGroupResponseMember()
		member.MemberID, member.InstanceID, member.ErrorCode = m.MemberID, m.InstanceID, int16(answer.codes[i])
		response.Members = append(response.Members, member)
	}
	return response, nil
}

// groupCodes are one code for a request and, if that is 0, one for each of its parts.
type groupCodes struct {
	code  group.Code
	codes []group.Code
}

// groupCode is what a client is told: the coordinator's error, or the group's.
func groupCode(code group.Code, err error) int16 {
	if err != nil {
		return errorCode(err)
	}
	return int16(code)
}

// randomID is a random UUID.
func randomID() string {
	id := newID()
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}

// text is what a nullable string says; null says nothing.
func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// nullable makes null of an empty string.
func nullable(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
