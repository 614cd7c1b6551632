package broker

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/broker/internal/fetchsession"
	"github.com/millrace/millrace/broker/internal/metadata"
	"github.com/millrace/millrace/broker/internal/partition"
	"github.com/millrace/millrace/internal/disk"
	"github.com/millrace/millrace/log"
	"github.com/millrace/millrace/log/record"
)

// fetchOf asks for partitions of one topic, each from offset 0.
func fetchOf(topic *metadata.Topic, version int16, partitions ...int32) *kmsg.FetchRequest {
	r := fetchRequest(topic.Name, 0, 0)
	r.SetVersion(version)
	r.Topics[0].TopicID = topic.ID
	r.Topics[0].Partitions = nil
	for _, index := range partitions {
		p := kmsg.NewFetchRequestTopicPartition()
		p.Partition, p.PartitionMaxBytes = index, 1<<20
		r.Topics[0].Partitions = append(r.Topics[0].Partitions, p)
	}
	return r
}

// produceTo writes one batch to a partition and returns its size.
func produceTo(t testing.TB, c *client, topic string, index int32, values ...string) int {
	t.Helper()
	r := produceRequest(topic, acksLeader, batchOf(t, values...))
	r.Topics[0].Partitions[0].Partition = index
	wantCode(t, produced(t, c.ask(r)).ErrorCode, nil)
	return len(batchOf(t, values...))
}

// told shows the partitions of a fetch answer: "0:72" has 72 bytes, "1!3" error 3.
func told(response kmsg.Response) string {
	var words []string
	for _, topic := range response.(*kmsg.FetchResponse).Topics {
		for _, p := range topic.Partitions {
			word := fmt.Sprintf("%d:%d", p.Partition, len(p.RecordBatches))
			if p.ErrorCode != 0 {
				word = fmt.Sprintf("%d!%d", p.Partition, p.ErrorCode)
			}
			words = append(words, word)
		}
	}
	return strings.Join(words, " ")
}

func wantTold(t testing.TB, response kmsg.Response, want string) {
	t.Helper()
	if got := told(response); got != want {
		t.Errorf("told %q, want %q", got, want)
	}
}

func TestFetchInEveryVersion(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	topic := topicWith(t, b, "t", 2, nil)
	c := dial(t, b)
	produceTo(t, c, "t", 0, "a", "b")
	produceTo(t, c, "t", 0, "c")
	c.ask(deleteRecordsRequest(2, "t", 0, 1))
	for version := int16(4); version <= 18; version++ {
		for _, isolation := range []int8{0, readCommitted} {
			r := fetchOf(topic, version, 0, 1)
			r.IsolationLevel = isolation
			r.Topics[0].Partitions[0].FetchOffset = 1
			response := c.ask(r).(*kmsg.FetchResponse)
			if response.ErrorCode != 0 || response.SessionID != 0 || len(response.Topics) != 1 || len(response.Topics[0].Partitions) != 2 {
				t.Fatalf("version %d: %+v", version, response)
			}
			values, code := fetched(t, response)
			if !slices.Equal(values, []string{"a", "b", "c"}) || code != 0 { // the client skips a
				t.Errorf("version %d: %q, error %d", version, values, code)
			}
			p := response.Topics[0].Partitions[0]
			if p.HighWatermark != 3 || p.LastStableOffset != 3 || version >= 5 && p.LogStartOffset != 1 || version >= 11 && p.PreferredReadReplica != -1 {
				t.Errorf("version %d: %+v", version, p)
			}
			if listed := p.AbortedTransactions != nil; listed != (isolation == readCommitted) || len(p.AbortedTransactions) > 0 {
				t.Errorf("version %d isolation %d: aborted transactions %v", version, isolation, p.AbortedTransactions)
			}
			if got := response.Topics[0]; version >= 13 && got.TopicID != topic.ID || version < 13 && got.Topic != "t" {
				t.Errorf("version %d: topic %+v", version, got)
			}
			if empty := response.Topics[0].Partitions[1]; empty.ErrorCode != 0 || empty.RecordBatches == nil || len(empty.RecordBatches) > 0 {
				t.Errorf("version %d: empty partition %+v", version, empty)
			}
		}
	}
}

func TestFetchEncodingIsKafkas(t *testing.T) {
	answer := fetchAnswer{
		sessionID: 77,
		isolation: partition.ReadCommitted,
		partitions: []fetchsession.Partition{
			{Key: fetchsession.Key{Topic: "a", ID: [16]byte{1}, Index: 3}},
			{Key: fetchsession.Key{Topic: "a", ID: [16]byte{1}, Index: 4}},
			{Key: fetchsession.Key{Topic: "untold", ID: [16]byte{2}}},
			{Key: fetchsession.Key{Topic: "b", ID: [16]byte{3}, Index: 5}},
		},
		results: []fetchResult{
			{offsets: partition.Offsets{LogStart: 1, LastStable: 2, HighWatermark: 3},
				aborted: []log.AbortedTransaction{{ProducerID: 8, FirstOffset: 1, LastOffset: 2}, {ProducerID: 9, FirstOffset: 2, LastOffset: 3}}},
			{err: kerr.UnknownTopicOrPartition},
			{},
			{offsets: partition.Offsets{HighWatermark: 9}, diverging: &epochEnd{epoch: 6, endOffset: 7}},
		},
		tell: []bool{true, true, false, true},
	}
	for version := int16(4); version <= 18; version++ {
		answer.version = version
		var body []byte
		for _, p := range encodeFetch(&answer) {
			body = append(body, p.bytes...)
		}
		response := kmsg.NewPtrFetchResponse()
		response.SetVersion(version)
		if err := response.ReadFrom(body); err != nil {
			t.Fatalf("version %d: %v", version, err)
		}
		if again := response.AppendTo(nil); !slices.Equal(again, body) {
			t.Errorf("version %d: kmsg encodes\n%x\nwe encode\n%x", version, again, body)
		}
		wantTold(t, response, "3:0 4!3 5:0")
		if last := response.Topics[1].Partitions[0]; version >= 12 && (last.DivergingEpoch.Epoch != 6 || last.DivergingEpoch.EndOffset != 7) {
			t.Errorf("version %d: %+v", version, last)
		}
		if aborted := response.Topics[0].Partitions[0].AbortedTransactions; len(aborted) != 2 || aborted[1].ProducerID != 9 || aborted[1].FirstOffset != 2 {
			t.Errorf("version %d: %+v", version, aborted)
		}
		if failed := response.Topics[0].Partitions[1]; failed.HighWatermark != -1 || failed.LastStableOffset != -1 {
			t.Errorf("version %d: %+v", version, failed)
		}
	}
}

func TestFetchRefusals(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	topic := topicWith(t, b, "t", 1, nil)
	zstd := topicWith(t, b, "zstd", 1, map[string]string{"compression.type": "zstd"})
	c := dial(t, b)
	produceTo(t, c, "t", 0, "a", "b")
	produceTo(t, c, "zstd", 0, "a")
	at := func(topic *metadata.Topic, version int16, index int32, offset int64) *kmsg.FetchRequest {
		r := fetchOf(topic, version, index)
		r.MaxWaitMillis = 60_000 // an error is told at once
		r.Topics[0].Partitions[0].FetchOffset = offset
		return r
	}
	unknown := &metadata.Topic{Name: "unknown", ID: [16]byte{42}}
	for name, test := range map[string]struct {
		request *kmsg.FetchRequest
		want    *kerr.Error
	}{
		"unknown topic":           {at(unknown, 12, 0, 0), kerr.UnknownTopicOrPartition},
		"unknown topic id":        {at(unknown, 13, 0, 0), kerr.UnknownTopicID},
		"unknown partition":       {at(topic, 12, 1, 0), kerr.UnknownTopicOrPartition},
		"unknown partition by id": {at(topic, 13, 1, 0), kerr.UnknownTopicOrPartition},
		"negative partition":      {at(topic, 12, -1, 0), kerr.UnknownTopicOrPartition},
		"before the start":        {at(topic, 12, 0, -1), kerr.OffsetOutOfRange},
		"beyond the end":          {at(topic, 12, 0, 3), kerr.OffsetOutOfRange},
		"zstd, old version":       {at(zstd, 9, 0, 0), kerr.UnsupportedCompressionType},
		"zstd, new version":       {at(zstd, 10, 0, 0), nil},
	} {
		_, code := fetched(t, c.ask(test.request))
		t.Run(name, func(t *testing.T) { wantCode(t, code, test.want) })
	}
}

func TestFetchBounds(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	topic := topicWith(t, b, "t", 3, nil)
	c := dial(t, b)
	size := 0
	for range 3 {
		for index := range int32(3) {
			size = produceTo(t, c, "t", index, "value")
		}
	}
	ask := func(maxBytes, partitionMaxBytes int) kmsg.Response {
		r := fetchOf(topic, 12, 0, 1, 2)
		r.MaxBytes = int32(maxBytes)
		for i := range r.Topics[0].Partitions {
			r.Topics[0].Partitions[i].PartitionMaxBytes = int32(partitionMaxBytes)
		}
		return c.ask(r)
	}
	whole := func(a, b, c int) string { return fmt.Sprintf("0:%d 1:%d 2:%d", a*size, b*size, c*size) }
	wantTold(t, ask(1<<20, 1<<20), whole(3, 3, 3))
	wantTold(t, ask(4*size, 1<<20), whole(3, 1, 0))
	wantTold(t, ask(1<<20, 2*size), whole(2, 2, 2))
	wantTold(t, ask(1<<20, 2*size-1), whole(1, 1, 1))
	wantTold(t, ask(1, 1), whole(1, 0, 0)) // the first batch is whole, whatever the bounds
	wantTold(t, ask(size, size-1), whole(1, 0, 0))
	wantTold(t, ask(0, 0), whole(1, 0, 0))
	wantTold(t, ask(-5, -5), whole(1, 0, 0))
}

func TestFetchIsBoundedByTheBroker(t *testing.T) {
	b := startBroker(t, Options{Config: map[string]string{"fetch.max.bytes": "1024"}}, nil)
	createTopic(t, b, "t", 1)
	c := dial(t, b)
	size := 0
	for range 30 {
		size = produceTo(t, c, "t", 0, strings.Repeat("x", 100))
	}
	response := c.ask(fetchRequest("t", 0, 0))
	wantTold(t, response, fmt.Sprintf("0:%d", 1024/size*size))
}

func TestLongPollEndsWithTheNextCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		files := &slowDisk{FS: disk.NewMem(), topic: "t"}
		b, dial := brokerOn(t, files, nil)
		createTopic(t, b, "t", 1)
		createTopic(t, b, "u", 1)
		consumer, producer := dial(), dial()
		produceTo(t, producer, "t", 0, "first")
		begin := time.Now()
		consumer.send(fetchRequest("t", 1, 60_000))
		synctest.Wait()
		time.Sleep(5 * time.Second)
		files.hold()
		producer.send(produceRequest("t", acksLeader, batchOf(t, "a")))
		time.Sleep(5 * time.Second) // appended, and not yet committed
		files.letGo()
		values, _ := fetched(t, consumer.receive())
		if took := time.Since(begin); !slices.Equal(values, []string{"a"}) || took != 10*time.Second {
			t.Errorf("%q after %v", values, took)
		}
	})
}

func TestLongPollWaitsForMinBytesAndNotBeyondMaxWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, dial := brokerOn(t, disk.NewMem(), nil)
		topic := topicWith(t, b, "t", 2, nil)
		consumer, producer := dial(), dial()
		size := produceTo(t, producer, "t", 0, "v")
		ask := func(minBytes int) *kmsg.FetchRequest {
			r := fetchOf(topic, 12, 0, 1)
			r.MaxWaitMillis, r.MinBytes = 1000, int32(minBytes)
			return r
		}
		begin := time.Now()
		wantTold(t, consumer.ask(ask(size)), fmt.Sprintf("0:%d 1:0", size))
		if took := time.Since(begin); took != 0 {
			t.Errorf("enough was there, answered after %v", took)
		}
		consumer.send(ask(3 * size))
		time.Sleep(300 * time.Millisecond)
		produceTo(t, producer, "t", 1, "v")
		time.Sleep(300 * time.Millisecond)
		produceTo(t, producer, "t", 1, "v")
		wantTold(t, consumer.receive(), fmt.Sprintf("0:%d 1:%d", size, 2*size))
		if took := time.Since(begin); took != 600*time.Millisecond {
			t.Errorf("answered after %v", took)
		}
		wantTold(t, consumer.ask(ask(4*size)), fmt.Sprintf("0:%d 1:%d", size, 2*size))
		if took := time.Since(begin); took != 1600*time.Millisecond {
			t.Errorf("answered after %v", took)
		}
	})
}

func TestFetchOfTooManyPartitionsIsRefused(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	c := dial(t, b)
	c.expectServed()
	for count, served := range map[int]bool{fetchPartitionsMax: true, fetchPartitionsMax + 1: false} {
		r := fetchRequest("t", 0, 0)
		r.Topics[0].Partitions = slices.Repeat(r.Topics[0].Partitions, count)
		c := dial(t, b)
		c.expectServed()
		c.send(r)
		if !served {
			c.expectClosed()
			continue
		}
		if got := len(c.receive().(*kmsg.FetchResponse).Topics[0].Partitions); got != count {
			t.Errorf("%d partitions were answered, asked for %d", got, count)
		}
	}
	c.expectServed()
}

// TestLongPollOfAClientThatLeftEnds: its connection is held no longer than fetchWaitMax, whatever it asked for.
func TestLongPollOfAClientThatLeftEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, dial := brokerOn(t, disk.NewMem(), nil)
		topicWith(t, b, "t", 1, nil)
		consumer := dial()
		consumer.send(fetchRequest("t", 0, math.MaxInt32))
		_ = consumer.conn.Close()
		time.Sleep(fetchWaitMax + time.Second)
		if n := b.server.connections()[plaintextListener]; n != 0 {
			t.Errorf("%d connections are held", n)
		}
	})
}

func TestLongPollEndsWhenItsTopicIsDeleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, dial := brokerOn(t, disk.NewMem(), nil)
		topic := topicWith(t, b, "t", 1, nil)
		consumer := dial()
		r := fetchOf(topic, 13, 0)
		r.MaxWaitMillis = 60_000
		begin := time.Now()
		consumer.send(r)
		synctest.Wait()
		dropTopic(t, b, topic.Name)
		_, code := fetched(t, consumer.receive())
		if took := time.Since(begin); code == 0 || took != 0 {
			t.Errorf("error %d after %v", code, took)
		}
	})
}

func TestLongPollEndsWhenRecordsAreDeletedFromUnderIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, dial := brokerOn(t, disk.NewMem(), nil)
		topic := topicWith(t, b, "t", 1, nil)
		consumer, admin := dial(), dial()
		size := produceTo(t, admin, "t", 0, "v")
		produceTo(t, admin, "t", 0, "v")
		r := fetchOf(topic, 12, 0)
		r.MaxWaitMillis, r.MinBytes = 60_000, int32(3*size)
		consumer.send(r)
		synctest.Wait()
		admin.ask(deleteRecordsRequest(2, "t", 0, 1))
		_, code := fetched(t, consumer.receive())
		wantCode(t, code, kerr.OffsetOutOfRange)
	})
}

// dropTopic deletes a topic through the controller.
func dropTopic(t testing.TB, b *Broker, name string) {
	t.Helper()
	err := b.controller.change(t.Context(), func(image *metadata.Image) ([]metadata.Record, error) {
		records, results := image.DeleteTopics([]metadata.TopicRef{{Name: &name}})
		return records, results[0].Err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestFetchSessionTellsOnlyNews(t *testing.T) {
	for _, version := range []int16{7, 12, 13, 18} {
		b := startBroker(t, Options{}, nil)
		topic := topicWith(t, b, "t", 3, nil)
		c := dial(t, b)
		r := fetchOf(topic, version, 0, 1, 2)
		r.SessionEpoch = 0
		response := c.ask(r).(*kmsg.FetchResponse)
		wantTold(t, response, "0:0 1:0 2:0")
		id, epoch := response.SessionID, int32(1)
		if id == 0 {
			t.Fatalf("version %d: no session", version)
		}
		next := func(change func(*kmsg.FetchRequest)) *kmsg.FetchResponse {
			r := fetchOf(topic, version)
			r.Topics = nil
			r.SessionID, r.SessionEpoch = id, epoch
			epoch++
			if change != nil {
				change(r)
			}
			return c.ask(r).(*kmsg.FetchResponse)
		}
		wantTold(t, next(nil), "")
		size := produceTo(t, c, "t", 1, "v")
		wantTold(t, next(nil), fmt.Sprintf("1:%d", size))
		wantTold(t, next(nil), fmt.Sprintf("1:%d", size)) // still at offset 0
		wantTold(t, next(func(r *kmsg.FetchRequest) {
			moved := fetchOf(topic, version, 1)
			moved.Topics[0].Partitions[0].FetchOffset = 1
			r.Topics = moved.Topics
		}), "")
		produceTo(t, c, "t", 0, "v")
		produceTo(t, c, "t", 2, "v")
		wantTold(t, next(func(r *kmsg.FetchRequest) {
			forgotten := kmsg.NewFetchRequestForgottenTopic()
			forgotten.Topic, forgotten.TopicID, forgotten.Partitions = "t", topic.ID, []int32{0}
			r.ForgottenTopics = []kmsg.FetchRequestForgottenTopic{forgotten}
		}), fmt.Sprintf("2:%d", size))
		epoch += 5
		wantCode(t, next(nil).ErrorCode, kerr.InvalidFetchSessionEpoch)
		epoch, id = 1, id+1
		unknown := next(nil)
		wantCode(t, unknown.ErrorCode, kerr.FetchSessionIDNotFound)
		if unknown.SessionID != 0 {
			t.Errorf("session %d", unknown.SessionID)
		}
	}
}

func TestFetchSessionServesEveryPartitionInTurn(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	topic := topicWith(t, b, "t", 3, nil)
	c := dial(t, b)
	size := 0
	for index := range int32(3) {
		size = produceTo(t, c, "t", index, "v")
	}
	r := fetchOf(topic, 12, 0, 1, 2)
	r.SessionEpoch, r.MaxBytes = 0, int32(size)
	served := map[string]int{}
	id := int32(0)
	for range 6 {
		response := c.ask(r).(*kmsg.FetchResponse)
		for _, p := range response.Topics[0].Partitions {
			if len(p.RecordBatches) > 0 {
				served[fmt.Sprint(p.Partition)]++
			}
		}
		id = response.SessionID
		r.SessionID, r.SessionEpoch, r.Topics = id, r.SessionEpoch+1, nil
	}
	if served["0"] != 2 || served["1"] != 2 || served["2"] != 2 {
		t.Errorf("served %v", served)
	}
}

func TestFetchSessionChangesBetweenNamesAndIDs(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	topic := topicWith(t, b, "t", 1, nil)
	c := dial(t, b)
	r := fetchOf(topic, 12, 0)
	r.SessionEpoch = 0
	id := c.ask(r).(*kmsg.FetchResponse).SessionID
	r = fetchOf(topic, 13, 0)
	r.SessionID, r.SessionEpoch = id, 1
	wantCode(t, c.ask(r).(*kmsg.FetchResponse).ErrorCode, kerr.FetchSessionTopicIDError)
}

func TestFetchSessionNoticesARecreatedTopic(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	topic := topicWith(t, b, "t", 1, nil)
	c := dial(t, b)
	r := fetchOf(topic, 13, 0)
	r.SessionEpoch = 0
	id := c.ask(r).(*kmsg.FetchResponse).SessionID
	dropTopic(t, b, topic.Name)
	ask := func(epoch int32) kmsg.Response {
		r := fetchOf(topic, 13)
		r.Topics, r.SessionID, r.SessionEpoch = nil, id, epoch
		return c.ask(r)
	}
	wantTold(t, ask(1), fmt.Sprintf("0!%d", kerr.UnknownTopicOrPartition.Code))
	topicWith(t, b, "t", 1, nil)
	wantTold(t, ask(2), fmt.Sprintf("0!%d", kerr.InconsistentTopicID.Code))
	wantTold(t, c.ask(fetchOf(topic, 13, 0)), fmt.Sprintf("0!%d", kerr.UnknownTopicID.Code))
}

func TestFetchSessionsAreBounded(t *testing.T) {
	b := startBroker(t, Options{Config: map[string]string{"max.incremental.fetch.session.cache.slots": "2"}}, nil)
	topic := topicWith(t, b, "t", 1, nil)
	c := dial(t, b)
	for i := range 4 {
		r := fetchOf(topic, 12, 0)
		r.SessionEpoch = 0
		if id := c.ask(r).(*kmsg.FetchResponse).SessionID; (id != 0) != (i < 2) {
			t.Errorf("session %d for client %d of 2", id, i)
		}
	}
}

func TestFetchByOffsetsInsideBatchesAndAcrossSegments(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	topicWith(t, b, "t", 1, map[string]string{"segment.bytes": "500"})
	c := dial(t, b)
	const batches, each = 40, 5
	for i := range batches {
		var values []string
		for j := range each {
			values = append(values, fmt.Sprint(i*each+j))
		}
		produceTo(t, c, "t", 0, values...)
	}
	if segments := b.partitions.lookup("t", 0).Stats().Segments; segments < 5 {
		t.Fatalf("%d segments", segments)
	}
	for offset := range int64(batches * each) {
		response := c.ask(fetchRequest("t", offset, 0)).(*kmsg.FetchResponse)
		values, code := fetched(t, response)
		first, _, err := record.Next(response.Topics[0].Partitions[0].RecordBatches)
		if err != nil || code != 0 {
			t.Fatalf("offset %d: error %d, %v", offset, code, err)
		}
		if first.BaseOffset() > offset || first.LastOffset() < offset || values[offset-first.BaseOffset()] != fmt.Sprint(offset) {
			t.Errorf("offset %d: batch [%d, %d], %q", offset, first.BaseOffset(), first.LastOffset(), values[0])
		}
	}
}

func TestFetchAllocatesNothingPerByte(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	createTopic(t, b, "t", 1)
	c := dial(t, b)
	for range 100 {
		produceTo(t, c, "t", 0, strings.Repeat("x", 10_000))
	}
	measure := func(maxBytes int32) (bytes, allocations float64) {
		request := fetchRequest("t", 0, 0)
		request.MaxBytes = maxBytes
		call := &call{ctx: t.Context(), version: 11, now: time.Now()}
		allocations = testing.AllocsPerRun(100, func() {
			answer, err := b.fetch(call, request)
			if err != nil {
				t.Fatal(err)
			}
			bytes = 0
			for _, p := range answer.body {
				bytes += float64(len(p.bytes))
				if p.file != nil {
					bytes += float64(p.file.Size())
				}
			}
			answer.release()
		})
		return bytes, allocations
	}
	fewBytes, few := measure(10_500)
	manyBytes, many := measure(1 << 20)
	if manyBytes < 90*fewBytes {
		t.Fatalf("%v and %v bytes", fewBytes, manyBytes)
	}
	if many > few+1 || many > 20 {
		t.Errorf("%v allocations for %v bytes, %v for %v", few, fewBytes, many, manyBytes)
	}
}
