package broker

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// stranger is who a member says that it is, wrongly.
type stranger struct {
	group, member string
	instance      *string
	generation    int32
	want          *kerr.Error
}

// TestStaleMembersAreTurnedAway tells the exact code to members of another generation, to such as never joined and to
// the one that a static member has replaced; the group goes on as it was.
func TestStaleMembersAreTurnedAway(t *testing.T) {
	_, c := groupClient(t)
	joined := c.join(9, "g")
	if code := c.ask(syncRequest(5, joined, "g")).(*kmsg.SyncGroupResponse).ErrorCode; code != 0 {
		t.Fatalf("sync: error %d", code)
	}
	instance := kmsg.StringPtr("i")
	static := func() *kmsg.JoinGroupResponse {
		r := joinRequest(9, "static", "")
		r.InstanceID = instance
		return c.ask(r).(*kmsg.JoinGroupResponse)
	}
	replaced := static()
	if code := c.ask(syncRequest(5, replaced, "static")).(*kmsg.SyncGroupResponse).ErrorCode; code != 0 {
		t.Fatalf("sync: error %d", code)
	}
	second := static() // the same instance again: the first is fenced
	if second.ErrorCode != 0 || second.MemberID == replaced.MemberID {
		t.Fatalf("second: %+v", second)
	}
	strangers := map[string]stranger{
		"older generation":   {"g", joined.MemberID, nil, joined.Generation - 1, kerr.IllegalGeneration},
		"newer generation":   {"g", joined.MemberID, nil, joined.Generation + 1, kerr.IllegalGeneration},
		"unknown member":     {"g", "ghost", nil, joined.Generation, kerr.UnknownMemberID},
		"unknown group":      {"nowhere", joined.MemberID, nil, joined.Generation, kerr.UnknownMemberID},
		"replaced instance":  {"static", replaced.MemberID, instance, second.Generation, kerr.FencedInstanceID},
		"instance of nobody": {"static", second.MemberID, kmsg.StringPtr("x"), second.Generation, kerr.UnknownMemberID},
		"no group":           {"", joined.MemberID, nil, joined.Generation, kerr.InvalidGroupID},
	}
	for name, s := range strangers {
		t.Run(name, func(t *testing.T) {
			for api, code := range map[string]int16{"Heartbeat": c.beatAs(s), "SyncGroup": c.syncAs(s)} {
				if code != s.want.Code {
					t.Errorf("%s: error %d (%v), want %d (%v)", api, code, kerr.ErrorForCode(code), s.want.Code, s.want)
				}
			}
		})
	}
	if code := c.beatAs(stranger{group: "g", member: joined.MemberID, generation: joined.Generation}); code != 0 {
		t.Errorf("the member itself: error %d", code)
	}
	if code := c.beatAs(stranger{group: "static", member: second.MemberID, instance: instance, generation: second.Generation}); code != 0 {
		t.Errorf("the member that replaced the other: error %d", code)
	}
}

func (c *client) beatAs(s stranger) int16 {
	c.t.Helper()
	r := kmsg.NewPtrHeartbeatRequest()
	r.Version, r.Group, r.MemberID, r.InstanceID, r.Generation = 4, s.group, s.member, s.instance, s.generation
	return c.ask(r).(*kmsg.HeartbeatResponse).ErrorCode
}

func (c *client) syncAs(s stranger) int16 {
	c.t.Helper()
	r := kmsg.NewPtrSyncGroupRequest()
	r.Version, r.Group, r.MemberID, r.InstanceID, r.Generation = 3, s.group, s.member, s.instance, s.generation
	return c.ask(r).(*kmsg.SyncGroupResponse).ErrorCode
}

// TestUnknownGroupsAreAnsweredAsKafkaDoes: what is no error in Kafka is none here.
func TestUnknownGroupsAreAnsweredAsKafkaDoes(t *testing.T) {
	_, c := groupClient(t)
	for version := int16(1); version <= 7; version++ {
		if o := c.fetchOffset(version, "nowhere", "t", 0); o.ErrorCode != 0 || o.Offset != -1 {
			t.Errorf("OffsetFetch v%d: %+v, want offset -1 and no error", version, o)
		}
	}
	leave := kmsg.NewPtrLeaveGroupRequest()
	leave.Version, leave.Group = 5, "nowhere"
	leave.Members = []kmsg.LeaveGroupRequestMember{{MemberID: "ghost"}}
	left := c.ask(leave).(*kmsg.LeaveGroupResponse)
	if left.ErrorCode != 0 || len(left.Members) != 1 || left.Members[0].ErrorCode != kerr.UnknownMemberID.Code {
		t.Errorf("LeaveGroup: %+v", left)
	}
}
