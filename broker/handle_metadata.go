package broker

import (
	"fmt"
	"math"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/broker/internal/metadata"
)

// Metadata 0-13 (KIP-430 authorized operations, KIP-516 topic ids, KIP-896), DescribeCluster 0-2 (KIP-700, KIP-919,
// KIP-1073).

// Operations that a client may perform, as bits by Kafka's numbers of them (KIP-430). Without an authorizer that is
// every operation which the kind of resource has.
const (
	topicOperations   = 1<<3 | 1<<4 | 1<<5 | 1<<6 | 1<<7 | 1<<8 | 1<<10 | 1<<11
	clusterOperations = 1<<5 | 1<<7 | 1<<8 | 1<<9 | 1<<10 | 1<<11 | 1<<12
)

// Versions of Metadata in which something changes that kmsg does not decide.
const (
	metadataNullIsAll         = 1  // before, an empty list is all topics; from then on it is none
	metadataAsksForCreation   = 4  // before, every request wants missing topics to be created
	metadataTopicIDsInRequest = 12 // before, topics are asked for by name only
)

// metadata answers which topics there are and which broker leads them: this one. Topics that are asked for and do
// not exist are created at once if client and broker both want it, so that the answer is complete.
func (b *Broker) metadata(c *call, req *kmsg.MetadataRequest) (*kmsg.MetadataResponse, error) {
	resp := req.ResponseKind().(*kmsg.MetadataResponse)
	image := b.controller.image()
	var wanted []metadataWanted
	if all := req.Topics == nil || len(req.Topics) == 0 && req.Version < metadataNullIsAll; !all {
		wanted = b.resolveWanted(image, req)
		if req.AllowAutoTopicCreation || req.Version < metadataAsksForCreation {
			b.createWanted(c, image, wanted)
			image = b.controller.image()
		}
	} else {
		for _, t := range image.Topics() {
			wanted = append(wanted, metadataWanted{name: t.Name})
		}
	}

	host, port := b.advertised(c.listener)
	node := kmsg.NewMetadataResponseBroker()
	node.NodeID, node.Host, node.Port = image.NodeID(), host, port
	resp.Brokers = []kmsg.MetadataResponseBroker{node}
	resp.ClusterID = kmsg.StringPtr(image.ClusterID())
	resp.ControllerID = image.NodeID()
	if req.IncludeClusterAuthorizedOperations {
		resp.AuthorizedOperations = clusterOperations
	}
	resp.Topics = make([]kmsg.MetadataResponseTopic, 0, len(wanted))
	for i := range wanted {
		topic := b.metadataTopic(image, &wanted[i], req.Version)
		if req.IncludeTopicAuthorizedOperations && topic.ErrorCode == 0 {
			topic.AuthorizedOperations = topicOperations
		}
		resp.Topics = append(resp.Topics, topic)
	}
	return resp, nil
}

// metadataWanted is a topic that a client asks about.
type metadataWanted struct {
	name  string
	named bool     // the client gave the name, be it empty, and gets it back
	id    [16]byte // what the topic was asked for by, instead of its name; zero: by name
	err   error
}

// resolveWanted lists what req asks for, each topic once.
func (b *Broker) resolveWanted(image *metadata.Image, req *kmsg.MetadataRequest) []metadataWanted {
	wanted := make([]metadataWanted, 0, len(req.Topics))
	seen := make(map[string]bool, len(req.Topics))
	for _, t := range req.Topics {
		byID := t.TopicID != [16]byte{}
		w := metadataWanted{id: t.TopicID}
		if t.Topic != nil {
			w.name, w.named = *t.Topic, !byID
		}
		switch {
		case (byID || t.Topic == nil) && req.Version < metadataTopicIDsInRequest:
			w.err = fmt.Errorf("%w: a topic without name, or with an id, before version %d", metadata.ErrInvalidRequest, metadataTopicIDsInRequest)
		case byID:
			w.name = ""
			if known := image.TopicByID(t.TopicID); known != nil {
				w.name = known.Name
			} else {
				w.err = metadata.ErrUnknownTopicID
			}
		case t.Topic == nil:
			w.err = fmt.Errorf("%w: neither a topic's name nor its id", metadata.ErrInvalidRequest)
		case seen[w.name]:
			continue
		}
		seen[w.name] = w.named || w.name != ""
		wanted = append(wanted, w)
	}
	return wanted
}

// createWanted creates the topics that are wanted by name and do not exist, and notes what stands against it.
func (b *Broker) createWanted(c *call, image *metadata.Image, wanted []metadataWanted) {
	if !b.config.AutoCreateTopicsEnable {
		return
	}
	var missing []metadata.NewTopic
	for _, w := range wanted {
		if w.err == nil && image.Topic(w.name) == nil && !metadata.IsInternal(w.name) {
			missing = append(missing, metadata.NewTopic{Name: w.name, Partitions: -1, ReplicationFactor: -1, Own: true})
		}
	}
	if len(missing) == 0 {
		return
	}
	failed := b.controller.ensureTopics(c.ctx, missing)
	b.mutations(c, math.MaxInt16).spendCreated(b.controller.image(), missing, failed)
	for i := range wanted {
		if err := failed[wanted[i].name]; err != nil && wanted[i].err == nil {
			wanted[i].err = err
		}
	}
}

// metadataTopic describes one topic, or says why it cannot.
func (b *Broker) metadataTopic(image *metadata.Image, w *metadataWanted, version int16) kmsg.MetadataResponseTopic {
	topic := kmsg.NewMetadataResponseTopic()
	t := image.Topic(w.name)
	if err := topicError(w, t); err != nil {
		topic.ErrorCode = errorCode(err)
		topic.TopicID = w.id
		if w.named || w.name != "" || version < metadataTopicIDsInRequest {
			topic.Topic = &w.name
		}
		return topic
	}
	topic.Topic, topic.TopicID, topic.IsInternal = &t.Name, t.ID, t.Internal
	topic.Partitions = make([]kmsg.MetadataResponseTopicPartition, t.Partitions)
	node := []int32{image.NodeID()}
	for i := range topic.Partitions {
		partition := &topic.Partitions[i]
		*partition = kmsg.NewMetadataResponseTopicPartition()
		partition.Partition = int32(i)
		partition.Leader, partition.LeaderEpoch = image.NodeID(), image.LeaderEpoch()
		partition.Replicas, partition.ISR = node, node
		// An offline partition keeps its leader: whoever uses it is told the true error there, instead of waiting for
		// a leader that will not come.
		if p := b.partitions.lookup(t.Name, int32(i)); p == nil || p.Err() != nil {
			partition.OfflineReplicas = node
		}
	}
	return topic
}

func topicError(w *metadataWanted, t *metadata.Topic) error {
	switch {
	case w.err != nil:
		return w.err
	case t != nil:
		return nil
	}
	if err := metadata.CheckTopicName(w.name); err != nil {
		return err
	}
	return metadata.ErrUnknownTopic
}

// describeCluster answers who the brokers are.
func (b *Broker) describeCluster(c *call, req *kmsg.DescribeClusterRequest) (*kmsg.DescribeClusterResponse, error) {
	const brokerEndpoint, controllerEndpoint = 1, 2
	resp := req.ResponseKind().(*kmsg.DescribeClusterResponse)
	image := b.controller.image()
	resp.ClusterID = image.ClusterID()
	resp.ControllerID = -1
	switch req.EndpointType {
	case brokerEndpoint:
	case controllerEndpoint:
		resp.ErrorCode = kerr.MismatchedEndpointType.Code
		resp.ErrorMessage = kmsg.StringPtr("this is a broker, not a controller")
		return resp, nil
	default:
		resp.ErrorCode = kerr.UnsupportedEndpointType.Code
		resp.ErrorMessage = kmsg.StringPtr(fmt.Sprintf("endpoint type %d", req.EndpointType))
		return resp, nil
	}
	resp.EndpointType = brokerEndpoint
	resp.ControllerID = image.NodeID()
	node := kmsg.NewDescribeClusterResponseBroker()
	node.NodeID = image.NodeID()
	node.Host, node.Port = b.advertised(c.listener)
	resp.Brokers = []kmsg.DescribeClusterResponseBroker{node}
	if req.IncludeClusterAuthorizedOperations {
		resp.ClusterAuthorizedOperations = clusterOperations
	}
	return resp, nil
}

// errorMessageBytesMax bounds what a client is told beside a code. Errors quote what it has sent, and a string of the
// older versions has room for 32767 bytes: a longer one would garble the answer.
const errorMessageBytesMax = 1024

// errorMessage is what a client is told beside the code; null if there is no error.
func errorMessage(err error) *string {
	if err == nil {
		return nil
	}
	text := err.Error()
	if len(text) > errorMessageBytesMax {
		text = strings.ToValidUTF8(text[:errorMessageBytesMax], "") + "..."
	}
	return &text
}
