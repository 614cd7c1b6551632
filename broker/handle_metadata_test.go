package broker

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/broker/internal/metadata"
)

// Error codes that the tests of topics and settings look for.
const (
	unknownTopicOrPartition = 3
	requestTimedOut         = 7
	invalidTopicException   = 17
	topicAlreadyExists      = 36
	invalidPartitions       = 37
	invalidReplication      = 38
	invalidAssignment       = 39
	invalidConfig           = 40
	invalidRequest          = 42
	policyViolation         = 44
	topicDeletionDisabled   = 73
	unknownTopicID          = 100
)

// metadataRequest asks for topics by name; nil names are a null list.
func metadataRequest(version int16, names []string) *kmsg.MetadataRequest {
	r := kmsg.NewPtrMetadataRequest()
	r.SetVersion(version)
	if names != nil {
		r.Topics = []kmsg.MetadataRequestTopic{}
	}
	for _, name := range names {
		topic := kmsg.NewMetadataRequestTopic()
		topic.Topic = &name
		r.Topics = append(r.Topics, topic)
	}
	return r
}

// topicCodes are the names in an answer, each with its error code.
func topicCodes(response kmsg.Response) map[string]int16 {
	codes := map[string]int16{}
	for _, topic := range response.(*kmsg.MetadataResponse).Topics {
		name := ""
		if topic.Topic != nil {
			name = *topic.Topic
		}
		codes[name] = topic.ErrorCode
	}
	return codes
}

// In version 0 no topics are all topics; later a null list is all and an empty one is none.
func TestMetadataOfAllTopicsAndOfNone(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	createTopic(t, b, "a", 1)
	createTopic(t, b, "b", 2)
	c := dial(t, b)
	for version := range int16(14) {
		for title, names := range map[string][]string{"null": nil, "empty": {}} {
			if version == 0 {
				names = []string{} // version 0 has no null list
			}
			want := 2
			if title == "empty" && version > 0 {
				want = 0
			}
			if got := topicCodes(c.ask(metadataRequest(version, names))); len(got) != want {
				t.Errorf("version %d, %s list: %v", version, title, got)
			}
		}
	}
}

func TestMetadataDescribesTopicsAndBroker(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	createTopic(t, b, "a", 2)
	known := b.controller.image().Topic("a")
	c := dial(t, b)
	for version := range int16(14) {
		got := c.ask(metadataRequest(version, []string{"a", "a"})).(*kmsg.MetadataResponse)
		host, port := listeningOn(b.Addr())
		if len(got.Brokers) != 1 || got.Brokers[0].NodeID != 1 || got.Brokers[0].Host != host || got.Brokers[0].Port != port {
			t.Errorf("version %d: brokers %+v, listening on %s", version, got.Brokers, b.Addr())
		}
		if version >= 1 && got.ControllerID != 1 || version >= 2 && (got.ClusterID == nil || *got.ClusterID != b.directory.clusterID) {
			t.Errorf("version %d: controller %d, cluster %v", version, got.ControllerID, got.ClusterID)
		}
		if len(got.Topics) != 1 {
			t.Fatalf("version %d: %+v", version, got.Topics)
		}
		topic := got.Topics[0]
		if topic.ErrorCode != 0 || *topic.Topic != "a" || topic.IsInternal || version >= 10 && topic.TopicID != known.ID || len(topic.Partitions) != 2 {
			t.Errorf("version %d: %+v", version, topic)
		}
		for i, p := range topic.Partitions {
			if p.ErrorCode != 0 || p.Partition != int32(i) || p.Leader != 1 || version >= 7 && p.LeaderEpoch != 0 ||
				!slices.Equal(p.Replicas, []int32{1}) || !slices.Equal(p.ISR, []int32{1}) || len(p.OfflineReplicas) > 0 {
				t.Errorf("version %d: %+v", version, p)
			}
		}
	}
}

// Before version 4 there is no flag, and every request wants its topics to be created (kafka-python 2.0.2 sends
// version 1 and waits for ever if they are not).
func TestMetadataCreatesMissingTopicsAtOnce(t *testing.T) {
	b := startBroker(t, Options{Config: map[string]string{"num.partitions": "4", "default.replication.factor": "3"}}, nil)
	c := dial(t, b)
	for version := range int16(14) {
		name := "auto-" + string(rune('a'+version))
		for _, allowed := range []bool{false, true} {
			request := metadataRequest(version, []string{name})
			request.AllowAutoTopicCreation = allowed
			got := c.ask(request).(*kmsg.MetadataResponse).Topics[0]
			switch {
			case !allowed && version >= 4:
				if got.ErrorCode != unknownTopicOrPartition || len(got.Partitions) > 0 {
					t.Errorf("version %d, not allowed: %+v", version, got)
				}
			case got.ErrorCode != 0, len(got.Partitions) != 4, got.Partitions[3].Leader != 1:
				t.Errorf("version %d, allowed: %+v", version, got)
			}
		}
	}
}

func TestMetadataCreatesNothingAgainstTheBrokersWill(t *testing.T) {
	b := startBroker(t, Options{Config: map[string]string{"auto.create.topics.enable": "false"}}, nil)
	if got := topicCodes(dial(t, b).ask(metadataRequest(1, []string{"a"}))); got["a"] != unknownTopicOrPartition {
		t.Errorf("got %v", got)
	}
}

func TestMetadataRefusesNames(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	createTopic(t, b, "with.dot", 1)
	names := []string{"a b", "", strings.Repeat("x", 250), "..", "with_dot", metadata.OffsetsTopic, metadata.MetadataTopic, "fine"}
	got := topicCodes(dial(t, b).ask(metadataRequest(1, names)))
	for name, want := range map[string]int16{
		"a b": invalidTopicException, "": invalidTopicException, strings.Repeat("x", 250): invalidTopicException,
		"..": invalidTopicException, "with_dot": invalidTopicException, "fine": 0,
		metadata.OffsetsTopic: unknownTopicOrPartition, metadata.MetadataTopic: invalidTopicException,
	} {
		if got[name] != want {
			t.Errorf("%q: code %d, want %d", name, got[name], want)
		}
	}
}

func TestMetadataByTopicID(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	createTopic(t, b, "a", 1)
	c := dial(t, b)
	ask := func(version int16, id [16]byte, name *string) kmsg.MetadataResponseTopic {
		request := metadataRequest(version, []string{})
		topic := kmsg.NewMetadataRequestTopic()
		topic.TopicID, topic.Topic = id, name
		request.Topics = append(request.Topics, topic)
		return c.ask(request).(*kmsg.MetadataResponse).Topics[0]
	}
	known := b.controller.image().Topic("a").ID
	if got := ask(12, known, nil); got.ErrorCode != 0 || got.Topic == nil || *got.Topic != "a" || got.TopicID != known {
		t.Errorf("known id: %+v", got)
	}
	if got := ask(13, [16]byte{9}, nil); got.ErrorCode != unknownTopicID || got.Topic != nil || got.TopicID != [16]byte{9} {
		t.Errorf("unknown id: %+v", got)
	}
	if got := ask(12, [16]byte{}, nil); got.ErrorCode != invalidRequest {
		t.Errorf("neither: %+v", got)
	}
	if got := ask(12, [16]byte{}, kmsg.StringPtr("")); got.ErrorCode != invalidTopicException || got.Topic == nil || *got.Topic != "" {
		t.Errorf("an empty name: %+v", got)
	}
	if got := ask(10, known, kmsg.StringPtr("a")); got.ErrorCode != invalidRequest {
		t.Errorf("an id in version 10: %+v", got)
	}
}

func TestAuthorizedOperationsAreAllThereAre(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	createTopic(t, b, "a", 1)
	c := dial(t, b)
	request := metadataRequest(8, nil)
	if got := c.ask(request).(*kmsg.MetadataResponse); got.AuthorizedOperations != -1<<31 || got.Topics[0].AuthorizedOperations != -1<<31 {
		t.Errorf("not asked for: %+v", got)
	}
	request.IncludeClusterAuthorizedOperations, request.IncludeTopicAuthorizedOperations = true, true
	if got := c.ask(request).(*kmsg.MetadataResponse); got.AuthorizedOperations != clusterOperations || got.Topics[0].AuthorizedOperations != topicOperations {
		t.Errorf("asked for: %+v", got)
	}
}

// Clients are told what they can connect to.
func TestAdvertisedAddress(t *testing.T) {
	hostname, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		listen, advertised string
		host               string
		port               int32 // 0: that listened on
	}{
		{"127.0.0.1:0", "", "127.0.0.1", 0},
		{"0.0.0.0:0", "", hostname, 0},
		{":0", "", hostname, 0},
		{"localhost:0", "", "localhost", 0},
		{"127.0.0.1:0", "PLAINTEXT://broker.example:29092", "broker.example", 29092},
		{"127.0.0.1:0", "CONTROLLER://other.example:1,plaintext://broker.example:0", "broker.example", 0},
		{"0.0.0.0:0", "EXTERNAL://localhost:0", "localhost", 0},
	} {
		settings := map[string]string{}
		if c.advertised != "" {
			settings["advertised.listeners"] = c.advertised
		}
		b, err := New(Options{InMemory: true, Listen: c.listen, Config: settings})
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, port := listeningOn(b.Addr()); c.port == 0 {
			c.port = port
		}
		host, port := b.advertised(plaintextListener)
		if host != c.host || port != c.port || port == 0 {
			t.Errorf("listening on %s, advertising %q: clients are told %s:%d", c.listen, c.advertised, host, port)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestDescribeCluster(t *testing.T) {
	const mismatchedEndpointType, unsupportedEndpointType = 114, 115
	b := startBroker(t, Options{}, nil)
	c := dial(t, b)
	for version := range int16(3) {
		request := kmsg.NewPtrDescribeClusterRequest()
		request.SetVersion(version)
		request.IncludeClusterAuthorizedOperations = true
		got := c.ask(request).(*kmsg.DescribeClusterResponse)
		if got.ErrorCode != 0 || got.ClusterID != b.directory.clusterID || got.ControllerID != 1 || len(got.Brokers) != 1 ||
			got.Brokers[0].NodeID != 1 || got.Brokers[0].Port == 0 || got.ClusterAuthorizedOperations != clusterOperations {
			t.Errorf("version %d: %+v", version, got)
		}
	}
	for endpoint, want := range map[int8]int16{2: mismatchedEndpointType, 7: unsupportedEndpointType} {
		request := kmsg.NewPtrDescribeClusterRequest()
		request.SetVersion(1)
		request.EndpointType = endpoint
		if got := c.ask(request).(*kmsg.DescribeClusterResponse); got.ErrorCode != want {
			t.Errorf("endpoint type %d: %+v", endpoint, got)
		}
	}
}
