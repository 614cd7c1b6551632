package broker

import (
	"context"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/broker/internal/group"
	"github.com/millrace/millrace/broker/internal/metadata"
	"github.com/millrace/millrace/internal/disk"
)

// offsetCommitRequest commits one offset without membership.
func offsetCommitRequest(b *Broker, version int16, group, topic string, partition int32, offset int64) *kmsg.OffsetCommitRequest {
	r := kmsg.NewPtrOffsetCommitRequest()
	r.Version, r.Group, r.Generation = version, group, -1
	t := kmsg.NewOffsetCommitRequestTopic()
	t.Topic = topic
	if b != nil {
		if known := b.controller.image().Topic(topic); known != nil {
			t.TopicID = known.ID
		}
	}
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	p.Partition, p.Offset, p.LeaderEpoch, p.Metadata = partition, offset, 3, kmsg.StringPtr("text")
	t.Partitions = append(t.Partitions, p)
	r.Topics = append(r.Topics, t)
	return r
}

func (c *client) commitCode(r *kmsg.OffsetCommitRequest) int16 {
	c.t.Helper()
	return c.ask(r).(*kmsg.OffsetCommitResponse).Topics[0].Partitions[0].ErrorCode
}

func (c *client) commit(version int16, group, topic string, partition int32, offset int64) int16 {
	c.t.Helper()
	return c.commitCode(offsetCommitRequest(nil, version, group, topic, partition, offset))
}

// fetchOffset asks for one partition's offset in a version before there were groups in the request.
func (c *client) fetchOffset(version int16, group, topic string, partition int32) kmsg.OffsetFetchResponseTopicPartition {
	c.t.Helper()
	r := kmsg.NewPtrOffsetFetchRequest()
	r.Version, r.Group = version, group
	t := kmsg.NewOffsetFetchRequestTopic()
	t.Topic, t.Partitions = topic, []int32{partition}
	r.Topics = append(r.Topics, t)
	answer := c.ask(r).(*kmsg.OffsetFetchResponse)
	if answer.ErrorCode != 0 || len(answer.Topics) != 1 || len(answer.Topics[0].Partitions) != 1 {
		c.t.Fatalf("fetch v%d: %+v", version, answer)
	}
	return answer.Topics[0].Partitions[0]
}

func TestOffsetsRoundTripInEveryVersion(t *testing.T) {
	b, c := groupClient(t)
	for version := int16(2); version <= 10; version++ {
		if code := c.commitCode(offsetCommitRequest(b, version, "g", "t", 1, int64(version))); code != 0 {
			t.Errorf("commit v%d: error %d", version, code)
		}
		epoch := int32(3)
		if version < 6 {
			epoch = -1
		}
		for fetch := int16(1); fetch <= 7; fetch++ {
			o := c.fetchOffset(fetch, "g", "t", 1)
			if o.Offset != int64(version) || *o.Metadata != "text" || fetch >= 5 && o.LeaderEpoch != epoch {
				t.Errorf("commit v%d, fetch v%d: %+v", version, fetch, o)
			}
		}
		for fetch := int16(8); fetch <= 10; fetch++ {
			c.expectGroups(b, fetch, int64(version))
		}
	}
}

// expectGroups asks for several groups at once: one by partition, one for all, one that does not exist.
func (c *client) expectGroups(b *Broker, version int16, offset int64) {
	c.t.Helper()
	id := b.controller.image().Topic("t").ID
	r := kmsg.NewPtrOffsetFetchRequest()
	r.Version, r.RequireStable = version, true
	named := kmsg.NewOffsetFetchRequestGroupTopic()
	named.Topic, named.TopicID, named.Partitions = "t", id, []int32{0, 1}
	for _, name := range []string{"g", "g", "nowhere"} {
		wanted := kmsg.NewOffsetFetchRequestGroup()
		wanted.Group = name
		wanted.Topics = []kmsg.OffsetFetchRequestGroupTopic{named}
		r.Groups = append(r.Groups, wanted)
	}
	r.Groups[1].Topics = nil
	groups := c.ask(r).(*kmsg.OffsetFetchResponse).Groups
	if len(groups) != 3 {
		c.t.Fatalf("fetch v%d: %+v", version, groups)
	}
	for i, want := range [][]int64{{-1, offset}, {offset}, {-1, -1}} {
		g := groups[i]
		if g.ErrorCode != 0 || len(g.Topics) != 1 || len(g.Topics[0].Partitions) != len(want) {
			c.t.Fatalf("fetch v%d: %+v", version, g)
		}
		if version >= 10 && g.Topics[0].TopicID != id || version < 10 && g.Topics[0].Topic != "t" {
			c.t.Errorf("fetch v%d: %+v", version, g.Topics[0])
		}
		for j, o := range g.Topics[0].Partitions {
			if o.Offset != want[j] || o.ErrorCode != 0 {
				c.t.Errorf("fetch v%d, group %d: %+v, want offset %d", version, i, o, want[j])
			}
		}
	}
}

func TestCommitIsRefused(t *testing.T) {
	b, c := groupClient(t)
	joined := c.join(9, "busy")
	cases := map[string]struct {
		version int16
		change  func(*kmsg.OffsetCommitRequest)
		want    *kerr.Error
	}{
		"unknown topic":      {8, func(r *kmsg.OffsetCommitRequest) { r.Topics[0].Topic = "nowhere" }, kerr.UnknownTopicOrPartition},
		"unknown topic id":   {10, func(r *kmsg.OffsetCommitRequest) { r.Topics[0].TopicID[0]++ }, kerr.UnknownTopicID},
		"unknown partition":  {10, func(r *kmsg.OffsetCommitRequest) { r.Topics[0].Partitions[0].Partition = 2 }, kerr.UnknownTopicOrPartition},
		"negative partition": {8, func(r *kmsg.OffsetCommitRequest) { r.Topics[0].Partitions[0].Partition = -1 }, kerr.UnknownTopicOrPartition},
		"metadata too large": {8, func(r *kmsg.OffsetCommitRequest) {
			r.Topics[0].Partitions[0].Metadata = kmsg.StringPtr(strings.Repeat("x", 4097))
		}, kerr.OffsetMetadataTooLarge},
		"unknown group, old version": {8, func(r *kmsg.OffsetCommitRequest) { r.Generation = 1 }, kerr.IllegalGeneration},
		"unknown group":              {9, func(r *kmsg.OffsetCommitRequest) { r.Generation = 1 }, kerr.GroupIDNotFound},
		"no member of a busy group":  {8, func(r *kmsg.OffsetCommitRequest) { r.Group = "busy" }, kerr.UnknownMemberID},
		"stale generation":           {8, func(r *kmsg.OffsetCommitRequest) { r.Group, r.MemberID, r.Generation = "busy", joined.MemberID, 0 }, kerr.IllegalGeneration},
		"before its assignment": {8, func(r *kmsg.OffsetCommitRequest) {
			r.Group, r.MemberID, r.Generation = "busy", joined.MemberID, joined.Generation
		}, kerr.RebalanceInProgress},
		"instance that was never seen": {8, func(r *kmsg.OffsetCommitRequest) { r.Group, r.InstanceID = "busy", kmsg.StringPtr("i") }, kerr.UnknownMemberID},
	}
	for name, test := range cases {
		r := offsetCommitRequest(b, test.version, "g", "t", 0, 1)
		test.change(r)
		if code := c.commitCode(r); code != test.want.Code {
			t.Errorf("%s: error %d, want %d", name, code, test.want.Code)
		}
	}
	if o := c.fetchOffset(7, "g", "t", 0); o.Offset != -1 {
		t.Errorf("a refused commit has left %+v", o)
	}
}

func TestOffsetsAreDeleted(t *testing.T) {
	_, c := groupClient(t)
	joined := c.join(9, "g") // reads t
	c.ask(syncRequest(5, joined, "g"))
	r := offsetCommitRequest(nil, 8, "g", "u", 0, 5)
	r.MemberID, r.Generation = joined.MemberID, joined.Generation
	if code := c.commitCode(r); code != 0 {
		t.Fatal("commit", code)
	}
	del := kmsg.NewPtrOffsetDeleteRequest()
	del.Group = "g"
	for _, topic := range []string{"t", "u", "nowhere"} {
		dt := kmsg.NewOffsetDeleteRequestTopic()
		dt.Topic = topic
		dt.Partitions = []kmsg.OffsetDeleteRequestTopicPartition{{Partition: 0}, {Partition: 9}}
		del.Topics = append(del.Topics, dt)
	}
	answer := c.ask(del).(*kmsg.OffsetDeleteResponse)
	for i, want := range []*kerr.Error{kerr.GroupSubscribedToTopic, nil, kerr.UnknownTopicOrPartition} {
		code := int16(0)
		if want != nil {
			code = want.Code
		}
		p := answer.Topics[i].Partitions
		if p[0].ErrorCode != code || p[1].ErrorCode != kerr.UnknownTopicOrPartition.Code {
			t.Errorf("%s: %+v, want error %d", answer.Topics[i].Topic, p, code)
		}
	}
	if o := c.fetchOffset(7, "g", "u", 0); o.Offset != -1 {
		t.Errorf("the deleted offset is %+v", o)
	}
	del.Group = "nowhere"
	if code := c.ask(del).(*kmsg.OffsetDeleteResponse).ErrorCode; code != kerr.GroupIDNotFound.Code {
		t.Errorf("of an unknown group: error %d", code)
	}
}

func TestTopicTakesItsOffsetsAlong(t *testing.T) {
	b, c := groupClient(t)
	for _, group := range []string{"g", "h", "i"} {
		if c.commit(8, group, "t", 0, 5) != 0 || c.commit(8, group, "u", 0, 6) != 0 {
			t.Fatal("commit")
		}
	}
	summaries, err := b.groups.summaries(context.Background())
	if err != nil || len(summaries) != 3 || summaries[1].Group != "h" || len(summaries[1].Offsets) != 2 ||
		summaries[1].Offsets[1] != (group.CommittedOffset{TopicPartition: group.TopicPartition{Topic: "u"}, Offset: 6}) {
		t.Errorf("summaries %+v, %v", summaries, err)
	}
	del := kmsg.NewPtrDeleteTopicsRequest()
	del.Version, del.TopicNames, del.TimeoutMillis = 1, []string{"t"}, 1000
	if code := c.ask(del).(*kmsg.DeleteTopicsResponse).Topics[0].ErrorCode; code != 0 {
		t.Fatal("delete topic", code)
	}
	createTopic(t, b, "t", 2)
	for _, group := range []string{"g", "h", "i"} {
		if o := c.fetchOffset(7, group, "t", 0); o.Offset != -1 {
			t.Errorf("the new topic begins at %+v for %s", o, group)
		}
		if o := c.fetchOffset(7, group, "u", 0); o.Offset != 6 {
			t.Errorf("the other topic is at %+v for %s", o, group)
		}
	}
}

// TestAcknowledgedCommitSurvivesCrash crashes right after each of many commits, losing all that was not synced.
func TestAcknowledgedCommitSurvivesCrash(t *testing.T) {
	files := disk.NewCrashable(1)
	options := Options{DataDir: "/data", Logger: testLogger(), fileSystem: files}
	b := startBroker(t, options, nil)
	createTopic(t, b, "t", 2)
	c := dial(t, b)
	for offset := range int64(20) {
		if code := c.commit(8, "g", "t", 1, offset); code != 0 {
			t.Fatal("commit", code)
		}
		options.fileSystem = files.CrashCopy(disk.Crash{})
		after := startBroker(t, options, nil)
		if o := dial(t, after).fetchOffset(7, "g", "t", 1); o.Offset != offset || *o.Metadata != "text" || o.LeaderEpoch != 3 {
			t.Fatalf("committed %d, after the crash there is %+v", offset, o)
		}
	}
}

// TestOffsetsTopicThatIsDeletedComesBackEmpty: deleting the internal topic is deleting all groups, not the broker.
func TestOffsetsTopicThatIsDeletedComesBackEmpty(t *testing.T) {
	b, c := groupClient(t)
	if code := c.commit(8, "g", "t", 0, 5); code != 0 {
		t.Fatal("commit", code)
	}
	err := b.controller.change(t.Context(), func(image *metadata.Image) ([]metadata.Record, error) {
		return []metadata.Record{&metadata.RemoveTopicRecord{ID: image.Topic(metadata.OffsetsTopic).ID}}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if o := c.fetchOffset(7, "g", "t", 0); o.Offset != -1 {
		t.Errorf("after all groups were deleted there is %+v", o)
	}
	if code := c.commit(8, "g", "t", 0, 6); code != 0 {
		t.Errorf("commit to the new topic: error %d", code)
	}
}

// TestDeletionThatCrashedIsFinishedAtTheStart: the topic is gone, and the crash came before its offsets were.
func TestDeletionThatCrashedIsFinishedAtTheStart(t *testing.T) {
	options := Options{DataDir: "/data", Logger: testLogger(), fileSystem: disk.NewMem()}
	b := startBroker(t, options, nil)
	createTopic(t, b, "t", 2)
	if code := dial(t, b).commit(8, "g", "t", 0, 5); code != 0 {
		t.Fatal("commit", code)
	}
	b.controller.topicsDeleted = nil
	err := b.controller.change(t.Context(), func(image *metadata.Image) ([]metadata.Record, error) {
		return []metadata.Record{&metadata.RemoveTopicRecord{ID: image.Topic("t").ID}}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	all := kmsg.NewPtrOffsetFetchRequest()
	all.Version, all.Groups = 10, []kmsg.OffsetFetchRequestGroup{{Group: "g", MemberEpoch: -1}}
	if g := dial(t, b).ask(all).(*kmsg.OffsetFetchResponse).Groups[0]; g.ErrorCode != 0 || len(g.Topics) > 0 {
		t.Errorf("by id there is still %+v", g)
	}
	if err := b.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	b = startBroker(t, options, nil)
	createTopic(t, b, "t", 2)
	if o := dial(t, b).fetchOffset(7, "g", "t", 0); o.Offset != -1 {
		t.Errorf("the new topic begins at %+v", o)
	}
}

// TestOldCommitMayAskForItsRetention: OffsetCommit v2 to v4 say how long an offset is to be kept.
func TestOldCommitMayAskForItsRetention(t *testing.T) {
	b := startBroker(t, Options{Logger: testLogger(), Config: map[string]string{"offsets.retention.check.interval.ms": "1"}}, nil)
	createTopic(t, b, "t", 2)
	c := dial(t, b)
	for version := int16(2); version <= 5; version++ {
		r := offsetCommitRequest(nil, version, "g", "t", int32(version&1), 5)
		r.RetentionTimeMillis = 1
		if code := c.commitCode(r); code != 0 {
			t.Fatal("commit", code)
		}
		for version < 5 && c.fetchOffset(7, "g", "t", int32(version&1)).Offset != -1 {
			t.Log("not expired yet")
		}
	}
	if o := c.fetchOffset(7, "g", "t", 1); o.Offset != 5 {
		t.Errorf("of a version that cannot ask there is %+v", o)
	}
}
