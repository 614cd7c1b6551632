package engine

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/consumer"
	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams/internal/graph"
	"github.com/millrace/millrace/windows"
)

// Changelog says where the changes of a store are, and how much of them the local store contains.
type Changelog struct {
	Store     string
	Topic     string // in Kafka
	Partition int32
	state.Changelog

	bytesMax   int         // of a record
	isRetained bool        // for some time only: the broker goes by the timestamps of the records, so that these are the wall clock
	prepared   *kgo.Record // the last record of the commit that is under way; nil: it has none
}

// Changelogs returns the changelogs of the task's stores, in the order of the stores.
func (t *Task) Changelogs() []Changelog {
	all := make([]Changelog, len(t.changelogs))
	for i, log := range t.changelogs {
		all[i] = *log
	}
	return all
}

func (t *Task) openChangelogs() {
	for _, spec := range t.sub.Stores {
		topic := graph.ChangelogTopic(t.site.environment.App, spec.Name)
		t.changelogs = append(t.changelogs, &Changelog{
			Store: spec.Name, Topic: topic, Partition: t.site.id.Partition,
			Changelog:  t.site.db.Position().Changelogs[spec.Name],
			bytesMax:   t.site.recordBytesMax(topic),
			isRetained: spec.Kind != state.KindKV,
		})
	}
}

func (t *Task) changelog(store string) *Changelog {
	for _, log := range t.changelogs {
		if log.Store == store {
			return log
		}
	}
	return nil
}

// Restore puts records of a store's changelog into the store, in their order.
func (t *Task) Restore(store string, records []*kgo.Record) error {
	return t.site.environment.Disk.do("restoring store "+store, func() error { return t.restore(store, records) })
}

func (t *Task) restore(store string, records []*kgo.Record) error {
	for _, record := range records {
		if err := t.site.db.Restore(store, record.Key, record.Value, record.Timestamp.UnixMilli()); err != nil {
			return fmt.Errorf("task %v: restore store %s from offset %d of %s-%d: %w",
				t.site.id, store, record.Offset, record.Topic, record.Partition, err)
		}
	}
	t.restored = t.restored || len(records) > 0
	t.site.counters.Restore(store).Restored += int64(len(records))
	return nil
}

// restoredCommit stands for the id of a commit, which changelogs do not tell, in stores that were restored and not committed since.
const restoredCommit = "restored"

// RestoreDone says up to where the stores contain their changelogs now. All of the task's stores have to be in it, with the
// topic's id, though nothing was restored.
func (t *Task) RestoreDone(contained map[string]state.Changelog) error {
	if len(t.changelogs) == 0 {
		return nil
	}
	for _, log := range t.changelogs {
		log.Changelog = contained[log.Store]
	}
	position := state.Position{Changelogs: contained, CommitID: t.site.db.Position().CommitID, WrittenMs: t.site.nowMs}
	if t.restored && position.CommitID == "" {
		position.CommitID = restoredCommit
	}
	write := func() error { return t.site.db.RestoreDone(position) }
	if err := t.site.environment.Disk.do("writing restored stores, "+t.storeNames(), write); err != nil {
		return fmt.Errorf("task %v: restore: %w", t.site.id, err)
	}
	return nil
}

func (t *Task) storeNames() string {
	var names []string
	for _, log := range t.changelogs {
		names = append(names, log.Store)
	}
	return strings.Join(names, ", ")
}

// Resume sets the clocks as they were committed, by the metadata of the offsets of the task's source topics, and lets the
// operators begin. It is called once, after RestoreDone.
func (t *Task) Resume(committed map[string]string) error {
	for _, text := range committed {
		if m, ok := parseMetadata(text); ok && m.Commit > t.prepared.Commit {
			t.prepared, t.preparedText = m, text
		}
	}
	if t.prepared.Commit > 0 {
		t.site.streamMs = t.prepared.StreamMs
		for name, state := range t.prepared.Clocks {
			if clock := t.site.clocks[name]; clock != nil {
				clock.Restore(state)
			}
		}
	}
	for _, start := range t.site.onStart {
		if err := t.locked(context.Background(), start); err != nil {
			return err
		}
	}
	return nil
}

// Prepare produces what the stores have changed since the last call, and returns the offset to commit for each source topic, by
// its name in Kafka: -1 as long as nothing is known of it. When nothing has happened since the last commit, the metadata is
// that of the last.
func (t *Task) Prepare(ctx context.Context) (map[string]consumer.Offset, error) {
	if t.hasNews() {
		if err := t.lock(ctx); err != nil {
			return nil, err
		}
		t.site.meta = Meta{}
		err := t.guarded(t.produceChanges) // it encodes values with user code
		t.unlock()
		if err != nil {
			return nil, err
		}
		if err := t.nextMetadata(); err != nil {
			return nil, err
		}
		t.changed = false
	}
	offsets := make(map[string]consumer.Offset, len(t.inputs))
	for _, in := range t.inputs {
		at := in.position()
		offsets[in.topic] = consumer.Offset{At: at, LeaderEpoch: in.epochBefore(at), Metadata: t.preparedText}
		if at >= 0 {
			t.preparedInputs[in.topic] = at
		}
	}
	return offsets, nil
}

// hasNews says whether there is anything to commit.
func (t *Task) hasNews() bool {
	if t.changed || t.preparedText == "" || t.site.outbox.used > 0 {
		return true
	}
	for name, clock := range t.site.clocks {
		if clock.State() != t.prepared.Clocks[name] {
			return true
		}
	}
	return false
}

func (t *Task) produceChanges() error {
	s := t.site
	for _, log := range t.changelogs {
		log.prepared = nil
	}
	if s.db != nil {
		if err := s.db.Changes(t.produceChange); err != nil {
			return fmt.Errorf("task %v: %w", s.id, err)
		}
	}
	return s.outbox.flush()
}

// produceChange produces one record of a changelog. The bytes are the store's, which keeps them until it is committed.
func (t *Task) produceChange(store string, key, value []byte, timestampMs int64) error {
	s, log := t.site, t.changelog(store)
	record := s.outbox.record()
	record.Topic, record.Partition, record.Key, record.Value = log.Topic, log.Partition, key, value
	record.Timestamp = time.UnixMilli(timestampMs)
	if log.isRetained {
		record.Timestamp = time.UnixMilli(s.nowMs)
	}
	if size := sizeOf(record); size > log.bytesMax {
		return &NodeError{Node: store, Err: fmt.Errorf(
			"the value of key %.64q has %d bytes, a record of changelog %s has at most %d: keep less in a value",
			key, len(value), log.Topic, log.bytesMax)}
	}
	log.prepared = record
	s.outbox.add(record)
	return nil
}

func (t *Task) nextMetadata() (err error) {
	next := metadata{Commit: t.prepared.Commit + 1, Session: t.site.environment.Session, StreamMs: t.site.streamMs}
	if len(t.site.clocks) > 0 {
		next.Clocks = make(map[string]windows.ClockState, len(t.site.clocks))
	}
	for name, clock := range t.site.clocks {
		next.Clocks[name] = clock.State()
	}
	text, err := next.encode()
	if err != nil {
		return fmt.Errorf("task %v: %w", t.site.id, err)
	}
	t.prepared, t.preparedText = next, text
	return nil
}

// CommitID returns the id that the metadata of the last Prepare has, or of the commit that the task began with.
func (t *Task) CommitID() string { return t.prepared.id() }

// Committed says that Kafka has committed what Prepare returned, and what was produced before. The stores keep it.
func (t *Task) Committed(ctx context.Context) error {
	defer t.site.outbox.reset()
	if t.site.db == nil {
		return nil
	}
	position := state.Position{
		Changelogs: map[string]state.Changelog{}, CommitID: t.CommitID(), WrittenMs: t.site.nowMs, Inputs: t.preparedInputs,
	}
	for _, log := range t.changelogs {
		if log.prepared != nil {
			log.NextOffset = log.prepared.Offset + 1
			position.Changelogs[log.Store] = log.Changelog
			log.prepared = nil
		}
	}
	if err := t.lock(ctx); err != nil {
		return err
	}
	defer t.unlock()
	if err := t.site.db.Commit(position); err != nil {
		return fmt.Errorf("task %v: %w", t.site.id, err)
	}
	return nil
}
