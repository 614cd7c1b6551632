package broker

import (
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestOperatorsMarker ends a transaction behind its coordinator's back.
func TestOperatorsMarker(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	createTopic(t, b, "t", 1)
	c := dial(t, b)
	x := newTransactor(t, c, "app", false)
	x.init()
	x.produce("t", 0, "v")
	write := func(version int16, epoch int16, coordinatorEpoch int32, transactionVersion int8, topic string, partition int32) int16 {
		r := kmsg.NewPtrWriteTxnMarkersRequest()
		r.SetVersion(version)
		marker := kmsg.NewWriteTxnMarkersRequestMarker()
		marker.ProducerID, marker.ProducerEpoch, marker.CoordinatorEpoch, marker.TransactionVersion = x.producerID, epoch, coordinatorEpoch, transactionVersion
		marker.Topics = []kmsg.WriteTxnMarkersRequestMarkerTopic{{Topic: topic, Partitions: []int32{partition}}}
		r.Markers = append(r.Markers, marker)
		answer := c.ask(r).(*kmsg.WriteTxnMarkersResponse)
		if m := answer.Markers[0]; m.ProducerID != x.producerID || m.Topics[0].Topic != topic || m.Topics[0].Partitions[0].Partition != partition {
			t.Fatalf("%+v", answer)
		}
		return answer.Markers[0].Topics[0].Partitions[0].ErrorCode
	}
	if o := b.partitions.lookup("t", 0).Offsets(); o.LastStable != 0 {
		t.Fatalf("an open transaction: %+v", o)
	}
	for name, test := range map[string]struct {
		code int16
		want *kerr.Error
	}{
		"no topic":            {write(1, x.epoch, 9, 0, "absent", 0), kerr.UnknownTopicOrPartition},
		"no partition":        {write(1, x.epoch, 9, 0, "t", 7), kerr.UnknownTopicOrPartition},
		"same epoch, newer":   {write(2, x.epoch, 9, 2, "t", 0), kerr.InvalidProducerEpoch},
		"no offsets topic":    {write(1, x.epoch, 9, 0, "__consumer_offsets", 0), kerr.UnknownTopicOrPartition},
		"in order":            {write(1, x.epoch, 9, 0, "t", 0), nil},
		"older coordinator":   {write(1, x.epoch, 8, 0, "t", 0), kerr.TransactionCoordinatorFenced},
		"older producer":      {write(1, x.epoch-1, 9, 0, "t", 0), kerr.InvalidProducerEpoch},
		"newer epoch, repeat": {write(2, x.epoch+1, 9, 2, "t", 0), nil},
	} {
		if err := kerr.ErrorForCode(test.code); test.want == nil && err != nil || test.want != nil && !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
	awaitQuiet(t, b)
	x.init()
	if phase := phaseOf(c, "app"); phase != "Empty" {
		t.Errorf("phase %s", phase)
	}
	x.produce("t", 0, "v")
	x.commit() // although the operator's coordinator epoch is above the broker's own
	if o := b.partitions.lookup("t", 0).Offsets(); o.LastStable != o.LogEnd {
		t.Errorf("a committed transaction: %+v", o)
	}
}
