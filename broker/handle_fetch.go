package broker

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/broker/internal/fetchsession"
	"github.com/millrace/millrace/broker/internal/partition"
	"github.com/millrace/millrace/broker/internal/quota"
	"github.com/millrace/millrace/log"
	"github.com/millrace/millrace/log/record"
)

// Fetch 4-18 (KIP-74 response limit, KIP-98 isolation, KIP-227 sessions, KIP-320 leader epochs, KIP-516 topic ids,
// KIP-595 diverging epochs). KIP-951's leader hints are not sent: there is one leader to find.
//
// A fetch reads ranges of segment files and never their bytes: those go from the file to the socket. One that finds
// less than min.bytes waits at its partitions, and at no other.

const (
	firstFetchVersionZstd     = 10
	firstFetchVersionTopicIDs = 13

	readCommitted int8 = 1

	// fetchSessionEvictMinMs is how long a session is safe from larger ones
	// (Kafka's min.incremental.fetch.session.eviction.ms).
	fetchSessionEvictMinMs = 120_000
	// fetchSessionPartitionsMax bounds the partitions of all sessions, each of which takes some 250 bytes.
	fetchSessionPartitionsMax = 1 << 20

	// fetchPartitionsMax bounds the partitions that one request names: to serve it takes twenty times its own memory.
	fetchPartitionsMax = 100_000

	// fetchWaitMax is the longest long poll, whatever the client asks for: while one waits, it is not noticed that
	// the client has left, and its connection counts.
	fetchWaitMax = time.Minute
)

// fetch answers with what there is to read, at once or after a wait of at most the request's MaxWaitMillis and
// fetchWaitMax.
func (b *Broker) fetch(c *call, req *kmsg.FetchRequest) (reply, error) {
	if count := countPartitions(req); count > fetchPartitionsMax {
		return reply{}, fmt.Errorf("fetch of %d partitions, at most %d are served at once", count, fetchPartitionsMax)
	}
	f, err := b.fetchSessions.Begin(sessionRequest(req), c.now.UnixMilli())
	if err != nil {
		b.metrics.requestError(fetchKey, errorCode(err))
		return reply{body: encodeFetch(&fetchAnswer{version: c.version, errorCode: errorCode(err)})}, nil
	}
	r := fetchRun{broker: b, version: c.version, fetch: &f, results: make([]fetchResult, len(f.Partitions))}
	r.bounds(req, b.fetchLimit(c))
	for i := range r.results {
		r.results[i].partition, r.results[i].unknown = b.fetchPartition(&f.Partitions[i], c.version)
	}
	if r.read(); !r.enough() && req.MaxWaitMillis > 0 {
		r.wait(c, min(time.Duration(req.MaxWaitMillis)*time.Millisecond, fetchWaitMax))
	}
	if r.bytes > 0 && !b.mayUse(c, quota.Fetch, float64(r.bytes)) {
		return reply{body: r.nothing()}, nil
	}
	return reply{body: r.answer(c.now.UnixMilli())}, nil
}

// fetchLimit is the most bytes that one fetch is answered with: more than the client's quota ever allows at once would
// only be refused.
func (b *Broker) fetchLimit(c *call) int32 {
	limit := b.config.FetchMaxBytes
	if bound, ok := b.quotaOf(c, quota.Fetch); ok {
		limit = int32(min(float64(limit), b.throttles.meters.Burst(bound.Limit)))
	}
	return limit
}

// fetchResult is what a fetch found for one of its partitions.
type fetchResult struct {
	partition *partition.Partition // nil: unknown says why
	unknown   error

	records   *log.Range               // nil: none
	aborted   []log.AbortedTransaction // among the records, for a read_committed consumer
	offsets   partition.Offsets
	err       error
	diverging *epochEnd
}

// epochEnd is where the log's epoch ends that a client's position has diverged from.
type epochEnd struct {
	epoch     int32
	endOffset int64
}

// fetchRun is one fetch at work. results belong to the partitions of fetch with the same index.
type fetchRun struct {
	broker    *Broker
	version   int16
	fetch     *fetchsession.Fetch
	results   []fetchResult
	isolation partition.Isolation
	minBytes  int
	maxBytes  int

	// What the last read found.
	bytes int
	final bool // nothing is gained by waiting: an error, or nothing to wait for
}

func (r *fetchRun) bounds(req *kmsg.FetchRequest, limit int32) {
	r.maxBytes = int(min(req.MaxBytes, limit))
	r.minBytes = min(int(req.MinBytes), r.maxBytes)
	if req.IsolationLevel == readCommitted {
		r.isolation = partition.ReadCommitted
	}
}

func countPartitions(req *kmsg.FetchRequest) int {
	count := 0
	for i := range req.Topics {
		count += len(req.Topics[i].Partitions)
	}
	return count
}

// sessionRequest is the part of req that sessions are about.
func sessionRequest(req *kmsg.FetchRequest) fetchsession.Request {
	s := fetchsession.Request{
		SessionID:  req.SessionID,
		Epoch:      req.SessionEpoch,
		UsesIDs:    req.Version >= firstFetchVersionTopicIDs,
		Partitions: make([]fetchsession.Partition, 0, countPartitions(req)),
	}
	for i := range req.Topics {
		t := &req.Topics[i]
		for j := range t.Partitions {
			p := &t.Partitions[j]
			s.Partitions = append(s.Partitions, fetchsession.Partition{
				Key:                fetchsession.Key{Topic: t.Topic, ID: t.TopicID, Index: p.Partition},
				FetchOffset:        p.FetchOffset,
				MaxBytes:           p.PartitionMaxBytes,
				CurrentLeaderEpoch: p.CurrentLeaderEpoch,
				LastFetchedEpoch:   p.LastFetchedEpoch,
			})
		}
	}
	for i := range req.ForgottenTopics {
		t := &req.ForgottenTopics[i]
		for _, index := range t.Partitions {
			s.Forgotten = append(s.Forgotten, fetchsession.Key{Topic: t.Topic, ID: t.TopicID, Index: index})
		}
	}
	return s
}

// fetchPartition finds a partition by name or id. A session that knows the name of an id which has gone tells a topic
// that was created anew from one that was deleted.
func (b *Broker) fetchPartition(want *fetchsession.Partition, version int16) (*partition.Partition, error) {
	if version < firstFetchVersionTopicIDs {
		if p := b.partitions.lookup(want.Topic, want.Index); p != nil {
			return p, nil
		}
		return nil, kerr.UnknownTopicOrPartition
	}
	p, name := b.partitions.lookupID(want.ID, want.Index)
	switch {
	case p != nil:
		want.Name = name
		return p, nil
	case name != "":
		return nil, kerr.UnknownTopicOrPartition
	case want.Name == "":
		return nil, kerr.UnknownTopicID
	case b.partitions.lookup(want.Name, want.Index) != nil:
		return nil, kerr.InconsistentTopicID
	}
	return nil, kerr.UnknownTopicOrPartition
}

// read reads every partition anew, within the bounds of the request.
func (r *fetchRun) read() {
	r.bytes, r.final = 0, len(r.results) == 0
	for i := range r.results {
		result := &r.results[i]
		if result.records != nil {
			result.records.Release()
			result.records = nil
		}
		result.offsets, result.diverging = partition.Offsets{}, nil
		if result.err = r.readPartition(result, &r.fetch.Partitions[i]); result.err != nil || result.diverging != nil {
			r.final = true
		}
		if result.records != nil {
			r.bytes += result.records.Size()
		}
	}
}

func (r *fetchRun) readPartition(result *fetchResult, want *fetchsession.Partition) (err error) {
	p := result.partition
	if p == nil {
		return result.unknown
	}
	if config := p.Config(); r.version < firstFetchVersionZstd && config.Recompress && config.Codec == record.Zstd {
		return fmt.Errorf("%w: zstd needs Fetch version %d", kerr.UnsupportedCompressionType, firstFetchVersionZstd)
	}
	if err := checkLeaderEpoch(want.CurrentLeaderEpoch, p.LeaderEpoch()); err != nil {
		return err
	}
	if want.LastFetchedEpoch >= 0 {
		if result.diverging, err = divergence(p, want); err != nil || result.diverging != nil {
			result.offsets = p.Offsets()
			return err
		}
	}
	// The first partition with anything to read gets at least one batch, however large, or a consumer with a small
	// max.bytes would never get past a large batch (KIP-74).
	limit := min(int(want.MaxBytes), r.maxBytes-r.bytes)
	result.records, result.offsets, err = p.Read(want.FetchOffset, limit, r.bytes == 0, r.isolation)
	return err
}

// divergence compares where a client stands with the log's epochs: nil if they agree (KIP-595).
func divergence(p *partition.Partition, want *fetchsession.Partition) (*epochEnd, error) {
	epoch, endOffset, err := p.EndOffsetForEpoch(want.LastFetchedEpoch)
	if err != nil {
		return nil, err
	}
	if epoch < 0 || endOffset < 0 {
		return nil, fmt.Errorf("%w: no end offset for epoch %d", log.ErrOutOfRange, want.LastFetchedEpoch)
	}
	if epoch < want.LastFetchedEpoch || endOffset < want.FetchOffset {
		return &epochEnd{epoch: epoch, endOffset: endOffset}, nil
	}
	return nil, nil
}

// checkLeaderEpoch compares the leader epoch that a client knows with the broker's; below 0 the client does not care
// (KIP-320).
func checkLeaderEpoch(known, leaderEpoch int32) error {
	switch {
	case known < 0 || known == leaderEpoch:
		return nil
	case known < leaderEpoch:
		return fmt.Errorf("%w: %d, now %d", kerr.FencedLeaderEpoch, known, leaderEpoch)
	}
	return fmt.Errorf("%w: %d, now %d", kerr.UnknownLeaderEpoch, known, leaderEpoch)
}

func (r *fetchRun) enough() bool { return r.final || r.bytes >= r.minBytes }

// wait reads again whenever one of the partitions has news, until there is enough or the time is over.
func (r *fetchRun) wait(c *call, limit time.Duration) {
	c.park()
	timeout := time.NewTimer(limit)
	defer timeout.Stop()
	w := partition.NewWaiter()
	for i := range r.results {
		r.results[i].partition.Subscribe(w, r.isolation)
		defer r.results[i].partition.Unsubscribe(w)
	}
	for {
		// Also the first time: there may have been news between the read and the subscription.
		if r.read(); r.enough() {
			return
		}
		select {
		case <-w.Poked():
		case <-timeout.C:
			return
		case <-c.ctx.Done():
			return
		}
	}
}

// answer encodes what was found and what the client has to be told of it. The ranges are the answer's from here on.
func (r *fetchRun) answer(nowMs int64) []piece {
	a := fetchAnswer{
		version:    r.version,
		isolation:  r.isolation,
		results:    r.results,
		partitions: r.fetch.Partitions,
		tell:       make([]bool, len(r.results)),
	}
	told := make([]fetchsession.Result, len(r.results))
	for i := range r.results {
		result := &r.results[i]
		if r.isolation == partition.ReadCommitted {
			result.findAborted(r.fetch.Partitions[i].FetchOffset)
		}
		told[i] = fetchsession.Result{
			HighWatermark: result.offsets.HighWatermark,
			LogStart:      result.offsets.LogStart,
			Failed:        result.err != nil || result.diverging != nil,
		}
		if result.records != nil {
			told[i].Bytes = result.records.Size()
		}
		r.count(result, &r.fetch.Partitions[i])
	}
	a.sessionID = r.broker.fetchSessions.End(r.fetch, told, a.tell, nowMs, rand.Int32)
	return encodeFetch(&a)
}

// findAborted looks up which of the records are of aborted transactions: the client leaves those out. If that cannot be known,
// it gets no records.
func (r *fetchResult) findAborted(fetchOffset int64) {
	if r.records == nil {
		return
	}
	if r.aborted, r.err = r.partition.Aborted(fetchOffset, r.records.NextOffset()); r.err != nil {
		r.records.Release()
		r.records = nil
	}
}

// nothing is the answer to a client that is over its quota: no partition at all. The session goes on as it was.
func (r *fetchRun) nothing() []piece {
	for i := range r.results {
		if records := r.results[i].records; records != nil {
			records.Release()
		}
	}
	return encodeFetch(&fetchAnswer{version: r.version, sessionID: r.fetch.SessionID()})
}

// count notes in the metrics what a partition is answered with.
func (r *fetchRun) count(result *fetchResult, want *fetchsession.Partition) {
	m := r.broker.metrics
	if result.err != nil {
		m.requestError(fetchKey, errorCode(result.err))
	}
	if result.records != nil {
		records := result.records.NextOffset() - want.FetchOffset
		m.fetched(result.partition.Topic(), result.records.Size(), int(records))
	}
}
