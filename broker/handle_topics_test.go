package broker

import (
	"errors"
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// adminOf is a client of b that other people wrote.
func adminOf(t testing.TB, b *Broker) *kadm.Client {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Addr().String()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return kadm.NewClient(client)
}

func createRequest(version int16, topics ...kmsg.CreateTopicsRequestTopic) *kmsg.CreateTopicsRequest {
	r := kmsg.NewPtrCreateTopicsRequest()
	r.SetVersion(version)
	r.TimeoutMillis = 5000
	r.Topics = topics
	return r
}

func topicToCreate(name string, partitions int32, factor int16, configs ...string) kmsg.CreateTopicsRequestTopic {
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, partitions, factor
	for i := 0; i < len(configs); i += 2 {
		c := kmsg.NewCreateTopicsRequestTopicConfig()
		c.Name, c.Value = configs[i], &configs[i+1]
		topic.Configs = append(topic.Configs, c)
	}
	return topic
}

func TestCreateTopicsInEveryVersion(t *testing.T) {
	b := startBroker(t, Options{Config: map[string]string{"num.partitions": "3"}}, nil)
	c := dial(t, b)
	for version := int16(2); version <= 7; version++ {
		name := fmt.Sprintf("topic-%d", version)
		got := c.ask(createRequest(version, topicToCreate(name, -1, -1, "retention.ms", "99"))).(*kmsg.CreateTopicsResponse)
		if len(got.Topics) != 1 || got.Topics[0].ErrorCode != 0 || got.Topics[0].ErrorMessage != nil {
			t.Fatalf("version %d: %+v", version, got.Topics)
		}
		topic := got.Topics[0]
		known := b.controller.image().Topic(name)
		if known == nil || known.Partitions != 3 || b.partitions.lookup(name, 2) == nil {
			t.Fatalf("version %d: the topic is %+v", version, known)
		}
		if version >= 7 && topic.TopicID != known.ID {
			t.Errorf("version %d: id %x, is %x", version, topic.TopicID, known.ID)
		}
		if version < 5 {
			continue
		}
		if topic.NumPartitions != 3 || topic.ReplicationFactor != 1 || topic.ConfigErrorCode != 0 {
			t.Errorf("version %d: %+v", version, topic)
		}
		found := false
		for _, setting := range topic.Configs {
			if setting.Name == "retention.ms" {
				found = *setting.Value == "99" && setting.Source == 1
			}
		}
		if !found || len(topic.Configs) < 30 {
			t.Errorf("version %d: settings %+v", version, topic.Configs)
		}
	}
}

func TestCreateTopicsAnswersEachTopicByItself(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	createTopic(t, b, "there", 1)
	assigned := topicToCreate("assigned", 1, -1)
	assigned.ReplicaAssignment = []kmsg.CreateTopicsRequestTopicReplicaAssignment{{Partition: 0, Replicas: []int32{1}}}
	stranger := topicToCreate("stranger", -1, -1)
	stranger.ReplicaAssignment = []kmsg.CreateTopicsRequestTopicReplicaAssignment{{Partition: 0, Replicas: []int32{5}}}
	null := topicToCreate("null", 1, 1)
	null.Configs = []kmsg.CreateTopicsRequestTopicConfig{{Name: "retention.ms"}}
	got := dial(t, b).ask(createRequest(7,
		topicToCreate("fine", 2, 1), topicToCreate("there", 1, 1), topicToCreate("bad name", 1, 1), topicToCreate("none", 0, 1),
		topicToCreate("three", 1, 3), topicToCreate("twice", 1, 1), topicToCreate("twice", 1, 1), topicToCreate("huge", 1<<30, 1),
		topicToCreate("unknown", 1, 1, "no.such.setting", "1"), topicToCreate("invalid", 1, 1, "retention.ms", "soon"),
		assigned, stranger, null)).(*kmsg.CreateTopicsResponse)
	codes := map[string]int16{}
	for _, topic := range got.Topics {
		if _, twice := codes[topic.Topic]; twice {
			t.Errorf("%s is answered twice", topic.Topic)
		}
		codes[topic.Topic] = topic.ErrorCode
		if (topic.ErrorMessage == nil) != (topic.ErrorCode == 0) {
			t.Errorf("%s: code %d, message %v", topic.Topic, topic.ErrorCode, topic.ErrorMessage)
		}
	}
	want := map[string]int16{
		"fine": 0, "there": topicAlreadyExists, "bad name": invalidTopicException, "none": invalidPartitions,
		"three": invalidReplication, "twice": invalidRequest, "huge": policyViolation, "unknown": invalidConfig,
		"invalid": invalidConfig, "assigned": invalidRequest, "stranger": invalidAssignment, "null": invalidConfig,
	}
	if fmt.Sprint(codes) != fmt.Sprint(want) {
		t.Errorf("got  %v\nwant %v", codes, want)
	}
	if topics := b.controller.image().Topics(); len(topics) != 2 {
		t.Errorf("%d topics", len(topics))
	}
}

func TestCreateTopicsValidateOnly(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	c := dial(t, b)
	request := createRequest(7, topicToCreate("a", 2, 1), topicToCreate("a b", 2, 1))
	request.ValidateOnly = true
	got := c.ask(request).(*kmsg.CreateTopicsResponse).Topics
	if got[0].ErrorCode != 0 || got[0].NumPartitions != 2 || got[1].ErrorCode != invalidTopicException {
		t.Errorf("got %+v", got)
	}
	if len(b.controller.image().Topics()) > 0 || len(directories(t, b, "a")) > 0 {
		t.Error("validation has created something")
	}
}

func TestCreateTopicsWaitsNoLongerThanItsTimeout(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	<-b.controller.turn
	request := createRequest(5, topicToCreate("a", 1, 1))
	request.TimeoutMillis = 1
	got := dial(t, b).ask(request).(*kmsg.CreateTopicsResponse).Topics
	b.controller.turn <- struct{}{}
	if len(got) != 1 || got[0].ErrorCode != requestTimedOut {
		t.Errorf("got %+v", got)
	}
	for i := range 20 { // no time to wait is enough when there is nothing to wait for
		request := createRequest(5, topicToCreate(fmt.Sprint("b", i), 1, 1))
		request.TimeoutMillis = 0
		if got := dial(t, b).ask(request).(*kmsg.CreateTopicsResponse).Topics; got[0].ErrorCode != 0 {
			t.Errorf("without a timeout: %+v", got)
		}
	}
}

func TestDeleteTopicsInEveryVersion(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	c := dial(t, b)
	for version := int16(1); version <= 6; version++ {
		createTopic(t, b, "a", 1)
		known := b.controller.image().Topic("a")
		got := c.ask(deleteRequest(version, "a", "b")).(*kmsg.DeleteTopicsResponse).Topics
		if len(got) != 2 || *got[0].Topic != "a" || got[0].ErrorCode != 0 || *got[1].Topic != "b" || got[1].ErrorCode != unknownTopicOrPartition {
			t.Errorf("version %d: %+v", version, got)
		}
		if version >= 6 && got[0].TopicID != known.ID {
			t.Errorf("version %d: id %x", version, got[0].TopicID)
		}
		if b.controller.image().Topic("a") != nil || len(directories(t, b, "a")) > 0 {
			t.Errorf("version %d: something is left", version)
		}
	}
}

func deleteRequest(version int16, names ...string) *kmsg.DeleteTopicsRequest {
	r := kmsg.NewPtrDeleteTopicsRequest()
	r.SetVersion(version)
	r.TimeoutMillis = 5000
	if version < 6 {
		r.TopicNames = names
		return r
	}
	for _, name := range names {
		topic := kmsg.NewDeleteTopicsRequestTopic()
		topic.Topic = &name
		r.Topics = append(r.Topics, topic)
	}
	return r
}

func TestDeleteTopicsByID(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	createTopic(t, b, "a", 1)
	createTopic(t, b, "b", 1)
	request := deleteRequest(6, "b")
	for _, id := range [][16]byte{b.controller.image().Topic("a").ID, {9}, {}} {
		topic := kmsg.NewDeleteTopicsRequestTopic()
		topic.TopicID = id
		request.Topics = append(request.Topics, topic)
	}
	request.Topics[0].TopicID = [16]byte{1} // with a name as well
	got := dial(t, b).ask(request).(*kmsg.DeleteTopicsResponse).Topics
	var codes []int16
	for _, topic := range got {
		codes = append(codes, topic.ErrorCode)
	}
	if fmt.Sprint(codes) != fmt.Sprint([]int16{invalidRequest, 0, unknownTopicID, invalidRequest}) || *got[1].Topic != "a" || got[2].Topic != nil {
		t.Errorf("got %+v", got)
	}
	if topics := b.controller.image().Topics(); len(topics) != 1 || topics[0].Name != "b" {
		t.Errorf("left %v", topics)
	}
}

func TestDeleteTopicsCanBeSwitchedOff(t *testing.T) {
	b := startBroker(t, Options{Config: map[string]string{"delete.topic.enable": "false"}}, nil)
	createTopic(t, b, "a", 1)
	c := dial(t, b)
	for version, want := range map[int16]int16{2: invalidRequest, 3: topicDeletionDisabled, 6: topicDeletionDisabled} {
		got := c.ask(deleteRequest(version, "a")).(*kmsg.DeleteTopicsResponse).Topics
		if len(got) != 1 || got[0].ErrorCode != want {
			t.Errorf("version %d: %+v", version, got)
		}
	}
	if b.controller.image().Topic("a") == nil {
		t.Error("deleted all the same")
	}
}

func TestCreatePartitionsInEveryVersion(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	createTopic(t, b, "a", 1)
	c := dial(t, b)
	ask := func(version int16, count int32, validateOnly bool, assignment ...[]int32) int16 {
		r := kmsg.NewPtrCreatePartitionsRequest()
		r.SetVersion(version)
		r.TimeoutMillis, r.ValidateOnly = 5000, validateOnly
		topic := kmsg.NewCreatePartitionsRequestTopic()
		topic.Topic, topic.Count = "a", count
		for _, replicas := range assignment {
			topic.Assignment = append(topic.Assignment, kmsg.CreatePartitionsRequestTopicAssignment{Replicas: replicas})
		}
		r.Topics = append(r.Topics, topic)
		return c.ask(r).(*kmsg.CreatePartitionsResponse).Topics[0].ErrorCode
	}
	for version := range int16(4) {
		count := b.controller.image().Topic("a").Partitions
		for _, step := range []struct {
			title      string
			code, want int16
		}{
			{"same", ask(version, count, false), invalidPartitions},
			{"fewer", ask(version, count-1, false), invalidPartitions},
			{"validated", ask(version, count+1, true), 0},
			{"stranger", ask(version, count+1, false, []int32{3}), invalidAssignment},
			{"too few", ask(version, count+2, false, []int32{1}), invalidAssignment},
			{"two more", ask(version, count+2, false, []int32{1}, []int32{1}), 0},
		} {
			if step.code != step.want {
				t.Errorf("version %d, %s: code %d, want %d", version, step.title, step.code, step.want)
			}
		}
		if got := b.controller.image().Topic("a").Partitions; got != count+2 || b.partitions.lookup("a", count+1) == nil {
			t.Errorf("version %d: %d partitions, want %d", version, got, count+2)
		}
		appendTo(t, b, "a", count+1, "x")
	}
}

// The same through somebody else's client.
func TestAdminClientCreatesGrowsAndDeletesTopics(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	admin, ctx := adminOf(t, b), t.Context()
	if _, err := admin.CreateTopic(ctx, 2, 1, map[string]*string{"cleanup.policy": kadm.StringPtr("compact")}, "clicks"); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.CreateTopic(ctx, 2, 1, nil, "clicks"); !errors.Is(err, kerr.TopicAlreadyExists) {
		t.Errorf("created again: %v", err)
	}
	if _, err := admin.CreateTopic(ctx, 1, 3, nil, "copies"); !errors.Is(err, kerr.InvalidReplicationFactor) {
		t.Errorf("three replicas: %v", err)
	}
	if grown, err := admin.UpdatePartitions(ctx, 5, "clicks"); err != nil || grown.Error() != nil {
		t.Errorf("%v, %v", err, grown.Error())
	}
	topics, err := admin.ListTopics(ctx)
	if err != nil || len(topics) != 1 || len(topics["clicks"].Partitions) != 5 || topics["clicks"].ID == (kadm.TopicID{}) {
		t.Errorf("listed %v, %v", topics, err)
	}
	if deleted, err := admin.DeleteTopics(ctx, "clicks"); err != nil || deleted.Error() != nil {
		t.Errorf("%v, %v", err, deleted.Error())
	}
	if _, err := admin.DeleteTopic(ctx, "clicks"); !errors.Is(err, kerr.UnknownTopicOrPartition) {
		t.Errorf("deleted again: %v", err)
	}
}
