package broker

import (
	"fmt"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// groupClient is a client of a broker in memory with topics t and u, of two partitions each, whose groups do not wait
// for more members.
func groupClient(t *testing.T) (*Broker, *client) {
	t.Helper()
	b := startBroker(t, Options{Logger: testLogger(), Config: map[string]string{
		"group.initial.rebalance.delay.ms": "0", "offsets.topic.num.partitions": "2",
	}}, nil)
	createTopic(t, b, "t", 2)
	createTopic(t, b, "u", 2)
	return b, dial(t, b)
}

func joinRequest(version int16, group, memberID string) *kmsg.JoinGroupRequest {
	r := kmsg.NewPtrJoinGroupRequest()
	r.Version, r.Group, r.MemberID = version, group, memberID
	r.SessionTimeoutMillis, r.RebalanceTimeoutMillis = 300_000, 10_000
	r.ProtocolType = "consumer"
	subscription := kmsg.ConsumerMemberMetadata{Topics: []string{"t"}}
	protocol := kmsg.NewJoinGroupRequestProtocol()
	protocol.Name, protocol.Metadata = "range", subscription.AppendTo(nil)
	r.Protocols = append(r.Protocols, protocol)
	return r
}

func syncRequest(version int16, joined *kmsg.JoinGroupResponse, group string) *kmsg.SyncGroupRequest {
	r := kmsg.NewPtrSyncGroupRequest()
	r.Version, r.Group, r.MemberID, r.Generation = version, group, joined.MemberID, joined.Generation
	r.ProtocolType, r.Protocol = kmsg.StringPtr("consumer"), joined.Protocol
	assignment := kmsg.NewSyncGroupRequestGroupAssignment()
	assignment.MemberID, assignment.MemberAssignment = joined.MemberID, []byte("mine")
	r.GroupAssignment = append(r.GroupAssignment, assignment)
	return r
}

// join takes the client through JoinGroup and SyncGroup as the only member of a group.
func (c *client) join(version int16, group string) *kmsg.JoinGroupResponse {
	c.t.Helper()
	joined := c.ask(joinRequest(version, group, "")).(*kmsg.JoinGroupResponse)
	if joined.ErrorCode == kerr.MemberIDRequired.Code {
		joined = c.ask(joinRequest(version, group, joined.MemberID)).(*kmsg.JoinGroupResponse)
	}
	if joined.ErrorCode != 0 || joined.MemberID == "" || joined.LeaderID != joined.MemberID || len(joined.Members) != 1 {
		c.t.Fatalf("join v%d: %+v", version, joined)
	}
	return joined
}

func TestSyncGroupMustNameTheProtocolFromVersion5(t *testing.T) {
	_, c := groupClient(t)
	joined := c.join(7, "g")
	for name, forget := range map[string]func(*kmsg.SyncGroupRequest){
		"type":     func(r *kmsg.SyncGroupRequest) { r.ProtocolType = nil },
		"protocol": func(r *kmsg.SyncGroupRequest) { r.Protocol = nil },
	} {
		r := syncRequest(5, joined, "g")
		forget(r)
		if code := c.ask(r).(*kmsg.SyncGroupResponse).ErrorCode; code != kerr.InconsistentGroupProtocol.Code {
			t.Errorf("without %s: error %d", name, code)
		}
	}
	if synced := c.ask(syncRequest(5, joined, "g")).(*kmsg.SyncGroupResponse); synced.ErrorCode != 0 || string(synced.MemberAssignment) != "mine" {
		t.Errorf("with both: %+v", synced)
	}
}

// TestMemberLivesInEveryVersion joins, syncs, heartbeats and leaves in every version of the four.
func TestMemberLivesInEveryVersion(t *testing.T) {
	_, c := groupClient(t)
	for version := range int16(10) {
		group := fmt.Sprint("v", version)
		joined := c.join(version, group)
		synced := c.ask(syncRequest(min(version, 5), joined, group)).(*kmsg.SyncGroupResponse)
		if synced.ErrorCode != 0 || string(synced.MemberAssignment) != "mine" {
			t.Errorf("sync v%d: %+v", min(version, 5), synced)
		}
		if version >= 7 && (joined.ProtocolType == nil || *joined.ProtocolType != "consumer" || *synced.Protocol != "range") {
			t.Errorf("v%d: joined %+v, synced %+v", version, joined, synced)
		}
		beat := kmsg.NewPtrHeartbeatRequest()
		beat.Version, beat.Group, beat.MemberID, beat.Generation = min(version, 4), group, joined.MemberID, joined.Generation
		if code := c.ask(beat).(*kmsg.HeartbeatResponse).ErrorCode; code != 0 {
			t.Errorf("heartbeat v%d: error %d", beat.Version, code)
		}
		leave := kmsg.NewPtrLeaveGroupRequest()
		leave.Version, leave.Group, leave.MemberID = min(version, 5), group, joined.MemberID
		leave.Members = []kmsg.LeaveGroupRequestMember{{MemberID: joined.MemberID}, {MemberID: "ghost"}}
		left := c.ask(leave).(*kmsg.LeaveGroupResponse)
		if left.ErrorCode != 0 {
			t.Errorf("leave v%d: %+v", leave.Version, left)
		}
		if version >= 3 && (len(left.Members) != 2 || left.Members[0].ErrorCode != 0 || left.Members[1].ErrorCode != kerr.UnknownMemberID.Code) {
			t.Errorf("leave v%d: %+v", leave.Version, left)
		}
		if code := c.ask(leave).(*kmsg.LeaveGroupResponse).ErrorCode; version < 3 && code != kerr.UnknownMemberID.Code {
			t.Errorf("second leave v%d: error %d", leave.Version, code)
		}
		if code := c.ask(beat).(*kmsg.HeartbeatResponse).ErrorCode; code != kerr.UnknownMemberID.Code {
			t.Errorf("heartbeat v%d after leaving: error %d", beat.Version, code)
		}
	}
}

// TestOnlyNewVersionsGetAMemberIDFirst: enforcing it on older ones hangs clients (kafka-go).
func TestOnlyNewVersionsGetAMemberIDFirst(t *testing.T) {
	_, c := groupClient(t)
	for version := range int16(10) {
		joined := c.ask(joinRequest(version, fmt.Sprint("v", version), "")).(*kmsg.JoinGroupResponse)
		want := int16(0)
		if version >= 4 {
			want = kerr.MemberIDRequired.Code
		}
		if joined.ErrorCode != want || joined.MemberID == "" {
			t.Errorf("join v%d: %+v", version, joined)
		}
		if version >= 5 {
			static := joinRequest(version, fmt.Sprint("static", version), "")
			static.InstanceID = kmsg.StringPtr("one")
			if code := c.ask(static).(*kmsg.JoinGroupResponse).ErrorCode; code != 0 {
				t.Errorf("join v%d with an instance id: error %d", version, code)
			}
		}
	}
}

func TestJoinIsRefused(t *testing.T) {
	_, c := groupClient(t)
	cases := map[string]struct {
		change func(*kmsg.JoinGroupRequest)
		want   *kerr.Error
	}{
		"no group":         {func(r *kmsg.JoinGroupRequest) { r.Group = "" }, kerr.InvalidGroupID},
		"short session":    {func(r *kmsg.JoinGroupRequest) { r.SessionTimeoutMillis = 5_999 }, kerr.InvalidSessionTimeout},
		"long session":     {func(r *kmsg.JoinGroupRequest) { r.SessionTimeoutMillis = 1_800_001 }, kerr.InvalidSessionTimeout},
		"no protocol":      {func(r *kmsg.JoinGroupRequest) { r.Protocols = nil }, kerr.InconsistentGroupProtocol},
		"unknown member":   {func(r *kmsg.JoinGroupRequest) { r.MemberID = "ghost" }, kerr.UnknownMemberID},
		"absurd rebalance": {func(r *kmsg.JoinGroupRequest) { r.RebalanceTimeoutMillis = -1 << 31; r.ProtocolType = "" }, kerr.InconsistentGroupProtocol},
	}
	for name, test := range cases {
		r := joinRequest(3, "g", "")
		test.change(r)
		if joined := c.ask(r).(*kmsg.JoinGroupResponse); joined.ErrorCode != test.want.Code || joined.LeaderID != "" {
			t.Errorf("%s: %+v, want error %d", name, joined, test.want.Code)
		}
	}
}

func TestFindCoordinatorInEveryVersion(t *testing.T) {
	b, c := groupClient(t)
	_, port := b.advertised("")
	for version := range int16(6) {
		r := kmsg.NewPtrFindCoordinatorRequest()
		r.Version, r.CoordinatorKey, r.CoordinatorKeys = version, "g", []string{"g", "h"}
		found := c.ask(r).(*kmsg.FindCoordinatorResponse)
		if version < 4 {
			if found.ErrorCode != 0 || found.NodeID != b.config.NodeId || found.Port != port || found.Host == "" {
				t.Errorf("v%d: %+v", version, found)
			}
			continue
		}
		if len(found.Coordinators) != 2 || found.Coordinators[1].Key != "h" || found.Coordinators[1].Port != port || found.Coordinators[1].ErrorCode != 0 {
			t.Errorf("v%d: %+v", version, found)
		}
	}
	for kind, want := range map[int8]int16{coordinatorTypeTransaction: 0, 7: kerr.InvalidRequest.Code} {
		r := kmsg.NewPtrFindCoordinatorRequest()
		r.Version, r.CoordinatorKey, r.CoordinatorType = 1, "x", kind
		if found := c.ask(r).(*kmsg.FindCoordinatorResponse); found.ErrorCode != want {
			t.Errorf("coordinator of type %d: %+v, want %d", kind, found, want)
		}
	}
	if topic := b.controller.image().Topic("__consumer_offsets"); topic == nil || !topic.Internal || topic.Partitions != 2 || topic.Configs["cleanup.policy"] != "compact" {
		t.Errorf("the topic that FindCoordinator has created: %+v", topic)
	}
}

func TestGroupsAreDescribedListedAndDeleted(t *testing.T) {
	_, c := groupClient(t)
	joined := c.join(9, "busy")
	c.ask(syncRequest(5, joined, "busy"))
	if code := c.commit(8, "idle", "t", 0, 5); code != 0 {
		t.Fatal("commit", code)
	}
	for version := range int16(7) {
		r := kmsg.NewPtrDescribeGroupsRequest()
		r.Version, r.Groups, r.IncludeAuthorizedOperations = version, []string{"busy", "idle", "nowhere"}, true
		d := c.ask(r).(*kmsg.DescribeGroupsResponse).Groups
		if d[0].State != "Stable" || d[0].Protocol != "range" || len(d[0].Members) != 1 || string(d[0].Members[0].MemberAssignment) != "mine" ||
			d[0].Members[0].ClientHost != "/127.0.0.1" || d[0].Members[0].ClientID != "test" {
			t.Errorf("v%d: %+v", version, d[0])
		}
		if d[1].State != "Empty" || d[1].ErrorCode != 0 {
			t.Errorf("v%d: %+v", version, d[1])
		}
		unknown := int16(0)
		if version >= 6 {
			unknown = kerr.GroupIDNotFound.Code
		}
		if d[2].State != "Dead" || d[2].ErrorCode != unknown || (version >= 6) != (d[2].ErrorMessage != nil) {
			t.Errorf("v%d: %+v", version, d[2])
		}
		if version >= 3 && d[0].AuthorizedOperations != groupOperations {
			t.Errorf("v%d: operations %b", version, d[0].AuthorizedOperations)
		}
	}
	for version := range int16(6) {
		if got := c.list(version, nil, nil); !slices.Equal(got, []string{"busy", "idle"}) {
			t.Errorf("list v%d: %q", version, got)
		}
	}
	if got := c.list(4, []string{"stable"}, nil); !slices.Equal(got, []string{"busy"}) {
		t.Errorf("stable groups: %q", got)
	}
	if got := c.list(5, nil, []string{"Classic"}); !slices.Equal(got, []string{"busy", "idle"}) {
		t.Errorf("classic groups: %q", got)
	}
	if got := c.list(5, nil, []string{"consumer"}); len(got) > 0 {
		t.Errorf("consumer groups: %q", got)
	}
	for version := range int16(4) {
		r := kmsg.NewPtrDeleteGroupsRequest()
		r.Version, r.Groups = version, []string{"busy", "idle", "nowhere"}
		deleted := c.ask(r).(*kmsg.DeleteGroupsResponse).Groups
		idle := kerr.GroupIDNotFound.Code
		if version == 0 {
			idle = 0
		}
		if deleted[0].ErrorCode != kerr.NonEmptyGroup.Code || deleted[1].ErrorCode != idle || deleted[2].ErrorCode != kerr.GroupIDNotFound.Code {
			t.Errorf("delete v%d: %+v", version, deleted)
		}
		if (deleted[0].ErrorMessage != nil) != (version == 3) {
			t.Errorf("delete v%d: message %v", version, deleted[0].ErrorMessage)
		}
	}
}

func (c *client) list(version int16, states, types []string) []string {
	c.t.Helper()
	r := kmsg.NewPtrListGroupsRequest()
	r.Version, r.StatesFilter, r.TypesFilter = version, states, types
	listed := c.ask(r).(*kmsg.ListGroupsResponse)
	if listed.ErrorCode != 0 {
		c.t.Errorf("list v%d: error %d", version, listed.ErrorCode)
	}
	var ids []string
	for _, g := range listed.Groups {
		ids = append(ids, g.Group)
	}
	return ids
}

// TestGroupsArePlacedAsInKafka: the partition of __consumer_offsets is that of Kafka's Java hash.
func TestGroupsArePlacedAsInKafka(t *testing.T) {
	for group, want := range map[string]int32{
		"": 0, "a": 97 % 50, "console-consumer-1": 24, "my-group": 12, /* negative */
		"polygenelubricants": 0, // its hash is the one integer without an absolute value
		"é":                  233 % 50,
		"😀":                  1772899 % 50, // two UTF-16 units: 0xd83d*31 + 0xde00
	} {
		if got := shardIndex(group, 50); got != want {
			t.Errorf("%q is on partition %d, want %d", group, got, want)
		}
	}
}
