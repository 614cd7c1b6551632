package broker

import (
	"context"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/broker/internal/metadata"
	"github.com/millrace/millrace/internal/disk"
	"github.com/millrace/millrace/internal/memnet"
	"github.com/millrace/millrace/log/record"
)

// buildBatch returns a batch of one record per value that a test may still change.
func buildBatch(t testing.TB, change func(*record.Options), values ...string) record.Batch {
	t.Helper()
	var options record.Options
	if change != nil {
		change(&options)
	}
	builder := record.NewBuilder(options)
	for i, value := range values {
		builder.Add(time.Now().UnixMilli()+int64(i), []byte("k"), []byte(value))
	}
	b, err := builder.Build()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func codec(c record.Codec) func(*record.Options) { return func(o *record.Options) { o.Codec = c } }

func producer(id int64, epoch int16, sequence int32) func(*record.Options) {
	return func(o *record.Options) {
		o.Producer = &record.Producer{ID: id, Epoch: epoch, BaseSequence: sequence}
	}
}

// topicWith makes a topic with settings.
func topicWith(t testing.TB, b *Broker, name string, partitions int32, configs map[string]string) *metadata.Topic {
	t.Helper()
	topic, err := b.controller.ensureTopic(context.Background(), name, partitions, configs, false)
	if err != nil {
		t.Fatal(err)
	}
	return topic
}

func produced(t testing.TB, response kmsg.Response) kmsg.ProduceResponseTopicPartition {
	t.Helper()
	r := response.(*kmsg.ProduceResponse)
	if len(r.Topics) != 1 || len(r.Topics[0].Partitions) != 1 {
		t.Fatalf("answer %+v", r)
	}
	return r.Topics[0].Partitions[0]
}

func wantCode(t testing.TB, code int16, want *kerr.Error) {
	t.Helper()
	expected := int16(0)
	if want != nil {
		expected = want.Code
	}
	if code != expected {
		t.Errorf("error %d (%v), want %d (%v)", code, kerr.ErrorForCode(code), expected, kerr.ErrorForCode(expected))
	}
}

func TestProduceInEveryVersion(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	topic := topicWith(t, b, "t", 1, nil)
	c := dial(t, b)
	for version := int16(3); version <= 13; version++ {
		r := produceRequest("t", acksAll, buildBatch(t, nil, "a", "b"))
		r.SetVersion(version)
		r.TimeoutMillis = 10_000
		r.Topics[0].TopicID = topic.ID
		answer := produced(t, c.ask(r))
		wantCode(t, answer.ErrorCode, nil)
		if want := 2 * int64(version-3); answer.BaseOffset != want || answer.LogAppendTime != -1 {
			t.Errorf("version %d: %+v, want base offset %d", version, answer, want)
		}
	}
}

func TestProduceRefusals(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	topicWith(t, b, "t", 1, nil)
	topicWith(t, b, "small", 1, map[string]string{"max.message.bytes": "100"})
	topicWith(t, b, "compacted", 1, map[string]string{"cleanup.policy": "compact"})
	if _, err := b.controller.ensureTopic(t.Context(), metadata.OffsetsTopic, 1, nil, true); err != nil {
		t.Fatal(err)
	}
	sound := buildBatch(t, nil, "a", "b")
	change := func(change func(record.Batch)) []byte {
		b := slices.Clone(sound)
		change(b)
		b.SetMaxTimestampMs(b.MaxTimestampMs()) // and the CRC
		return b
	}
	keyless := record.NewBuilder(record.Options{})
	keyless.Add(time.Now().UnixMilli(), nil, []byte("v"))
	noKey, err := keyless.Build()
	if err != nil {
		t.Fatal(err)
	}
	crc := slices.Clone(sound)
	crc[len(crc)-1] ^= 1
	oldFormat := slices.Clone(sound)
	oldFormat[16] = 1
	tests := []struct {
		name    string
		topic   string
		index   int32
		acks    int16
		version int16
		records []byte
		want    *kerr.Error
	}{
		{name: "sound", records: sound},
		{name: "acks=1", acks: acksLeader, records: sound},
		{name: "acks=2", acks: 2, records: sound, want: kerr.InvalidRequiredAcks},
		{name: "acks=-2", acks: -2, records: sound, want: kerr.InvalidRequiredAcks},
		{name: "unknown topic", topic: "x", records: sound, want: kerr.UnknownTopicOrPartition},
		{name: "unknown partition", index: 1, records: sound, want: kerr.UnknownTopicOrPartition},
		{name: "negative partition", index: -1, records: sound, want: kerr.UnknownTopicOrPartition},
		{name: "unknown topic id", version: 13, records: sound, want: kerr.UnknownTopicID},
		{name: "null", records: nil, want: kerr.InvalidRecord},
		{name: "empty", records: []byte{}, want: kerr.InvalidRecord},
		{name: "cut short", records: sound[:len(sound)-1], want: kerr.InvalidRecord},
		{name: "two batches", records: slices.Concat(sound, sound), want: kerr.InvalidRecord},
		{name: "format 1", records: oldFormat, want: kerr.InvalidRecord},
		{name: "wrong crc", records: crc, want: kerr.CorruptMessage},
		{name: "absurd length", records: binary.BigEndian.AppendUint32(make([]byte, 8), 1<<31), want: kerr.InvalidRecord},
		{name: "negative length", records: slices.Concat(make([]byte, 8), []byte{0xff, 0xff, 0xff, 0xff}, sound[12:]), want: kerr.CorruptMessage},
		{name: "count", records: change(func(b record.Batch) { b[60]++ }), want: kerr.InvalidRecord},
		{name: "no records", records: change(func(b record.Batch) { clear(b[57:61]) }), want: kerr.InvalidRecord},
		{name: "last offset delta", records: change(func(b record.Batch) { b[26]++ }), want: kerr.InvalidRecord},
		{name: "record length", records: change(func(b record.Batch) { b[61] += 2 }), want: kerr.InvalidRecord},
		{name: "base offset", records: change(func(b record.Batch) { b.SetBaseOffset(1) }), want: kerr.InvalidRecord},
		{name: "control batch", records: change(func(b record.Batch) { b[22] |= 0x20 }), want: kerr.InvalidRecord},
		{name: "codec 7", records: change(func(b record.Batch) { b[22] |= 7 }), want: kerr.UnsupportedCompressionType},
		{name: "no sequence", records: buildBatch(t, producer(1, 0, -1), "v"), want: kerr.InvalidRecord},
		{name: "LogAppendTime", records: change(func(b record.Batch) { b[22] |= 8 }), want: kerr.InvalidTimestamp},
		{name: "two hours ahead", records: change(func(b record.Batch) {
			binary.BigEndian.PutUint64(b[27:], uint64(time.Now().Add(2*time.Hour).UnixMilli()))
		}), want: kerr.InvalidTimestamp},
		{name: "transactional", records: buildBatch(t, func(o *record.Options) { producer(1, 0, 0)(o); o.Transactional = true }, "v"), want: kerr.TransactionalIDAuthorizationFailed},
		{name: "sequence gap", records: buildBatch(t, producer(77, 0, 2), "v"), want: kerr.OutOfOrderSequenceNumber},
		{name: "old epoch", records: buildBatch(t, producer(78, 0, 0), "v"), want: kerr.InvalidProducerEpoch},
		{name: "new epoch not from 0", records: buildBatch(t, producer(78, 2, 5), "v"), want: kerr.OutOfOrderSequenceNumber},
		{name: "too large", topic: "small", records: buildBatch(t, nil, strings.Repeat("x", 100)), want: kerr.MessageTooLarge},
		{name: "zstd in version 6", version: 6, records: buildBatch(t, codec(record.Zstd), "v"), want: kerr.UnsupportedCompressionType},
		{name: "zstd in version 7", version: 7, records: buildBatch(t, codec(record.Zstd), "v")},
		{name: "no key", topic: "compacted", records: noKey, want: kerr.InvalidRecord},
		{name: "internal topic", topic: metadata.OffsetsTopic, records: sound, want: kerr.InvalidTopicException},
	}
	c := dial(t, b)
	ask := func(topic string, index int32, acks, version int16, records []byte) kmsg.ProduceResponseTopicPartition {
		r := produceRequest(topic, acks, slices.Clone(records))
		if records == nil {
			r.Topics[0].Partitions[0].Records = nil
		}
		r.Topics[0].Partitions[0].Partition = index
		r.Topics[0].TopicID = [16]byte{9, 9}
		r.SetVersion(version)
		r.TimeoutMillis = 10_000
		return produced(t, c.ask(r))
	}
	ask("t", 0, acksAll, 9, buildBatch(t, producer(77, 0, 0), "v"))
	ask("t", 0, acksAll, 9, buildBatch(t, producer(78, 1, 0), "v"))
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			topic, acks, version := test.topic, test.acks, test.version
			if topic == "" {
				topic = "t"
			}
			if acks == 0 {
				acks = acksAll
			}
			if version == 0 {
				version = 9
			}
			var before int64
			if p := b.partitions.lookup(topic, 0); p != nil {
				before = p.Offsets().LogEnd
			}
			answer := ask(topic, test.index, acks, version, test.records)
			wantCode(t, answer.ErrorCode, test.want)
			if test.want == nil {
				return
			}
			if answer.BaseOffset != -1 || version >= 8 && answer.ErrorMessage == nil {
				t.Errorf("answer %+v", answer)
			}
			if p := b.partitions.lookup(topic, 0); p != nil && p.Offsets().LogEnd != before {
				t.Error("something was appended")
			}
		})
	}
	c.expectServed()
}

func TestProduceNamesTheRecordsThatItRefuses(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	topicWith(t, b, "compacted", 1, map[string]string{"cleanup.policy": "compact"})
	builder := record.NewBuilder(record.Options{})
	for _, key := range [][]byte{nil, []byte("k"), nil} {
		builder.Add(time.Now().UnixMilli(), key, []byte("v"))
	}
	batch, err := builder.Build()
	if err != nil {
		t.Fatal(err)
	}
	answer := produced(t, dial(t, b).ask(produceRequest("compacted", acksAll, batch)))
	wantCode(t, answer.ErrorCode, kerr.InvalidRecord)
	if len(answer.ErrorRecords) != 2 || answer.ErrorRecords[0].RelativeOffset != 0 || answer.ErrorRecords[1].RelativeOffset != 2 {
		t.Errorf("records %+v", answer.ErrorRecords)
	}
}

func TestProduceWithoutAcksIsCommittedUnanswered(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	createTopic(t, b, "t", 1)
	c := dial(t, b)
	for range 3 {
		c.send(produceRequest("t", acksNone, batchOf(t, "a")))
	}
	c.expectServed()
	fetch := fetchRequest("t", 0, 10_000)
	fetch.MinBytes = int32(3 * len(batchOf(t, "a")))
	if values, code := fetched(t, c.ask(fetch)); len(values) != 3 || code != 0 {
		t.Errorf("fetched %q, error %d", values, code)
	}
	c.send(produceRequest("unknown", acksNone, batchOf(t, "a")))
	c.expectClosed()
	dial(t, b).expectServed()
}

func TestRetriedProduceIsAnsweredWithItsFirstOffset(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	createTopic(t, b, "t", 1)
	c := dial(t, b)
	for i := range 5 {
		wantCode(t, produced(t, c.ask(produceRequest("t", acksAll, buildBatch(t, producer(5, 0, int32(i)), "v")))).ErrorCode, nil)
	}
	for i := range 5 {
		answer := produced(t, c.ask(produceRequest("t", acksAll, buildBatch(t, producer(5, 0, int32(i)), "v"))))
		wantCode(t, answer.ErrorCode, nil)
		if answer.BaseOffset != int64(i) {
			t.Errorf("retry of %d: %+v", i, answer)
		}
	}
	if end := b.partitions.lookup("t", 0).Offsets().LogEnd; end != 5 {
		t.Errorf("log end %d", end)
	}
}

func TestLogAppendTimeIsAnsweredAndStored(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	topicWith(t, b, "t", 1, map[string]string{"message.timestamp.type": "LogAppendTime"})
	c := dial(t, b)
	answer := produced(t, c.ask(produceRequest("t", acksAll, batchOf(t, "a"))))
	response := c.ask(fetchRequest("t", 0, 0)).(*kmsg.FetchResponse)
	stored, _, err := record.Next(response.Topics[0].Partitions[0].RecordBatches)
	if err != nil {
		t.Fatal(err)
	}
	if answer.LogAppendTime <= 1000 || stored.MaxTimestampMs() != answer.LogAppendTime || stored.TimestampType() != record.LogAppendTime || stored.CheckCRC() != nil {
		t.Errorf("answered %d, stored %d", answer.LogAppendTime, stored.MaxTimestampMs())
	}
}

// slowDisk is a file system on which syncs of a topic's segments wait while it is held.
type slowDisk struct {
	disk.FS
	topic string

	mu struct {
		sync.Mutex
		held chan struct{} // nil: not held
	}
}

func (d *slowDisk) hold() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mu.held = make(chan struct{})
}

func (d *slowDisk) letGo() {
	d.mu.Lock()
	defer d.mu.Unlock()
	close(d.mu.held)
	d.mu.held = nil
}

func (d *slowDisk) Create(name string) (disk.File, error)    { return d.file(d.FS.Create(name)) }
func (d *slowDisk) OpenWrite(name string) (disk.File, error) { return d.file(d.FS.OpenWrite(name)) }

func (d *slowDisk) file(f disk.File, err error) (disk.File, error) {
	if err != nil || !strings.HasPrefix(filepath.Base(filepath.Dir(f.Name())), d.topic+"-") || filepath.Ext(f.Name()) != ".log" {
		return f, err
	}
	return slowFile{File: f, disk: d}, nil
}

type slowFile struct {
	disk.File
	disk *slowDisk
}

func (f slowFile) SyncData() error {
	f.disk.mu.Lock()
	held := f.disk.mu.held
	f.disk.mu.Unlock()
	if held != nil {
		<-held
	}
	return f.File.SyncData()
}

// brokerOn starts a broker on a file system and an in-memory network, and returns a dialer.
func brokerOn(t *testing.T, files disk.FS, config map[string]string) (*Broker, func() *client) {
	t.Helper()
	network := memnet.New()
	listener, err := network.Listen("10.0.0.1:9092")
	if err != nil {
		t.Fatal(err)
	}
	b := startBroker(t, Options{DataDir: "/data", Listener: listener, Config: config, fileSystem: files, Logger: testLogger()}, nil)
	return b, func() *client {
		conn, err := network.Dial(t.Context(), "tcp", "10.0.0.1:9092")
		if err != nil {
			t.Fatal(err)
		}
		return newClient(t, conn)
	}
}

func TestProducesOfOneConnectionShareSyncs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		files := &slowDisk{FS: disk.NewMem(), topic: "t"}
		b, dial := brokerOn(t, files, nil)
		createTopic(t, b, "t", 1)
		c, other := dial(), dial()
		wantCode(t, produced(t, c.ask(produceRequest("t", acksAll, batchOf(t, "first")))).ErrorCode, nil)
		p := b.partitions.lookup("t", 0)
		before := p.Stats().Syncs
		files.hold()
		for i := range 50 {
			r := produceRequest("t", acksAll, batchOf(t, fmt.Sprint(i)))
			r.TimeoutMillis = 10_000
			c.send(r)
			synctest.Wait()
		}
		if o := p.Offsets(); o.LogEnd != 51 || o.HighWatermark != 1 {
			t.Errorf("%+v: all should be appended and none committed", o)
		}
		other.expectServed()
		if values, _ := fetched(t, other.ask(fetchRequest("t", 0, 0))); len(values) != 1 {
			t.Errorf("fetched %q before the sync", values)
		}
		files.letGo()
		for i := range 50 {
			if answer := produced(t, c.receive()); answer.ErrorCode != 0 || answer.BaseOffset != int64(i+1) {
				t.Fatalf("answer %d: %+v", i, answer)
			}
		}
		if syncs := p.Stats().Syncs - before; syncs != 2 {
			t.Errorf("%d syncs for 50 produces", syncs)
		}
	})
}

func TestProduceTimesOutAndIsCommittedAllTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		files := &slowDisk{FS: disk.NewMem(), topic: "t"}
		b, dial := brokerOn(t, files, nil)
		createTopic(t, b, "t", 1)
		c := dial()
		c.ask(produceRequest("t", acksLeader, buildBatch(t, nil, "first")))
		files.hold()
		r := produceRequest("t", acksAll, buildBatch(t, producer(5, 0, 0), "late"))
		r.TimeoutMillis = 1500
		begin := time.Now()
		wantCode(t, produced(t, c.ask(r)).ErrorCode, kerr.RequestTimedOut)
		if took := time.Since(begin); took != 1500*time.Millisecond {
			t.Errorf("answered after %v", took)
		}
		files.letGo()
		r = produceRequest("t", acksAll, buildBatch(t, producer(5, 0, 0), "late"))
		r.TimeoutMillis = 1500
		if answer := produced(t, c.ask(r)); answer.ErrorCode != 0 || answer.BaseOffset != 1 {
			t.Errorf("retry %+v", answer)
		}
	})
}

func TestProduceWithoutATimeoutWaitsForTheSync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		files := &slowDisk{FS: disk.NewMem(), topic: "t"}
		b, dial := brokerOn(t, files, nil)
		createTopic(t, b, "t", 1)
		c := dial()
		c.ask(produceRequest("t", acksLeader, buildBatch(t, nil, "first")))
		for i, timeoutMs := range []int32{0, -1, 1} {
			files.hold()
			r := produceRequest("t", acksAll, buildBatch(t, nil, "slow"))
			r.TimeoutMillis = timeoutMs
			c.send(r)
			time.Sleep(commitWaitMin / 2)
			files.letGo()
			if answer := produced(t, c.receive()); answer.ErrorCode != 0 || answer.BaseOffset != int64(i+1) {
				t.Errorf("timeout %d: %+v", timeoutMs, answer)
			}
		}
		files.hold()
		r := produceRequest("t", acksAll, buildBatch(t, nil, "stuck"))
		r.TimeoutMillis = 0
		begin := time.Now()
		wantCode(t, produced(t, c.ask(r)).ErrorCode, kerr.RequestTimedOut)
		if took := time.Since(begin); took != commitWaitMin {
			t.Errorf("answered after %v", took)
		}
		files.letGo()
	})
}

func TestFailedSyncIsAStorageErrorAndOthersAreServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		faults := disk.NewFaults(disk.NewMem())
		b, dial := brokerOn(t, faults, nil)
		createTopic(t, b, "t", 1)
		createTopic(t, b, "other", 1)
		c := dial()
		for _, topic := range []string{"t", "other"} {
			wantCode(t, produced(t, c.ask(produceRequest(topic, acksLeader, batchOf(t, "kept")))).ErrorCode, nil)
		}
		faults.SetRules(disk.Rule{Kinds: []disk.Kind{disk.OpSyncData}, Pattern: "*.log", Nth: 1, Err: syscall.EIO})
		wantCode(t, produced(t, c.ask(produceRequest("t", acksLeader, batchOf(t, "lost")))).ErrorCode, kerr.KafkaStorageError)
		wantCode(t, produced(t, c.ask(produceRequest("t", acksLeader, batchOf(t, "refused")))).ErrorCode, kerr.KafkaStorageError)
		wantCode(t, produced(t, c.ask(produceRequest("other", acksLeader, batchOf(t, "fine")))).ErrorCode, nil)
		if values, code := fetched(t, c.ask(fetchRequest("t", 0, 0))); !slices.Equal(values, []string{"kept"}) || code != 0 {
			t.Errorf("fetched %q, error %d", values, code)
		}
	})
}

func TestFullDiskIsAStorageErrorUntilThereIsRoom(t *testing.T) {
	faults := disk.NewFaults(disk.NewMem())
	b, dial := brokerOn(t, faults, nil)
	createTopic(t, b, "t", 1)
	c := dial()
	wantCode(t, produced(t, c.ask(produceRequest("t", acksLeader, batchOf(t, "kept")))).ErrorCode, nil)
	faults.SetRules(disk.Rule{Kinds: []disk.Kind{disk.OpWriteAt}, Err: syscall.ENOSPC})
	wantCode(t, produced(t, c.ask(produceRequest("t", acksLeader, batchOf(t, "no room")))).ErrorCode, kerr.KafkaStorageError)
	if values, code := fetched(t, c.ask(fetchRequest("t", 0, 0))); !slices.Equal(values, []string{"kept"}) || code != 0 {
		t.Errorf("fetched %q, error %d", values, code)
	}
	faults.SetRules()
	wantCode(t, produced(t, c.ask(produceRequest("t", acksLeader, batchOf(t, "room again")))).ErrorCode, nil)
}

func TestDamagedPartitionIsOfflineAndTheRestServes(t *testing.T) {
	mem := disk.NewMem()
	stopped := func() {
		b, dial := brokerOn(t, mem, nil)
		createTopic(t, b, "bad", 1)
		createTopic(t, b, "good", 1)
		for _, topic := range []string{"bad", "good"} {
			wantCode(t, produced(t, dial().ask(produceRequest(topic, acksAll, batchOf(t, "v")))).ErrorCode, nil)
		}
		if err := b.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	stopped()
	if err := disk.WriteAtomic(mem, "/data/bad-0/partition.metadata", []byte("version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAQ\n")); err != nil {
		t.Fatal(err)
	}
	b, dial := brokerOn(t, mem, nil)
	c := dial()
	wantCode(t, produced(t, c.ask(produceRequest("bad", acksAll, batchOf(t, "v")))).ErrorCode, kerr.KafkaStorageError)
	_, code := fetched(t, c.ask(fetchRequest("bad", 0, 1000)))
	wantCode(t, code, kerr.KafkaStorageError)
	wantCode(t, listed(t, c, 7, "bad", 0, -1).ErrorCode, kerr.KafkaStorageError)
	wantCode(t, produced(t, c.ask(produceRequest("good", acksAll, batchOf(t, "v")))).ErrorCode, nil)
	if !b.partitions.lookup("bad", 0).Stats().Offline {
		t.Error("not offline")
	}
}

func TestFranzProducesAndConsumesEveryCodec(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	for i, compression := range []kgo.CompressionCodec{
		kgo.NoCompression(), kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression(),
	} {
		topic := uniqueName(i)
		createTopic(t, b, topic, 3)
		client, err := kgo.NewClient(kgo.SeedBrokers(b.Addr().String()), kgo.ProducerBatchCompression(compression),
			kgo.DefaultProduceTopic(topic), kgo.ConsumeTopics(topic), kgo.FetchMaxWait(time.Second))
		if err != nil {
			t.Fatal(err)
		}
		const count = 500
		want := map[string]bool{}
		for n := range count {
			value := fmt.Sprintf("value %d %s", n, strings.Repeat("x", n))
			want[value] = true
			client.Produce(t.Context(), kgo.StringRecord(value), func(_ *kgo.Record, err error) {
				if err != nil {
					t.Error(err)
				}
			})
		}
		if err := client.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		for len(want) > 0 {
			fetches := client.PollFetches(t.Context())
			if err := fetches.Err(); err != nil {
				t.Fatal(err)
			}
			fetches.EachRecord(func(r *kgo.Record) {
				if !want[string(r.Value)] {
					t.Errorf("%q twice or never sent", r.Value)
				}
				delete(want, string(r.Value))
			})
		}
		client.Close()
	}
}
