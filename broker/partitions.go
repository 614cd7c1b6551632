package broker

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/millrace/millrace/broker/internal/config"
	"github.com/millrace/millrace/broker/internal/metadata"
	"github.com/millrace/millrace/broker/internal/partition"
	"github.com/millrace/millrace/internal/disk"
	"github.com/millrace/millrace/log"
	"github.com/millrace/millrace/log/record"
)

// registry holds the open partitions of the broker. Safe for concurrent use.
type registry struct {
	fs          disk.FS
	dataDir     string
	settings    func() *config.Broker // at this moment
	logger      *slog.Logger
	syncs       *partition.Syncs
	appended    func(bytes, records int, took time.Duration)
	leaderEpoch func() int32
	configured  chan struct{} // capacity 1: settings of a topic have changed

	directRefused sync.Once // the file system has no direct writes, and that has been said

	mu struct {
		sync.RWMutex
		closed bool
		topics map[string]*topicPartitions
		ids    map[[16]byte]*topicPartitions
	}
}

// topicPartitions are the open partitions of one topic by their index; nil where one is not open.
type topicPartitions struct {
	name       string
	id         [16]byte
	partitions []*partition.Partition
}

func (t *topicPartitions) at(index int32) *partition.Partition {
	if t == nil || index < 0 || int(index) >= len(t.partitions) {
		return nil
	}
	return t.partitions[index]
}

// newRegistry returns a registry without partitions. The hooks of metrics may be nil.
func newRegistry(b *Broker) *registry {
	r := &registry{
		fs:          b.options.fileSystem,
		dataDir:     b.options.DataDir,
		settings:    func() *config.Broker { return b.controller.settings() },
		logger:      b.logger,
		syncs:       partition.NewSyncs(int(b.config.MillraceFsyncConcurrency), b.metrics.observeSync),
		appended:    b.metrics.observeAppend,
		leaderEpoch: func() int32 { return b.controller.image().LeaderEpoch() },
		configured:  make(chan struct{}, 1),
	}
	r.mu.topics = make(map[string]*topicPartitions)
	r.mu.ids = make(map[[16]byte]*topicPartitions)
	return r
}

// lookup returns the open partition, nil if there is none.
func (r *registry) lookup(topic string, index int32) *partition.Partition {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.mu.topics[topic].at(index)
}

// lookupID returns the open partition and its topic's name. The name is known even where the partition is not;
// both are zero for an unknown id.
func (r *registry) lookupID(id [16]byte, index int32) (*partition.Partition, string) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	t := r.mu.ids[id]
	if t == nil {
		return nil, ""
	}
	return t.at(index), t.name
}

// all returns the open partitions in no particular order.
func (r *registry) all() []*partition.Partition {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var all []*partition.Partition
	for _, t := range r.mu.topics {
		for _, p := range t.partitions {
			if p != nil {
				all = append(all, p)
			}
		}
	}
	return all
}

// sorted returns the open partitions by topic and index.
func (r *registry) sorted() []*partition.Partition {
	all := r.all()
	slices.SortFunc(all, func(a, b *partition.Partition) int {
		return cmp.Or(cmp.Compare(a.Topic(), b.Topic()), cmp.Compare(a.Index(), b.Index()))
	})
	return all
}

// create opens one partition of a topic, makes its directory if need be, and registers it. A damaged log gives an
// offline partition and no error. Creating what is open already returns it.
func (r *registry) create(t *metadata.Topic, index int32) (*partition.Partition, error) {
	if p := r.lookup(t.Name, index); p != nil {
		return p, nil
	}
	broker := r.settings()
	settings, err := broker.Topic(t.Configs)
	if err != nil {
		return nil, fmt.Errorf("open %s-%d: %w", t.Name, index, err)
	}
	p := partition.Open(partition.Options{
		Topic: t.Name,
		Index: index,
		Log: log.Options{
			FS:      r.fs,
			Dir:     r.dir(t.Name, index),
			TopicID: t.ID,
			NowMs:   time.Now().UnixMilli(),

			DirectRefused: r.tellDirectRefused,
		},
		Config:      partitionConfig(broker, &settings),
		LeaderEpoch: r.leaderEpoch(),
		Syncs:       r.syncs,
		Logger:      r.logger,
		Appended:    r.appended,
	})
	if err := r.register(t, index, p); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	r.noteConfigured()
	return p, nil
}

// tellDirectRefused says once for the broker what holds for all its partitions.
func (r *registry) tellDirectRefused(err error) {
	r.directRefused.Do(func() {
		r.logger.Warn("write=direct: the file system has no direct writes, they are buffered", "dir", r.dataDir, "err", err)
	})
}

func (r *registry) register(t *metadata.Topic, index int32, p *partition.Partition) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.closed {
		return fmt.Errorf("open %s-%d: %w", t.Name, index, ErrClosed)
	}
	known := r.mu.topics[t.Name]
	if known == nil {
		known = &topicPartitions{name: t.Name, id: t.ID}
		r.mu.topics[t.Name] = known
		r.mu.ids[t.ID] = known
	}
	for len(known.partitions) <= int(index) {
		known.partitions = append(known.partitions, nil)
	}
	known.partitions[index] = p
	return nil
}

func (r *registry) dir(topic string, index int32) string {
	return filepath.Join(r.dataDir, partitionDirName(topic, index))
}

// configure makes a topic's open partitions work by its settings.
func (r *registry) configure(t *metadata.Topic) error {
	broker := r.settings()
	settings, err := broker.Topic(t.Configs)
	if err != nil {
		return fmt.Errorf("configure %s: %w", t.Name, err)
	}
	c := partitionConfig(broker, &settings)
	for _, p := range r.of(t.Name) {
		p.Configure(c)
	}
	r.noteConfigured()
	return nil
}

// noteConfigured tells the maintainer that a setting which it goes by may have changed.
func (r *registry) noteConfigured() {
	select {
	case r.configured <- struct{}{}:
	default:
	}
}

// of returns the open partitions of a topic.
func (r *registry) of(topic string) []*partition.Partition {
	r.mu.RLock()
	defer r.mu.RUnlock()
	t := r.mu.topics[topic]
	if t == nil {
		return nil
	}
	open := make([]*partition.Partition, 0, len(t.partitions))
	for _, p := range t.partitions {
		if p != nil {
			open = append(open, p)
		}
	}
	return open
}

// close closes all partitions, which makes their logs durable, and takes no more.
func (r *registry) close() error {
	r.mu.Lock()
	r.mu.closed = true
	r.mu.Unlock()
	all := r.all()
	return forEach(len(all), func(i int) error { return all[i].Close() })
}

// openersMax bounds how many partitions are opened or closed at the same time.
const openersMax = 16

// forEach calls do for 0 to n-1, several at a time, waits for all, and joins their errors.
func forEach(n int, do func(i int) error) error {
	if n == 1 {
		return do(0)
	}
	errs := make([]error, n)
	var workers sync.WaitGroup
	var next struct {
		sync.Mutex
		i int
	}
	take := func() int {
		next.Lock()
		defer next.Unlock()
		next.i++
		return next.i - 1
	}
	for range min(n, openersMax) {
		workers.Go(func() {
			for i := take(); i < n; i = take() {
				errs[i] = do(i)
			}
		})
	}
	workers.Wait()
	return errors.Join(errs...)
}

// partitionConfig is what a topic's settings mean for its partitions.
func partitionConfig(b *config.Broker, t *config.Topic) partition.Config {
	c := partition.Config{
		Log: log.Config{
			SegmentBytes:         int64(t.SegmentBytes),
			SegmentMs:            t.SegmentMs,
			SegmentJitterMs:      t.SegmentJitterMs,
			SegmentIndexBytes:    max(int64(t.SegmentIndexBytes), segmentIndexBytesMin),
			IndexIntervalBytes:   int64(t.IndexIntervalBytes),
			RetentionBytes:       max(t.RetentionBytes, -1),
			RetentionMs:          t.RetentionMs,
			DeleteOldSegments:    t.Deletes(),
			Compacted:            t.Compacts(),
			DeleteRetentionMs:    t.DeleteRetentionMs,
			MinCompactionLagMs:   t.MinCompactionLagMs,
			MaxCompactionLagMs:   t.MaxCompactionLagMs,
			MinCleanableRatio:    t.MinCleanableDirtyRatio,
			LogAppendTime:        t.MessageTimestampType == record.LogAppendTime.String(),
			ProducerExpirationMs: int64(b.ProducerIdExpirationMs),
			Preallocate:          t.Preallocate,
			Direct:               t.Write == config.WriteDirect && t.Flush == config.FlushCommit,
		},
		FlushMs:              t.FlushMs,
		FlushMessages:        t.FlushMessages,
		MaxMessageBytes:      t.MaxMessageBytes,
		TimestampBeforeMaxMs: t.MessageTimestampBeforeMaxMs,
		TimestampAfterMaxMs:  t.MessageTimestampAfterMaxMs,
	}
	c.Flush, _ = partition.ParseFlush(t.Flush) // checked by the settings table
	c.Recompress, c.Codec, c.CodecLevel = compression(t)
	if t.FlushMessages == math.MaxInt64 {
		c.FlushMessages = 0
	}
	return c
}

// segmentIndexBytesMin is the smallest index that holds two entries; Kafka takes less and then rolls at each batch.
const segmentIndexBytesMin = 64

// compression says into what batches are rewritten (compression.type).
func compression(t *config.Topic) (recompress bool, codec record.Codec, level int) {
	switch t.CompressionType {
	case "uncompressed":
		return true, record.None, 0
	case "gzip":
		return true, record.Gzip, max(0, int(t.CompressionGzipLevel))
	case "snappy":
		return true, record.Snappy, 0
	case "lz4":
		return true, record.LZ4, int(t.CompressionLz4Level)
	case "zstd":
		return true, record.Zstd, int(t.CompressionZstdLevel)
	}
	return false, record.None, 0
}
