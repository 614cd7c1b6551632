package consumer_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/millrace/millrace/consumer"
)

// undecided leaves a transaction open that has an offset of the group in it.
func (c *cluster) undecided(group, topic string) {
	c.t.Helper()
	named := kversion.Stable()
	named.SetMaxKeyVersion(int16(kmsg.TxnOffsetCommit), 5) // later ones have no names of topics
	client, err := kgo.NewClient(c.seeds(kgo.TransactionalID(topic+"-undecided"), kgo.DefaultProduceTopic(topic), kgo.MaxVersions(named))...)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(client.Close)
	if err := client.BeginTransaction(); err != nil {
		c.t.Fatal(err)
	}
	if err := client.ProduceSync(c.t.Context(), kgo.StringRecord("x")).FirstErr(); err != nil {
		c.t.Fatal(err)
	}
	add, commit := kmsg.NewAddOffsetsToTxnRequest(), kmsg.NewTxnOffsetCommitRequest()
	commit.TransactionalID, commit.Group, commit.Generation = topic+"-undecided", group, -1
	if commit.ProducerID, commit.ProducerEpoch, err = client.ProducerID(c.t.Context()); err != nil {
		c.t.Fatal(err)
	}
	add.TransactionalID, add.Group, add.ProducerID, add.ProducerEpoch = commit.TransactionalID, group, commit.ProducerID, commit.ProducerEpoch
	offset := kmsg.NewTxnOffsetCommitRequestTopic()
	offset.Topic, offset.Partitions = topic, []kmsg.TxnOffsetCommitRequestTopicPartition{{Offset: 1, LeaderEpoch: -1}}
	commit.Topics = append(commit.Topics, offset)
	if response, err := add.RequestWith(c.t.Context(), client); err != nil || response.ErrorCode != 0 {
		c.t.Fatalf("add the group to the transaction: %v, %+v", err, response)
	}
	if response, err := commit.RequestWith(c.t.Context(), client); err != nil || response.Topics[0].Partitions[0].ErrorCode != 0 {
		c.t.Fatalf("add the offset to the transaction: %v, %+v", err, response)
	}
}

// onOffsetFetch is called when a request for offsets was written.
type onOffsetFetch func()

func (f onOffsetFetch) OnBrokerWrite(_ kgo.BrokerMetadata, key int16, _ int, _, _ time.Duration, _ error) {
	if key == int16(kmsg.OffsetFetch) {
		f()
	}
}

// A group that waits for a transaction's decision ends without an error when it is told to, whatever the context's cause is: that of
// signal.NotifyContext is not context.Canceled.
func TestAGroupThatWaitsForADecisionEndsWhenTold(t *testing.T) {
	c := newCluster(t)
	input := c.topic("input", 1)
	c.produce(input, 1, 0, 1)
	c.undecided(input, input)
	ctx, cancel := context.WithCancelCause(t.Context())
	options := c.transactional(input, input, &handler{process: func(context.Context, *consumer.Batch) error { return nil }})
	options.Client = append(options.Client, kgo.WithHooks(onOffsetFetch(func() { cancel(errors.New("told to end")) })))
	group, err := consumer.New(options)
	if err != nil {
		t.Fatal(err)
	}
	if err := group.Run(ctx); err != nil {
		t.Errorf("it ended with an error: %v", err)
	}
}
