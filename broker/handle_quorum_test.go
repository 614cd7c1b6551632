package broker

import (
	"net"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestTheMetadataLogIsAQuorumOfOne(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	createTopic(t, b, "a", 1)
	c := dial(t, b)
	for version := int16(0); version <= 2; version++ {
		r := kmsg.NewPtrDescribeQuorumRequest()
		r.SetVersion(version)
		zero := []kmsg.DescribeQuorumRequestTopicPartition{{Partition: 0}, {Partition: 1}, {Partition: 0}}
		r.Topics = []kmsg.DescribeQuorumRequestTopic{{Topic: "__cluster_metadata", Partitions: zero}, {Topic: "a", Partitions: zero[:1]}}
		answer := c.ask(r).(*kmsg.DescribeQuorumResponse)
		quorum, other, user := answer.Topics[0].Partitions[0], answer.Topics[0].Partitions[1], answer.Topics[1].Partitions[0]
		end := b.controller.log.Offsets().LogEnd
		if len(answer.Topics[0].Partitions) != 2 || quorum.ErrorCode != 0 || quorum.LeaderID != 1 || quorum.LeaderEpoch != 0 || quorum.HighWatermark != end ||
			len(quorum.CurrentVoters) != 1 || quorum.CurrentVoters[0].ReplicaID != 1 || quorum.CurrentVoters[0].LogEndOffset != end || len(quorum.Observers) != 0 {
			t.Errorf("version %d: %+v", version, quorum)
		}
		if version >= 1 && quorum.CurrentVoters[0].LastCaughtUpTimestamp <= 0 {
			t.Errorf("version %d: %+v", version, quorum.CurrentVoters)
		}
		for _, p := range []kmsg.DescribeQuorumResponseTopicPartition{other, user} {
			if p.ErrorCode != kerr.UnknownTopicOrPartition.Code {
				t.Errorf("version %d: %+v", version, p)
			}
		}
		if version == 2 {
			l := answer.Nodes[0].Listeners[0]
			if port := b.Addr().(*net.TCPAddr).Port; answer.Nodes[0].NodeID != 1 || int(l.Port) != port || l.Name != "PLAINTEXT" {
				t.Errorf("%+v", answer.Nodes)
			}
		}
	}
}

func TestTheOnlyBrokerStaysRegistered(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	c := dial(t, b)
	for id, code := range map[int32]int16{1: kerr.InvalidRequest.Code, 7: kerr.BrokerIDNotRegistered.Code} {
		r := kmsg.NewPtrUnregisterBrokerRequest()
		r.BrokerID = id
		if answer := c.ask(r).(*kmsg.UnregisterBrokerResponse); answer.ErrorCode != code || answer.ErrorMessage == nil {
			t.Errorf("broker %d: %+v", id, answer)
		}
	}
}
