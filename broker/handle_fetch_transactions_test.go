package broker

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/broker/internal/partition"
	"github.com/millrace/millrace/internal/disk"
	"github.com/millrace/millrace/log"
	"github.com/millrace/millrace/log/record"
)

// transactional makes a batch one of a transaction.
func transactional(id int64, epoch int16, sequence int32) func(*record.Options) {
	return func(o *record.Options) {
		producer(id, epoch, sequence)(o)
		o.Transactional = true
	}
}

// producePlain writes a record outside of any transaction to partition 0 of topic t, with the time as it is.
func producePlain(t testing.TB, c *client, value string) {
	t.Helper()
	wantCode(t, produced(t, c.ask(produceRequest("t", acksAll, buildBatch(t, nil, value)))).ErrorCode, nil)
}

// writeInTransaction appends a batch to partition 0 of topic t in a transaction of the producer, and waits for the commit.
func writeInTransaction(t testing.TB, b *Broker, id int64, sequence int32, values ...string) {
	t.Helper()
	p := b.partitions.lookup("t", 0)
	v, err := p.BeginVerification(id, 0, sequence, false)
	if err != nil {
		t.Fatal(err)
	}
	batch := buildBatch(t, transactional(id, 0, sequence), values...)
	awaitAppended(t, p, func() (log.Appended, error) {
		return p.AppendInTransaction(batch, time.Now().UnixMilli(), partition.Client, v)
	})
}

// endTransaction ends a transaction in partition 0 of topic t and waits for the commit of its marker.
func endTransaction(t testing.TB, b *Broker, id int64, how record.ControlType) {
	t.Helper()
	p := b.partitions.lookup("t", 0)
	nowMs := time.Now().UnixMilli()
	awaitAppended(t, p, func() (log.Appended, error) {
		return p.EndTransaction(record.EndTxnMarker{Type: how, ProducerID: id, CoordinatorEpoch: 4, TimestampMs: nowMs}, false, nowMs)
	})
}

func awaitAppended(t testing.TB, p *partition.Partition, write func() (log.Appended, error)) {
	t.Helper()
	appended, err := write()
	if err == nil {
		err = p.AwaitCommitted(t.Context(), appended.LastOffset+1)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// consumed is what a consumer hands to its application: without control records, and without the records of transactions that
// the answer calls aborted, by the rule of Kafka's clients.
func consumed(t testing.TB, response kmsg.Response) string {
	t.Helper()
	p := response.(*kmsg.FetchResponse).Topics[0].Partitions[0]
	pending, aborted := p.AbortedTransactions, map[int64]bool{}
	var values []string
	for rest := p.RecordBatches; len(rest) > 0; {
		var batch record.Batch
		var err error
		if batch, rest, err = record.Next(rest); err != nil {
			t.Fatal(err)
		}
		for len(pending) > 0 && pending[0].FirstOffset <= batch.LastOffset() {
			aborted[pending[0].ProducerID], pending = true, pending[1:]
		}
		if batch.IsControl() {
			if kind, err := batch.ControlType(); err != nil || kind == record.ControlAbort {
				delete(aborted, batch.ProducerID())
			}
			continue
		}
		if batch.IsTransactional() && aborted[batch.ProducerID()] {
			continue
		}
		reader, err := batch.Records(1 << 20)
		if err != nil {
			t.Fatal(err)
		}
		for reader.Next() {
			values = append(values, string(reader.Record().Value))
		}
	}
	return strings.Join(values, " ")
}

// mixedPartition has, in partition 0 of topic t: plain at 0; a and b (1, 2) of a transaction that is committed at 6; c (3) of
// one that is aborted at 4; plain at 5; e (7) of one that is open; plain at 8.
func mixedPartition(t testing.TB, b *Broker, c *client) {
	t.Helper()
	producePlain(t, c, "first")
	writeInTransaction(t, b, 10, 0, "a", "b")
	writeInTransaction(t, b, 11, 0, "c")
	endTransaction(t, b, 11, record.ControlAbort)
	producePlain(t, c, "d")
	endTransaction(t, b, 10, record.ControlCommit)
	writeInTransaction(t, b, 12, 0, "e")
	producePlain(t, c, "last")
}

func TestFetchOfTransactionsInEveryVersion(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	topic := topicWith(t, b, "t", 1, nil)
	c := dial(t, b)
	mixedPartition(t, b, c)
	for version := int16(4); version <= 18; version++ {
		for _, test := range []struct {
			isolation int8
			offset    int64
			want      string
			aborted   string
		}{
			{0, 0, "first a b c d e last", "null"},
			{readCommitted, 0, "first a b d", "11@3 "},
			{readCommitted, 3, "d", "11@3 "},
			{readCommitted, 4, "d", "11@3 "}, // the marker is of the transaction
			{readCommitted, 5, "d", ""},
			{readCommitted, 7, "", ""},
			{readCommitted, 9, "", ""},
		} {
			r := fetchOf(topic, version, 0)
			r.IsolationLevel, r.Topics[0].Partitions[0].FetchOffset = test.isolation, test.offset
			response := c.ask(r).(*kmsg.FetchResponse)
			p := response.Topics[0].Partitions[0]
			aborted := ""
			for _, transaction := range p.AbortedTransactions {
				aborted += fmt.Sprintf("%d@%d ", transaction.ProducerID, transaction.FirstOffset)
			}
			if p.AbortedTransactions == nil {
				aborted = "null"
			}
			if got := consumed(t, response); got != test.want || aborted != test.aborted {
				t.Errorf("version %d, isolation %d, offset %d: %q with aborted %q, want %q with %q",
					version, test.isolation, test.offset, got, aborted, test.want, test.aborted)
			}
			if p.ErrorCode != 0 || p.LastStableOffset != 7 || p.HighWatermark != 9 {
				t.Errorf("version %d: %+v", version, p)
			}
		}
	}
	// Only what lies in the range is told: up to the first batch there is nothing aborted.
	r := fetchOf(topic, 12, 0)
	r.IsolationLevel, r.Topics[0].Partitions[0].PartitionMaxBytes = readCommitted, 1
	if p := c.ask(r).(*kmsg.FetchResponse).Topics[0].Partitions[0]; len(p.AbortedTransactions) != 0 || len(p.RecordBatches) == 0 {
		t.Errorf("%+v", p)
	}
}

// TestLongPollOfAReadCommittedConsumer ends with the commit: what it may not see yet does not count for min.bytes.
func TestLongPollOfAReadCommittedConsumer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, dial := brokerOn(t, disk.NewMem(), nil)
		topicWith(t, b, "t", 1, nil)
		consumer, producer := dial(), dial()
		begin := time.Now()
		r := fetchRequest("t", 0, 60_000)
		r.IsolationLevel = readCommitted
		consumer.send(r)
		synctest.Wait()
		writeInTransaction(t, b, 1, 0, "a")
		time.Sleep(time.Second)
		producePlain(t, producer, "plain")
		time.Sleep(time.Second)
		endTransaction(t, b, 1, record.ControlCommit)
		if got, took := consumed(t, consumer.receive()), time.Since(begin); got != "a plain" || took != 2*time.Second {
			t.Errorf("%q after %v", got, took)
		}
	})
}

// TestFetchSessionTellsOfTheLastStableOffset: with the records that it uncovers, and without any.
func TestFetchSessionTellsOfTheLastStableOffset(t *testing.T) {
	for _, version := range []int16{7, 12, 13, 18} {
		b := startBroker(t, Options{}, nil)
		topic := topicWith(t, b, "t", 2, nil)
		c := dial(t, b)
		writeInTransaction(t, b, 1, 0, "a")
		r := fetchOf(topic, version, 0, 1)
		r.SessionEpoch, r.IsolationLevel = 0, readCommitted
		first := c.ask(r).(*kmsg.FetchResponse)
		wantTold(t, first, "0:0 1:0")
		epoch := int32(0)
		next := func(moved ...int64) *kmsg.FetchResponse {
			epoch++
			r := fetchOf(topic, version, 0)
			r.IsolationLevel, r.SessionID, r.SessionEpoch = readCommitted, first.SessionID, epoch
			if len(moved) == 0 {
				r.Topics = nil
			} else {
				r.Topics[0].Partitions[0].FetchOffset = moved[0]
			}
			return c.ask(r).(*kmsg.FetchResponse)
		}
		wantTold(t, next(), "")
		wantStable := func(response *kmsg.FetchResponse, lastStable, highWatermark int64) {
			t.Helper()
			if len(response.Topics) != 1 || len(response.Topics[0].Partitions) != 1 {
				t.Fatalf("version %d: %+v", version, response)
			}
			if p := response.Topics[0].Partitions[0]; p.LastStableOffset != lastStable || p.HighWatermark != highWatermark {
				t.Errorf("version %d: %+v, want last stable offset %d, high watermark %d", version, p, lastStable, highWatermark)
			}
		}
		producePlain(t, c, "plain")
		wantStable(next(), 0, 2)
		wantTold(t, next(), "")
		endTransaction(t, b, 1, record.ControlAbort)
		response := next()
		wantStable(response, 3, 3)
		if got := consumed(t, response); got != "plain" {
			t.Errorf("version %d: %q", version, got)
		}
		wantTold(t, next(3), "")
		writeInTransaction(t, b, 1, 1, "b")
		wantStable(next(), 3, 4)
		endTransaction(t, b, 1, record.ControlCommit)
		response = next()
		wantStable(response, 5, 5)
		if got := consumed(t, response); got != "b" {
			t.Errorf("version %d: %q", version, got)
		}
	}
}

func TestListOffsetsByIsolation(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	createTopic(t, b, "t", 1)
	c := dial(t, b)
	mixedPartition(t, b, c)
	var timestamps []int64
	r := fetchRequest("t", 0, 0)
	for rest := c.ask(r).(*kmsg.FetchResponse).Topics[0].Partitions[0].RecordBatches; len(rest) > 0; {
		var batch record.Batch
		var err error
		if batch, rest, err = record.Next(rest); err != nil {
			t.Fatal(err)
		}
		timestamps = append(timestamps, batch.MaxTimestampMs())
	}
	newest := slices.Max(timestamps)
	for version := int16(2); version <= 11; version++ {
		for _, test := range []struct {
			timestamp              int64
			since                  int16
			committed, uncommitted int64
		}{
			{timestampLatest, 2, 7, 9},
			{timestampEarliest, 2, 0, 0},
			{0, 2, 0, 0},
			{newest + 1, 2, -1, -1},
		} {
			for isolation, want := range []int64{test.uncommitted, test.committed} {
				r := listOffsetsRequest(version, "t", 0, test.timestamp)
				r.IsolationLevel = int8(isolation)
				answer := c.ask(r).(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0]
				if answer.ErrorCode != 0 || answer.Offset != want {
					t.Errorf("version %d, timestamp %d, isolation %d: %+v, want offset %d", version, test.timestamp, isolation, answer, want)
				}
			}
		}
	}
}

// TestListOffsetsFindsNothingBeyondTheLastStableOffset: neither by a time nor as the youngest record.
func TestListOffsetsFindsNothingBeyondTheLastStableOffset(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	createTopic(t, b, "t", 1)
	c := dial(t, b)
	at := func(timestampMs int64, options record.Options) record.Batch {
		builder := record.NewBuilder(options)
		builder.Add(timestampMs, nil, []byte("v"))
		batch, err := builder.Build()
		if err != nil {
			t.Fatal(err)
		}
		return batch
	}
	wantCode(t, produced(t, c.ask(produceRequest("t", acksAll, at(1000, record.Options{})))).ErrorCode, nil)
	p := b.partitions.lookup("t", 0)
	v, err := p.BeginVerification(1, 0, 0, false)
	if err != nil {
		t.Fatal(err)
	}
	inIt := at(2000, record.Options{Producer: &record.Producer{ID: 1}, Transactional: true})
	awaitAppended(t, p, func() (log.Appended, error) { return p.AppendInTransaction(inIt, 2000, partition.Client, v) })
	for _, timestamp := range []int64{1500, timestampMax} {
		for isolation, want := range []int64{1, -1} {
			r := listOffsetsRequest(7, "t", 0, timestamp)
			r.IsolationLevel = int8(isolation)
			if answer := c.ask(r).(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0]; answer.ErrorCode != 0 || answer.Offset != want {
				t.Errorf("timestamp %d, isolation %d: %+v, want offset %d", timestamp, isolation, answer, want)
			}
		}
	}
}

func TestDescribeProducersShowsTransactions(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	createTopic(t, b, "t", 1)
	mixedPartition(t, b, dial(t, b))
	r := kmsg.NewPtrDescribeProducersRequest()
	r.Topics = []kmsg.DescribeProducersRequestTopic{{Topic: "t", Partitions: []int32{0}}}
	answer := dial(t, b).ask(r).(*kmsg.DescribeProducersResponse).Topics[0].Partitions[0]
	var got []string
	for _, p := range answer.ActiveProducers {
		got = append(got, fmt.Sprintf("%d coordinator %d open since %d", p.ProducerID, p.CoordinatorEpoch, p.CurrentTxnStartOffset))
	}
	want := []string{"10 coordinator 4 open since -1", "11 coordinator 4 open since -1", "12 coordinator -1 open since 7"}
	if answer.ErrorCode != 0 || !slices.Equal(got, want) {
		t.Errorf("error %d, %q, want %q", answer.ErrorCode, got, want)
	}
}
