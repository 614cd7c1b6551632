package broker

import (
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// describedPage is an answer in short: topic:error[partitions]@next.
func describedPage(r *kmsg.DescribeTopicPartitionsResponse) string {
	text := ""
	for _, t := range r.Topics {
		text += *t.Topic
		if t.ErrorCode != 0 {
			text += fmt.Sprintf(":%d ", t.ErrorCode)
			continue
		}
		var partitions []int32
		for _, p := range t.Partitions {
			partitions = append(partitions, p.Partition)
		}
		text += fmt.Sprint(partitions, " ")
	}
	if r.NextCursor != nil {
		text += fmt.Sprintf("-> %s %d", r.NextCursor.Topic, r.NextCursor.Partition)
	}
	return text
}

// The answers are those of Apache Kafka 4.1 to the same requests, but for names that no topic can have.
func TestTopicsAreDescribedAPageAtATime(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	createTopic(t, b, "b", 2)
	createTopic(t, b, "a", 3)
	c := dial(t, b)
	at := func(topic string, partition int32) *kmsg.DescribeTopicPartitionsRequestCursor {
		return &kmsg.DescribeTopicPartitionsRequestCursor{Topic: topic, Partition: partition}
	}
	for i, test := range []struct {
		topics []string
		limit  int32
		cursor *kmsg.DescribeTopicPartitionsRequestCursor
		want   string
	}{
		{nil, 2000, nil, "a[0 1 2] b[0 1] "},
		{[]string{"x", "a", "a"}, 2000, nil, "a[0 1 2] x:3 "},
		{[]string{"b", "a"}, 2, nil, "a[0 1] -> a 2"},
		{[]string{"a"}, 0, nil, "a[0] -> a 1"},
		{[]string{"a"}, -1, nil, "a[0] -> a 1"},
		{[]string{"a"}, 5000, nil, "a[0 1 2] "},
		{[]string{"a", "b", "x"}, 3, nil, "a[0 1 2] -> b 0"},
		{[]string{"0", "a", "x"}, 1, nil, "0:3 a[0] -> a 1"},
		{[]string{"a", "b"}, 3, at("a", 1), "a[1 2] b[0] -> b 1"},
		{[]string{"a", "b"}, 3, at("a", 9), "a[] b[0 1] "},
		{[]string{"a", "b"}, 3, at("a", 1<<31-1), "a[] b[0 1] "},
		{nil, 3, at("aa", 1), "b[0 1] "},
		{nil, 3, at("z", 0), ""},
		{[]string{"a"}, 3, at("a", -1), "a:42 "},
		{[]string{"a b"}, 3, nil, "a b:17 "},
	} {
		r := kmsg.NewPtrDescribeTopicPartitionsRequest()
		r.ResponsePartitionLimit, r.Cursor = test.limit, test.cursor
		for _, name := range test.topics {
			r.Topics = append(r.Topics, kmsg.DescribeTopicPartitionsRequestTopic{Topic: name})
		}
		if got := describedPage(c.ask(r).(*kmsg.DescribeTopicPartitionsResponse)); got != test.want {
			t.Errorf("%d: %q, want %q", i, got, test.want)
		}
	}
}

func TestAPageSaysOfPartitionsWhatMetadataSays(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	createTopic(t, b, "a", 1)
	answer := dial(t, b).ask(kmsg.NewPtrDescribeTopicPartitionsRequest()).(*kmsg.DescribeTopicPartitionsResponse)
	topic := answer.Topics[0]
	if topic.TopicID != b.controller.image().Topic("a").ID || topic.IsInternal || topic.AuthorizedOperations != topicOperations {
		t.Errorf("%+v", topic)
	}
	p := topic.Partitions[0]
	if p.LeaderID != 1 || p.LeaderEpoch != 0 || fmt.Sprint(p.Replicas, p.ISR, p.OfflineReplicas) != "[1] [1] []" || p.EligibleLeaderReplicas == nil {
		t.Errorf("%+v", p)
	}
}
