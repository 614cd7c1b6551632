package broker

import (
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestRepeatedMentionsAreAnsweredOnce: a few bytes in a request ask for kilobytes in the answer. A request that repeats
// them would make the broker build an answer of gigabytes.
func TestRepeatedMentionsAreAnsweredOnce(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	createTopic(t, b, "t", 2)
	c := dial(t, b)
	for _, partition := range []int32{0, 1} {
		committed := c.ask(offsetCommitRequest(b, 8, "g", "t", partition, 7)).(*kmsg.OffsetCommitResponse)
		if code := committed.Topics[0].Partitions[0].ErrorCode; code != 0 {
			t.Fatalf("commit: %d", code)
		}
	}
	const mentions = 1000

	configs := describeRequest(4, kmsg.ConfigResourceTypeBroker, "1")
	configs.Resources = slices.Repeat(append(configs.Resources, describeRequest(4, kmsg.ConfigResourceTypeTopic, "t").Resources...), mentions)
	if r := c.ask(configs).(*kmsg.DescribeConfigsResponse); len(r.Resources) != 2 || r.Resources[1].ResourceName != "t" {
		t.Errorf("configs: %d resources", len(r.Resources))
	}

	groups := kmsg.NewPtrDescribeGroupsRequest()
	groups.SetVersion(5)
	groups.Groups = slices.Repeat([]string{"g", "h"}, mentions)
	if r := c.ask(groups).(*kmsg.DescribeGroupsResponse); len(r.Groups) != 2 || r.Groups[1].Group != "h" {
		t.Errorf("%d groups", len(r.Groups))
	}

	offsets := kmsg.NewPtrOffsetFetchRequest()
	offsets.SetVersion(5)
	offsets.Group = "g"
	offsets.Topics = slices.Repeat([]kmsg.OffsetFetchRequestTopic{{Topic: "t", Partitions: []int32{0, 0}}, {Topic: "t", Partitions: []int32{1}}}, mentions)
	found := map[int32]int{}
	for _, topic := range c.ask(offsets).(*kmsg.OffsetFetchResponse).Topics {
		for _, p := range topic.Partitions {
			if found[p.Partition]++; p.Offset != 7 {
				t.Errorf("offset %d", p.Offset)
			}
		}
	}
	if len(found) != 2 || found[0] != 1 || found[1] != 1 {
		t.Errorf("offsets by partition: %v", found)
	}

	all := kmsg.NewPtrOffsetFetchRequest()
	all.SetVersion(8)
	group := kmsg.NewOffsetFetchRequestGroup()
	group.Group, group.Topics = "g", nil
	all.Groups = slices.Repeat([]kmsg.OffsetFetchRequestGroup{group}, mentions)
	if r := c.ask(all).(*kmsg.OffsetFetchResponse); len(r.Groups) != 1 || len(r.Groups[0].Topics) != 1 {
		t.Errorf("offsets of %d groups", len(r.Groups))
	}
}
