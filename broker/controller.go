package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/broker/internal/config"
	"github.com/millrace/millrace/broker/internal/metadata"
	"github.com/millrace/millrace/broker/internal/partition"
	"github.com/millrace/millrace/internal/disk"
	"github.com/millrace/millrace/log"
	"github.com/millrace/millrace/log/record"
)

// controller owns the metadata log and the image that it leads to. Every change of topics and settings goes through
// change: decided on the present image, appended, synced, published, and only then made so on disk. A crash in
// between leaves a topic that the next start completes, or a deletion that the next start finishes.
//
// Safe for concurrent use.
type controller struct {
	fs         disk.FS
	dataDir    string
	static     *config.Broker // the settings of the start
	partitions *registry
	syncs      *partition.Syncs
	logger     *slog.Logger
	// topicsDeleted is told of deleted topics before anybody can create one of the same name, and at the start
	// once more. Nil is allowed. It must not change metadata.
	topicsDeleted func(ctx context.Context, image *metadata.Image)

	// reconfigured is told of settings of the broker that have changed. Nil is allowed.
	reconfigured func(settings *config.Broker)

	published atomic.Pointer[metadata.Image]
	end       atomic.Int64 // imageEnd
	effective atomic.Pointer[config.Broker]

	// turn holds a token while nobody changes metadata; who has taken it owns what follows.
	turn    chan struct{}
	log     *partition.Partition
	removed map[[16]byte]string // names of topics that a committed record has removed
	builder record.Builder
	// shrinkAtBytes is how large the log becomes before it is made short again.
	shrinkAtBytes int64
}

// newController returns a controller that knows nothing yet. b.partitions must be set.
func newController(b *Broker) *controller {
	c := &controller{
		fs:         b.options.fileSystem,
		dataDir:    b.options.DataDir,
		static:     b.config,
		partitions: b.partitions,
		syncs:      b.partitions.syncs,
		logger:     b.logger,
		turn:       make(chan struct{}, 1),
		removed:    map[[16]byte]string{},
	}
	c.shrinkAtBytes = c.static.MetadataLogMaxRecordBytesBetweenSnapshots
	c.turn <- struct{}{}
	c.published.Store(metadata.Empty("", b.config.NodeId))
	c.effective.Store(b.config)
	return c
}

// image is the metadata at this moment. It does not block.
func (c *controller) image() *metadata.Image { return c.published.Load() }

// imageEnd is how far into the metadata log image goes at least. It grows with each change.
func (c *controller) imageEnd() int64 { return c.end.Load() }

// settings are what the broker goes by at this moment: those of the start, and above them those that the image has.
func (c *controller) settings() *config.Broker { return c.effective.Load() }

// open replays the metadata log, begins a new epoch, finishes what a crash has interrupted and opens all partitions.
// A partition with a damaged log is offline and no error; a damaged metadata log is one.
func (c *controller) open(ctx context.Context, clusterID string) error {
	settings := partition.DefaultConfig()
	settings.Log.RetentionMs = -1 // nothing goes by its age: shrink says what does
	c.log = partition.Open(partition.Options{
		Topic: metadata.MetadataTopic,
		Log: log.Options{
			FS:      c.fs,
			Dir:     filepath.Join(c.dataDir, partitionDirName(metadata.MetadataTopic, 0)),
			TopicID: metadataTopicID,
			NowMs:   time.Now().UnixMilli(),
		},
		Config: settings,
		Syncs:  c.syncs,
		Logger: c.logger,
	})
	if err := c.log.Err(); err != nil {
		return fmt.Errorf("open metadata log: %w", err)
	}
	image, err := c.replay(clusterID)
	if err != nil {
		return fmt.Errorf("replay metadata log: %w", err)
	}
	if err := c.configure(image); err != nil {
		return err
	}
	c.published.Store(image)
	if err := c.register(ctx); err != nil {
		return err
	}
	if err := c.finishDeletions(); err != nil {
		return err
	}
	if err := c.takeTurn(ctx); err != nil {
		return err
	}
	c.shrink(ctx)
	c.turn <- struct{}{}
	return c.partitions.open(c.image())
}

// metadataTopicID is the id that Kafka reserves for the topic of the metadata log.
var metadataTopicID = [16]byte{15: 1}

// register writes that the broker has started, in a new epoch; a new log gets what every log begins with before.
func (c *controller) register(ctx context.Context) error {
	err := c.change(ctx, func(image *metadata.Image) ([]metadata.Record, error) {
		registration := image.Registration(newID())
		if c.log.Offsets().LogEnd > 0 {
			return []metadata.Record{registration}, nil
		}
		return append(metadata.Format(), registration), nil
	})
	if err != nil {
		return fmt.Errorf("begin a new epoch: %w", err)
	}
	return nil
}

// close waits for a change that is under way and closes the metadata log. Later changes fail.
func (c *controller) close() error {
	<-c.turn
	defer func() { c.turn <- struct{}{} }()
	if c.log == nil {
		return nil
	}
	return c.log.Close()
}

// change makes what decide wants. decide gets the present image and returns the records of one change; no records
// are no change. When change returns nil, the records are on disk, image shows them, and partitions exist or are
// gone. A change is all or nothing, also through a crash.
//
// ctx ends the wait for one's turn only: a change that has begun is carried through. An error of the log (full disk,
// failed sync) leaves the image as it was.
func (c *controller) change(ctx context.Context, decide func(*metadata.Image) ([]metadata.Record, error)) error {
	if err := c.takeTurn(ctx); err != nil {
		return fmt.Errorf("wait to change metadata: %w", err)
	}
	defer func() { c.turn <- struct{}{} }()
	before := c.image()
	records, err := decide(before)
	if err != nil || len(records) == 0 {
		return err
	}
	after, values, err := encode(before, records)
	if err != nil {
		return fmt.Errorf("change metadata: %w", err)
	}
	ctx = context.WithoutCancel(ctx)
	if err := c.commit(ctx, values); err != nil {
		return fmt.Errorf("change metadata: %w", err)
	}
	c.carryOut(ctx, before, after)
	c.end.Store(c.log.Offsets().LogEnd)
	c.shrink(ctx)
	return nil
}

// takeTurn waits until nobody else changes metadata. A ctx that has ended already gets a turn that is free: clients
// that send a timeout of 0 mean that they do not want to wait.
func (c *controller) takeTurn(ctx context.Context) error {
	select {
	case <-c.turn:
		return nil
	default:
	}
	select {
	case <-c.turn:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// encode returns the records' bytes and the image that they lead to. The image is made from what the bytes say:
// so it is what a replay will give, and shares no memory with a request.
func encode(before *metadata.Image, records []metadata.Record) (*metadata.Image, [][]byte, error) {
	values := make([][]byte, len(records))
	decoded := make([]metadata.Record, len(records))
	for i, r := range records {
		values[i] = metadata.Encode(r)
		var err error
		if decoded[i], err = metadata.Decode(values[i]); err != nil {
			return nil, nil, err
		}
	}
	after, err := before.Apply(decoded...)
	return after, values, err
}

// commit writes the values as one batch, so that a crash keeps all of them or none, and waits until it is on disk.
func (c *controller) commit(ctx context.Context, values [][]byte) error {
	nowMs := time.Now().UnixMilli()
	c.builder.Reset()
	for _, value := range values {
		c.builder.Add(nowMs, nil, value)
	}
	batch, err := c.builder.Build()
	if err != nil {
		return err
	}
	appended, err := c.log.Append(batch, nowMs, partition.Internal)
	if err != nil {
		return err
	}
	return c.log.AwaitCommitted(ctx, appended.LastOffset+1)
}

// carryOut makes the partitions follow a committed change. New ones are there before the image shows them, removed
// ones go after it has ceased to. Errors are logged and change nothing about the change: the partition concerned is
// offline, or its directory is removed at the next start.
func (c *controller) carryOut(ctx context.Context, before, after *metadata.Image) {
	reconfigured := !after.SameBrokerConfigs(before)
	if reconfigured {
		if err := c.configure(after); err != nil {
			c.logger.Error("settings of the broker not taken over", "err", err)
		}
	}
	var removed []*metadata.Topic
	for _, t := range before.Topics() {
		if after.TopicByID(t.ID) == nil {
			removed = append(removed, t)
			c.removed[t.ID] = t.Name
		}
	}
	var changed []*metadata.Topic
	for _, t := range after.Topics() {
		known := before.TopicByID(t.ID)
		if known == t && !reconfigured {
			continue
		}
		if known == nil {
			known = &metadata.Topic{}
		} else {
			changed = append(changed, t)
		}
		c.openPartitions(t, known.Partitions)
	}
	c.published.Store(after)
	for _, t := range changed {
		if err := c.partitions.configure(t); err != nil {
			c.logger.Error("settings not taken over", "topic", t.Name, "err", err)
		}
	}
	for _, t := range removed {
		if err := c.partitions.remove(t); err != nil {
			c.logger.Error("files of a deleted topic remain", "topic", t.Name, "err", err)
		}
	}
	if len(removed) > 0 && c.topicsDeleted != nil {
		c.topicsDeleted(ctx, after)
	}
}

// configure makes the broker go by the settings of image; open partitions are the caller's to tell.
func (c *controller) configure(image *metadata.Image) error {
	effective, err := image.EffectiveConfigs(c.static)
	if err != nil {
		return err
	}
	c.effective.Store(effective)
	if c.reconfigured != nil {
		c.reconfigured(effective)
	}
	return nil
}

// openPartitions opens the partitions of t from index from on, several at a time.
func (c *controller) openPartitions(t *metadata.Topic, from int32) {
	err := forEach(int(t.Partitions-from), func(i int) error {
		index := from + int32(i)
		if err := c.clear(t, index); err != nil {
			return err
		}
		_, err := c.partitions.create(t, index)
		return err
	})
	if err != nil {
		c.logger.Error("partitions not opened", "topic", t.Name, "err", err)
	}
}

// ensureTopic returns the topic, which it creates if need be; an existing one is returned as it is.
// partitions -1 is num.partitions. Only with internal can it be one of the broker's own topics.
func (c *controller) ensureTopic(ctx context.Context, name string, partitions int32, configs map[string]string, internal bool) (*metadata.Topic, error) {
	wanted := metadata.NewTopic{Name: name, Partitions: partitions, ReplicationFactor: -1, Own: true}
	for name, value := range configs {
		wanted.Configs = append(wanted.Configs, metadata.ConfigValue{Name: name, Value: &value})
	}
	if metadata.IsInternal(name) != internal {
		return nil, fmt.Errorf("create topic %q: %w: internal is %t", name, metadata.ErrInvalidTopic, internal)
	}
	err := c.ensureTopics(ctx, []metadata.NewTopic{wanted})[name]
	if err != nil {
		return nil, fmt.Errorf("create topic: %w", err)
	}
	if t := c.image().Topic(name); t != nil {
		return t, nil
	}
	return nil, fmt.Errorf("create topic: %w: %q was deleted at once", metadata.ErrUnknownTopic, name)
}

// ensureTopics creates those topics that do not exist, in one change, and returns the errors by topic.
func (c *controller) ensureTopics(ctx context.Context, wanted []metadata.NewTopic) map[string]error {
	failed := map[string]error{}
	err := c.change(ctx, func(image *metadata.Image) ([]metadata.Record, error) {
		records, results := image.CreateTopics(c.settings(), wanted, newID)
		for _, result := range results {
			if result.Err != nil && !errors.Is(result.Err, metadata.ErrTopicExists) {
				failed[result.Name] = result.Err
			}
		}
		return records, nil
	})
	if err != nil {
		for _, w := range wanted {
			failed[w.Name] = err
		}
	}
	return failed
}

// producerIDBlock is how many producer ids are taken at once; those not given out at a crash are never used.
const producerIDBlock = 1000

// nextProducerIDs returns the producer ids [first, first+count), which nobody else gets, ever.
func (c *controller) nextProducerIDs(ctx context.Context) (first int64, count int32, err error) {
	err = c.change(ctx, func(image *metadata.Image) ([]metadata.Record, error) {
		first = image.NextProducerID()
		return []metadata.Record{image.ProducerIDs(producerIDBlock)}, nil
	})
	if err != nil {
		return 0, 0, fmt.Errorf("take producer ids: %w", err)
	}
	return first, producerIDBlock, nil
}
