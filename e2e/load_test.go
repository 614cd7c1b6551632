package e2e

import (
	"context"
	"errors"
	"fmt"
	"hash/crc64"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/e2e/history"
)

// load is many clients at work on one broker, and the history of what they saw.
type load struct {
	t       *testing.T
	s       *server
	history history.Recorder
	acked   atomic.Int64

	produceUntil context.Context // the end of producing and of the coming and going of topics
	endProduce   context.CancelFunc
	consumeUntil context.Context
	endConsume   context.CancelFunc
	producing    sync.WaitGroup
	consuming    sync.WaitGroup
}

// The topics that all clients work on; loadTopics has their numbers of partitions.
var loadTopics = map[string]int32{"wide": 16, "narrow": 1, "some": 4}

var loadGroups = []string{"readers", "others"}

var loadCodecs = []kgo.CompressionCodec{
	kgo.NoCompression(), kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression(),
}

// loadSettings make segments roll, and groups start at once.
var loadSettings = []string{"-X", "log.segment.bytes=131072", "-X", "group.initial.rebalance.delay.ms=0", "-X", "group.min.session.timeout.ms=1000"}

// patientClient has what makes a client of a broker that is often away go on soon.
func patientClient(s *server, options ...kgo.Opt) *kgo.Client {
	return s.client(append([]kgo.Opt{
		kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond }),
		kgo.MetadataMinAge(20 * time.Millisecond), kgo.RequestRetries(1 << 20), kgo.RetryTimeout(patience),
	}, options...)...)
}

// startLoad makes the topics and sets the clients to work. They end at the end of the test at the latest.
func startLoad(t *testing.T, s *server) *load {
	t.Helper()
	l := &load{t: t, s: s}
	l.produceUntil, l.endProduce = context.WithCancel(context.Background())
	l.consumeUntil, l.endConsume = context.WithCancel(context.Background())
	t.Cleanup(func() {
		l.endProduce()
		l.endConsume()
		l.producing.Wait()
		l.consuming.Wait()
	})
	for topic, partitions := range loadTopics {
		l.history.Add(history.TopicAsked{Topic: topic})
		s.createTopic(topic, partitions)
		l.history.Add(history.TopicCreated{Topic: topic})
	}
	for i, codec := range loadCodecs {
		l.producing.Go(func() { l.produce(fmt.Sprint("producer-", i), codec) })
	}
	l.producing.Go(l.comeAndGo)
	l.consuming.Go(l.read)
	for _, group := range loadGroups {
		for member := range 2 {
			l.consuming.Go(func() { l.member(group, fmt.Sprint(group, "-", member)) })
		}
	}
	l.consuming.Go(l.watch)
	return l
}

// produce sends records to random partitions until the end, and waits for their acknowledgements.
func (l *load) produce(name string, codec kgo.CompressionCodec) {
	c := patientClient(l.s, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(codec),
		kgo.MaxBufferedRecords(100), kgo.UnknownTopicRetries(-1), kgo.StopProducerOnDataLossDetected(), kgo.ProducerLinger(time.Millisecond))
	topics := slices.Sorted(func(yield func(string) bool) {
		for topic := range loadTopics {
			if !yield(topic) {
				return
			}
		}
	})
	for number := int64(0); l.produceUntil.Err() == nil; number++ {
		topic := topics[rand.IntN(len(topics))]
		l.send(c, newRecord(topic, rand.Int32N(loadTopics[topic]), name, number))
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := c.Flush(ctx); err != nil {
		l.t.Errorf("%s: %d records are not acknowledged: %v", name, c.BufferedProduceRecords(), err)
	}
}

// send produces a record; c blocks it while too many wait.
func (l *load) send(c *kgo.Client, r *kgo.Record) {
	at, identity := placeOf(r), identityOf(r)
	l.history.Add(history.Sent{Place: at, Record: identity})
	c.Produce(context.Background(), r, func(r *kgo.Record, err error) {
		if err != nil {
			if !errors.Is(err, kgo.ErrClientClosed) {
				l.t.Errorf("produce %v to %v: %v", identity, at, err)
			}
			return
		}
		l.history.Add(history.Acked{Place: at, Record: identity, Offset: r.Offset})
		l.acked.Add(1)
	})
}

// newRecord makes a record of up to about 2 KiB that compresses by half, and says in its key whose it is.
func newRecord(topic string, partition int32, producer string, number int64) *kgo.Record {
	value := make([]byte, rand.IntN(1<<rand.IntN(12)))
	for i := range value {
		value[i] = byte('a' + rand.IntN(16))
	}
	return &kgo.Record{
		Topic: topic, Partition: partition, Key: fmt.Appendf(nil, "%s/%d", producer, number), Value: value,
		Headers:   []kgo.RecordHeader{{Key: "number", Value: strconv.AppendInt(nil, number, 10)}},
		Timestamp: time.UnixMilli(time.Now().UnixMilli()),
	}
}

func placeOf(r *kgo.Record) history.Place {
	return history.Place{Topic: r.Topic, Partition: r.Partition}
}

var crcTable = crc64.MakeTable(crc64.ECMA)

// identityOf reads from a record whose it is; its sum is that of all that the producer gave.
func identityOf(r *kgo.Record) history.Record {
	producer, number, _ := strings.Cut(string(r.Key), "/")
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		n = -1
	}
	sum := crc64.Checksum(fmt.Appendf(nil, "%q %q %q %d", r.Key, r.Value, r.Headers, r.Timestamp.UnixMilli()), crcTable)
	return history.Record{Producer: producer, Number: n, Sum: sum}
}

// read follows every partition from its start.
func (l *load) read() {
	from := map[string]map[int32]kgo.Offset{}
	for topic, partitions := range loadTopics {
		from[topic] = map[int32]kgo.Offset{}
		for p := range partitions {
			from[topic][p] = kgo.NewOffset().At(0)
			l.history.Add(history.Assigned{Place: history.Place{Topic: topic, Partition: p}, Reader: "reader"})
		}
	}
	c := patientClient(l.s, kgo.ConsumePartitions(from), kgo.FetchMaxWait(200*time.Millisecond), kgo.ConsumeResetOffset(kgo.NoResetOffset()))
	for l.consumeUntil.Err() == nil {
		l.took("reader", "", c.PollFetches(l.consumeUntil))
	}
}

// took notes what a reader was given. That a member lost touch with its group is no wrong.
func (l *load) took(reader, group string, fetches kgo.Fetches) {
	fetches.EachError(func(topic string, partition int32, err error) {
		if session := (*kgo.ErrGroupSession)(nil); l.consumeUntil.Err() == nil && !errors.As(err, &session) {
			l.t.Errorf("%s reads %s-%d: %v", reader, topic, partition, err)
		}
	})
	fetches.EachRecord(func(r *kgo.Record) {
		l.history.Add(history.Read{Place: placeOf(r), Reader: reader, Group: group, Offset: r.Offset, Record: identityOf(r)})
	})
}

// pollsOfAMember is how long a member stays before it leaves its group and joins again.
const pollsOfAMember = 200

// member consumes in a group, and commits what it was given.
func (l *load) member(group, name string) {
	for life := 0; l.consumeUntil.Err() == nil; life++ {
		l.memberLife(group, fmt.Sprint(name, ".", life))
	}
}

func (l *load) memberLife(group, name string) {
	c := patientClient(l.s, kgo.ConsumerGroup(group), kgo.ConsumeTopics("wide", "narrow", "some"), kgo.DisableAutoCommit(),
		kgo.SessionTimeout(2*time.Second), kgo.RebalanceTimeout(5*time.Second), kgo.HeartbeatInterval(200*time.Millisecond),
		kgo.BlockRebalanceOnPoll(), kgo.FetchMaxWait(200*time.Millisecond), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, assigned map[string][]int32) {
			for topic, partitions := range assigned {
				for _, p := range partitions {
					l.history.Add(history.Assigned{Place: history.Place{Topic: topic, Partition: p}, Reader: name, Group: group})
				}
			}
		}))
	defer c.CloseAllowingRebalance()
	for range pollsOfAMember {
		fetches := c.PollFetches(l.consumeUntil)
		if l.consumeUntil.Err() != nil {
			return
		}
		l.took(name, group, fetches)
		l.commit(c, group, fetches)
		c.AllowRebalance()
	}
}

// commit commits behind what was fetched. A refusal is no wrong: the member may have lost its place in the group.
func (l *load) commit(c *kgo.Client, group string, fetches kgo.Fetches) {
	offsets := map[string]map[int32]kgo.EpochOffset{}
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		if len(p.Records) == 0 {
			return
		}
		last := p.Records[len(p.Records)-1]
		if offsets[p.Topic] == nil {
			offsets[p.Topic] = map[int32]kgo.EpochOffset{}
		}
		offsets[p.Topic][p.Partition] = kgo.EpochOffset{Epoch: last.LeaderEpoch, Offset: last.Offset + 1}
		l.history.Add(history.CommitAsked{Place: placeOf(last), Group: group, Offset: last.Offset + 1})
	})
	if len(offsets) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(l.consumeUntil, patience)
	defer cancel()
	response, err := commitSync(ctx, c, offsets)
	if err != nil {
		return
	}
	for topic, partitions := range response {
		for p, code := range partitions {
			if code == 0 {
				l.history.Add(history.CommitAcked{Place: history.Place{Topic: topic, Partition: p}, Group: group, Offset: offsets[topic][p].Offset})
			}
		}
	}
}

// watch looks some hundred times a second.
func (l *load) watch() {
	admin := kadm.NewClient(patientClient(l.s))
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for ; l.consumeUntil.Err() == nil; <-tick.C {
		l.look(l.consumeUntil, admin)
	}
}

// look asks for the ends of all partitions and for all committed offsets. What fails tells nothing.
func (l *load) look(ctx context.Context, admin *kadm.Client) {
	topics := []string{"wide", "narrow", "some"}
	for _, group := range loadGroups {
		since := l.history.Now()
		offsets, err := admin.FetchOffsetsForTopics(ctx, group, topics...)
		if err != nil {
			continue
		}
		offsets.Each(func(o kadm.OffsetResponse) {
			if o.Err == nil {
				l.history.Add(history.CommitSeen{Place: history.Place{Topic: o.Topic, Partition: o.Partition}, Group: group, Since: since, Offset: o.At})
			}
		})
	}
	since := l.history.Now()
	if ends, err := admin.ListEndOffsets(ctx, topics...); err == nil {
		ends.Each(func(o kadm.ListedOffset) {
			if o.Err == nil {
				l.history.Add(history.End{Place: history.Place{Topic: o.Topic, Partition: o.Partition}, Since: since, Offset: o.Offset})
			}
		})
	}
}

// topicsKept bounds how many topics are left behind by comeAndGo.
const topicsKept = 20

// comeAndGo creates topics, writes to them and deletes most of them, the first one always.
func (l *load) comeAndGo() {
	for i := 0; i == 0 || l.produceUntil.Err() == nil; i++ {
		topic := fmt.Sprint("passing-", i)
		c := patientClient(l.s, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.UnknownTopicRetries(-1))
		admin := kadm.NewClient(c)
		l.history.Add(history.TopicAsked{Topic: topic})
		l.insist("create "+topic, kerr.TopicAlreadyExists, func(ctx context.Context) error {
			_, err := admin.CreateTopic(ctx, 2, 1, nil, topic)
			return err
		})
		l.history.Add(history.TopicCreated{Topic: topic})
		for number := range int64(6) {
			l.send(c, newRecord(topic, int32(number%2), "passing", number))
		}
		if err := c.Flush(context.Background()); err != nil {
			l.t.Errorf("flush %s: %v", topic, err)
		}
		if keep := i%4 == 3 && i/4 < topicsKept; !keep {
			l.history.Add(history.DeleteAsked{Topic: topic})
			l.insist("delete "+topic, kerr.UnknownTopicOrPartition, func(ctx context.Context) error {
				_, err := admin.DeleteTopic(ctx, topic)
				return err
			})
			l.history.Add(history.Deleted{Topic: topic})
		}
		c.Close()
	}
}

// insist repeats a change until it is done; a repetition may find it done already.
func (l *load) insist(what string, done error, change func(context.Context) error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		err := change(ctx)
		switch {
		case err == nil || errors.Is(err, done):
			return
		case ctx.Err() != nil:
			l.t.Errorf("%s: %v", what, err)
			return
		}
	}
}

// finish ends the producing, waits until the groups have all of it, and ends the consuming.
func (l *load) finish() {
	l.t.Helper()
	l.endProduce()
	l.producing.Wait()
	admin := kadm.NewClient(patientClient(l.s))
	for _, group := range loadGroups {
		for left := int64(math.MaxInt64); left > 0; { // for as long as it comes nearer
			eventually(l.t, "group "+group+" goes on to commit everything", func() bool {
				lag, known := lagOf(admin, group)
				if !known || lag >= left {
					return false
				}
				left = lag
				return true
			})
		}
	}
	l.endConsume()
	l.consuming.Wait()
}

// lagOf is how many records a group has not committed yet.
func lagOf(admin *kadm.Client, group string) (records int64, known bool) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	lags, err := admin.Lag(ctx, group)
	if err != nil {
		return 0, false
	}
	lag := lags[group]
	return lag.Lag.Total(), lag.Error() == nil && len(lag.Lag) == len(loadTopics)
}

// judge reads what is stored and checks the whole history against it.
func (l *load) judge() {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	admin := kadm.NewClient(l.s.client())
	l.look(ctx, admin)
	topics, err := admin.ListTopics(ctx)
	if err != nil {
		l.t.Fatal(err)
	}
	l.history.Add(history.Topics{Names: topics.Names()})
	for _, topic := range topics.Sorted() {
		stored := make([]history.Stored, len(topic.Partitions))
		for p := range stored {
			stored[p].Place = history.Place{Topic: topic.Topic, Partition: int32(p)}
		}
		for _, r := range l.s.readAll(topic.Topic) {
			s := &stored[r.Partition]
			s.Records = append(s.Records, history.StoredRecord{Offset: r.Offset, Record: identityOf(r)})
		}
		for _, s := range stored {
			l.history.Add(s)
		}
	}
	violations, summary := history.Check(l.history.Events())
	l.t.Logf("%v", summary)
	for i, v := range violations {
		if i == 20 {
			l.t.Fatalf("and %d more", len(violations)-i)
		}
		l.t.Errorf("%v", v)
	}
	if summary.Acked == 0 || summary.Read == 0 || summary.Commits == 0 || summary.CommitsSeen == 0 || summary.Ends == 0 || summary.TopicsDeleted == 0 {
		l.t.Error("the history is too empty to prove anything")
	}
}

// commitSync commits and returns the code of each partition.
func commitSync(ctx context.Context, c *kgo.Client, offsets map[string]map[int32]kgo.EpochOffset) (map[string]map[int32]int16, error) {
	codes := map[string]map[int32]int16{}
	var failed error
	c.CommitOffsetsSync(ctx, offsets, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, response *kmsg.OffsetCommitResponse, err error) {
		if err != nil {
			failed = err
			return
		}
		for _, topic := range response.Topics {
			codes[topic.Topic] = map[int32]int16{}
			for _, p := range topic.Partitions {
				codes[topic.Topic][p.Partition] = p.ErrorCode
			}
		}
	})
	return codes, failed
}
