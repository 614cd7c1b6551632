package broker

import (
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestNoLeaderNeedsToBeElected(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	createTopic(t, b, "a", 3)
	c := dial(t, b)
	some := []kmsg.ElectLeadersRequestTopic{{Topic: "a", Partitions: []int32{0, 9}}, {Topic: "x", Partitions: []int32{0}}}
	for version := int16(0); version <= 2; version++ {
		for _, test := range []struct {
			kind   int8
			topics []kmsg.ElectLeadersRequestTopic
			want   string
		}{
			{0, some, "0 a: 0=84 9=3 x: 0=3 "},
			{1, some, "0 a: 0=84 9=3 x: 0=3 "},
			{5, some, "42 a: 0=42 9=42 x: 0=42 "},
			{0, nil, "0 a: "},
		} {
			if version == 0 && test.kind != 0 {
				continue // has one type of election
			}
			r := kmsg.NewPtrElectLeadersRequest()
			r.SetVersion(version)
			r.ElectionType, r.Topics = test.kind, test.topics
			answer := c.ask(r).(*kmsg.ElectLeadersResponse)
			got := fmt.Sprintf("%d ", answer.ErrorCode)
			for _, topic := range answer.Topics {
				got += topic.Topic + ": "
				for _, p := range topic.Partitions {
					got += fmt.Sprintf("%d=%d ", p.Partition, p.ErrorCode)
					if p.ErrorMessage == nil {
						t.Errorf("version %d: %s-%d: no message", version, topic.Topic, p.Partition)
					}
				}
			}
			if got != test.want {
				t.Errorf("version %d, type %d: %q, want %q", version, test.kind, got, test.want)
			}
		}
	}
}

func TestAPartitionCanOnlyMoveToWhereItIs(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	createTopic(t, b, "a", 1)
	c := dial(t, b)
	invalid := kerr.InvalidReplicaAssignment.Code
	for _, test := range []struct {
		topic    string
		index    int32
		replicas []int32
		code     int16
	}{
		{"a", 0, []int32{1}, 0},
		{"a", 0, nil, kerr.NoReassignmentInProgress.Code},
		{"a", 0, []int32{2}, invalid},
		{"a", 0, []int32{1, 2}, invalid},
		{"a", 0, []int32{1, 1}, invalid},
		{"a", 0, []int32{}, invalid},
		{"a", 0, []int32{-1}, invalid},
		{"a", 1, []int32{1}, kerr.UnknownTopicOrPartition.Code},
		{"a", -1, nil, kerr.UnknownTopicOrPartition.Code},
		{"x", 0, []int32{1}, kerr.UnknownTopicOrPartition.Code},
		{"x", 0, nil, kerr.UnknownTopicOrPartition.Code},
	} {
		for version := int16(0); version <= 1; version++ {
			r := kmsg.NewPtrAlterPartitionAssignmentsRequest()
			r.SetVersion(version)
			r.Topics = []kmsg.AlterPartitionAssignmentsRequestTopic{{Topic: test.topic,
				Partitions: []kmsg.AlterPartitionAssignmentsRequestTopicPartition{{Partition: test.index, Replicas: test.replicas}}}}
			answer := c.ask(r).(*kmsg.AlterPartitionAssignmentsResponse)
			p := answer.Topics[0].Partitions[0]
			if answer.ErrorCode != 0 || p.ErrorCode != test.code || (p.ErrorMessage == nil) != (test.code == 0) {
				t.Errorf("%+v in version %d: %+v", test, version, answer)
			}
		}
	}
	list := c.ask(kmsg.NewPtrListPartitionReassignmentsRequest()).(*kmsg.ListPartitionReassignmentsResponse)
	if list.ErrorCode != 0 || len(list.Topics) != 0 {
		t.Errorf("%+v", list)
	}
}
