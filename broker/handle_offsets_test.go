package broker

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/internal/disk"
	"github.com/millrace/millrace/log/record"
)

func listOffsetsRequest(version int16, topic string, index int32, timestamps ...int64) *kmsg.ListOffsetsRequest {
	r := kmsg.NewPtrListOffsetsRequest()
	r.SetVersion(version)
	r.ReplicaID = -1
	rt := kmsg.NewListOffsetsRequestTopic()
	rt.Topic = topic
	for _, timestamp := range timestamps {
		p := kmsg.NewListOffsetsRequestTopicPartition()
		p.Partition, p.Timestamp = index, timestamp
		rt.Partitions = append(rt.Partitions, p)
	}
	r.Topics = []kmsg.ListOffsetsRequestTopic{rt}
	return r
}

func listed(t testing.TB, c *client, version int16, topic string, index int32, timestamp int64) kmsg.ListOffsetsResponseTopicPartition {
	t.Helper()
	return c.ask(listOffsetsRequest(version, topic, index, timestamp)).(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0]
}

func TestListOffsetsByEveryTimestampAndVersion(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	createTopic(t, b, "t", 1)
	c := dial(t, b)
	builder := record.NewBuilder(record.Options{})
	for _, timestampMs := range []int64{1000, 3000, 2000} {
		builder.Add(timestampMs, nil, []byte("v"))
	}
	batch, err := builder.Build()
	if err != nil {
		t.Fatal(err)
	}
	wantCode(t, produced(t, c.ask(produceRequest("t", acksAll, batch))).ErrorCode, nil)
	for _, test := range []struct {
		timestamp     int64
		since         int16
		offset        int64
		wantTimestamp int64
	}{
		{-1, 1, 3, -1},
		{-2, 1, 0, -1},
		{-3, 7, 1, 3000},
		{-4, 8, 0, -1},
		{-5, 9, -1, -1},
		{-6, 11, -1, -1},
		{-7, 99, -1, -1},
		{0, 1, 0, 1000},
		{1500, 1, 1, 3000},
		{3000, 1, 1, 3000},
		{3001, 1, -1, -1},
	} {
		for version := int16(1); version <= 11; version++ {
			answer := listed(t, c, version, "t", 0, test.timestamp)
			if version < test.since {
				wantCode(t, answer.ErrorCode, kerr.UnsupportedVersion)
				continue
			}
			if answer.ErrorCode != 0 || answer.Offset != test.offset || answer.Timestamp != test.wantTimestamp {
				t.Errorf("timestamp %d version %d: %+v, want offset %d timestamp %d", test.timestamp, version, answer, test.offset, test.wantTimestamp)
			}
			if version >= 4 && test.offset >= 0 && answer.LeaderEpoch != b.controller.image().LeaderEpoch() {
				t.Errorf("timestamp %d version %d: leader epoch %d", test.timestamp, version, answer.LeaderEpoch)
			}
		}
	}
}

func TestListOffsetsRefusals(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	createTopic(t, b, "t", 2)
	c := dial(t, b)
	wantCode(t, listed(t, c, 5, "unknown", 0, -1).ErrorCode, kerr.UnknownTopicOrPartition)
	wantCode(t, listed(t, c, 5, "t", 2, -1).ErrorCode, kerr.UnknownTopicOrPartition)
	epoch := b.controller.image().LeaderEpoch()
	for known, want := range map[int32]*kerr.Error{-1: nil, epoch: nil, epoch + 1: kerr.UnknownLeaderEpoch} {
		r := listOffsetsRequest(5, "t", 0, -1)
		r.Topics[0].Partitions[0].CurrentLeaderEpoch = known
		wantCode(t, c.ask(r).(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0].ErrorCode, want)
	}
	twice := c.ask(listOffsetsRequest(5, "t", 0, -1, -2)).(*kmsg.ListOffsetsResponse).Topics[0].Partitions
	for _, p := range twice {
		wantCode(t, p.ErrorCode, kerr.InvalidRequest)
	}
}

func TestStaleLeaderEpochIsFencedAfterRestart(t *testing.T) {
	mem := disk.NewMem()
	b, dial := brokerOn(t, mem, nil)
	createTopic(t, b, "t", 1)
	wantCode(t, produced(t, dial().ask(produceRequest("t", acksAll, batchOf(t, "a", "b")))).ErrorCode, nil)
	stale := b.controller.image().LeaderEpoch()
	if err := b.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	b, dial = brokerOn(t, mem, nil)
	epoch := b.controller.image().LeaderEpoch()
	if epoch <= stale {
		t.Fatalf("leader epoch %d after %d", epoch, stale)
	}
	c := dial()
	wantCode(t, produced(t, c.ask(produceRequest("t", acksAll, batchOf(t, "c")))).ErrorCode, nil)

	list := listOffsetsRequest(5, "t", 0, -1)
	list.Topics[0].Partitions[0].CurrentLeaderEpoch = stale
	wantCode(t, c.ask(list).(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0].ErrorCode, kerr.FencedLeaderEpoch)

	fetch := fetchRequest("t", 0, 0)
	fetch.Topics[0].Partitions[0].CurrentLeaderEpoch = stale
	_, code := fetched(t, c.ask(fetch))
	wantCode(t, code, kerr.FencedLeaderEpoch)
	fetch = fetchRequest("t", 0, 0)
	fetch.Topics[0].Partitions[0].CurrentLeaderEpoch = epoch + 1
	_, code = fetched(t, c.ask(fetch))
	wantCode(t, code, kerr.UnknownLeaderEpoch)

	for version := int16(2); version <= 4; version++ {
		for _, test := range []struct {
			current, asked int32
			want           *kerr.Error
			epoch          int32
			end            int64
		}{
			{-1, stale, nil, stale, 2},
			{epoch, epoch, nil, epoch, 3},
			{-1, epoch + 5, nil, -1, -1},
			{stale, stale, kerr.FencedLeaderEpoch, -1, -1},
			{epoch + 1, stale, kerr.UnknownLeaderEpoch, -1, -1},
		} {
			r := kmsg.NewPtrOffsetForLeaderEpochRequest()
			r.SetVersion(version)
			p := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
			p.CurrentLeaderEpoch, p.LeaderEpoch = test.current, test.asked
			rt := kmsg.NewOffsetForLeaderEpochRequestTopic()
			rt.Topic, rt.Partitions = "t", []kmsg.OffsetForLeaderEpochRequestTopicPartition{p}
			r.Topics = []kmsg.OffsetForLeaderEpochRequestTopic{rt}
			answer := c.ask(r).(*kmsg.OffsetForLeaderEpochResponse).Topics[0].Partitions[0]
			wantCode(t, answer.ErrorCode, test.want)
			if answer.LeaderEpoch != test.epoch || answer.EndOffset != test.end {
				t.Errorf("version %d %+v: %+v", version, test, answer)
			}
		}
	}

	// A consumer whose last record the log does not have is told where its epoch ends (KIP-595).
	fetch = fetchRequest("t", 3, 0)
	fetch.SetVersion(12)
	fetch.Topics[0].Partitions[0].LastFetchedEpoch = stale
	p := c.ask(fetch).(*kmsg.FetchResponse).Topics[0].Partitions[0]
	if p.ErrorCode != 0 || p.DivergingEpoch.Epoch != stale || p.DivergingEpoch.EndOffset != 2 || len(p.RecordBatches) != 0 {
		t.Errorf("diverging: %+v", p)
	}
}

func deleteRecordsRequest(version int16, topic string, index int32, offset int64) *kmsg.DeleteRecordsRequest {
	r := kmsg.NewPtrDeleteRecordsRequest()
	r.SetVersion(version)
	r.TimeoutMillis = 10_000
	p := kmsg.NewDeleteRecordsRequestTopicPartition()
	p.Partition, p.Offset = index, offset
	rt := kmsg.NewDeleteRecordsRequestTopic()
	rt.Topic, rt.Partitions = topic, []kmsg.DeleteRecordsRequestTopicPartition{p}
	r.Topics = []kmsg.DeleteRecordsRequestTopic{rt}
	return r
}

func TestDeleteRecords(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	createTopic(t, b, "t", 1)
	topicWith(t, b, "compacted", 1, map[string]string{"cleanup.policy": "compact"})
	c := dial(t, b)
	c.ask(produceRequest("t", acksAll, batchOf(t, "a", "b", "c", "d", "e")))
	for _, test := range []struct {
		topic  string
		offset int64
		want   *kerr.Error
		low    int64
	}{
		{"t", 2, nil, 2},
		{"t", 1, nil, 2},
		{"t", 6, kerr.OffsetOutOfRange, -1},
		{"t", -2, kerr.OffsetOutOfRange, -1},
		{"unknown", 0, kerr.UnknownTopicOrPartition, -1},
		{"compacted", 0, kerr.PolicyViolation, -1},
	} {
		for version := int16(0); version <= 2; version++ {
			answer := c.ask(deleteRecordsRequest(version, test.topic, 0, test.offset)).(*kmsg.DeleteRecordsResponse).Topics[0].Partitions[0]
			wantCode(t, answer.ErrorCode, test.want)
			if answer.LowWatermark != test.low {
				t.Errorf("%+v: %+v", test, answer)
			}
		}
	}
	if answer := listed(t, c, 5, "t", 0, -2); answer.Offset != 2 {
		t.Errorf("log start %+v", answer)
	}
	_, code := fetched(t, c.ask(fetchRequest("t", 1, 0)))
	wantCode(t, code, kerr.OffsetOutOfRange)
	for i, timeoutMs := range []int32{0, -1} { // there is nobody to wait for
		r := deleteRecordsRequest(2, "t", 0, int64(3+i))
		r.TimeoutMillis = timeoutMs
		if answer := c.ask(r).(*kmsg.DeleteRecordsResponse).Topics[0].Partitions[0]; answer.ErrorCode != 0 || answer.LowWatermark != int64(3+i) {
			t.Errorf("timeout %d: %+v", timeoutMs, answer)
		}
	}
	answer := c.ask(deleteRecordsRequest(2, "t", 0, -1)).(*kmsg.DeleteRecordsResponse).Topics[0].Partitions[0]
	if answer.ErrorCode != 0 || answer.LowWatermark != 5 {
		t.Errorf("delete all: %+v", answer)
	}
}

func TestProducerIDsAreUniqueThroughRestarts(t *testing.T) {
	mem := disk.NewMem()
	seen := map[int64]bool{}
	for range 2 {
		b, dial := brokerOn(t, mem, nil)
		c := dial()
		for i := range producerIDBlock + 10 {
			r := kmsg.NewPtrInitProducerIDRequest()
			r.SetVersion(int16(i % 5))
			answer := c.ask(r).(*kmsg.InitProducerIDResponse)
			wantCode(t, answer.ErrorCode, nil)
			if answer.ProducerID < 0 || answer.ProducerEpoch != 0 || seen[answer.ProducerID] {
				t.Fatalf("answer %+v", answer)
			}
			seen[answer.ProducerID] = true
		}
		if err := b.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestInitProducerIDRefusals(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	c := dial(t, b)
	empty, id, long := "", "orders", strings.Repeat("x", 1<<15-1)
	for _, test := range []struct {
		id    *string
		pid   int64
		epoch int16
		want  *kerr.Error
	}{
		{nil, -1, -1, nil},
		{nil, 5, 0, nil}, // like Kafka: any idempotent producer gets a new id
		{nil, 5, -1, kerr.InvalidRequest},
		{nil, -1, 5, kerr.InvalidRequest},
		{&empty, -1, -1, kerr.InvalidRequest},
		{&id, 5, -1, kerr.InvalidRequest},
		{&id, -1, 5, kerr.InvalidRequest},
		{&id, -1, -1, nil},
		{&long, -1, -1, nil}, // no record holds a longer one, and no request may
	} {
		r := kmsg.NewPtrInitProducerIDRequest()
		r.SetVersion(4)
		r.TransactionalID, r.ProducerID, r.ProducerEpoch = test.id, test.pid, test.epoch
		r.TransactionTimeoutMillis = 1000
		wantCode(t, c.ask(r).(*kmsg.InitProducerIDResponse).ErrorCode, test.want)
	}
}

func TestRetentionRunsInTheBackground(t *testing.T) {
	// In real time, with short intervals: the maintainer's first round comes after one of them.
	b := startBroker(t, Options{Config: map[string]string{"log.retention.check.interval.ms": "5"}}, nil)
	topicWith(t, b, "t", 1, map[string]string{"segment.bytes": "100", "retention.bytes": "200"})
	c := dial(t, b)
	for range 20 {
		c.ask(produceRequest("t", acksAll, batchOf(t, "a")))
	}
	deadline := time.Now().Add(30 * time.Second)
	for listed(t, c, 5, "t", 0, -2).Offset == 0 {
		if time.Now().After(deadline) {
			t.Fatal("nothing was deleted")
		}
	}
}

// A connection that is gone costs no look-ups: each may read a segment.
func TestListOffsetsEndsWithItsConnection(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	createTopic(t, b, "t", 1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	response, err := b.listOffsets(&call{ctx: ctx, version: 7}, listOffsetsRequest(7, "t", 0, 5))
	if err != nil {
		t.Fatal(err)
	}
	wantCode(t, response.Topics[0].Partitions[0].ErrorCode, kerr.RequestTimedOut)
}
