package log_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/millrace/millrace/internal/disk"
	"github.com/millrace/millrace/log"
	"github.com/millrace/millrace/log/record"
)

const logDir = "/data/clicks-0"

// crashConfig makes every mechanism of the log run within a few batches.
func crashConfig() log.Config {
	config := log.DefaultConfig()
	config.SegmentBytes = 2600
	config.SegmentIndexBytes = 400
	config.IndexIntervalBytes = 300
	config.RetentionMs = 60_000
	return config
}

// eachWrite runs the test with the batches buffered and with them written directly.
func eachWrite(t *testing.T, test func(t *testing.T, config log.Config)) {
	t.Run("buffered", func(t *testing.T) { test(t, crashConfig()) })
	t.Run("direct", func(t *testing.T) {
		config := crashConfig()
		config.Direct = true
		test(t, config)
	})
}

func openLog(fsys disk.FS, config log.Config) (*log.Log, log.Recovery, error) {
	return log.Open(log.Options{FS: fsys, Dir: logDir, Config: config, TopicID: [16]byte{1}, NowMs: 1})
}

// newDisk returns a crashable disk with the directory above the log's, durable.
func newDisk(seed uint64) *disk.Mem {
	m := disk.NewCrashable(seed)
	if err := errors.Join(m.MkdirAll("/data"), m.SyncDir("/")); err != nil {
		panic(err)
	}
	return m
}

// stored is one batch as the log must give it back.
type stored struct {
	record.Batch
	epoch int32
}

// options are those that the batch was appended with.
func (s stored) options() log.AppendOptions {
	return log.AppendOptions{NowMs: s.MaxTimestampMs(), LeaderEpoch: s.epoch, Internal: s.IsControl()}
}

// ledger is what a test knows of a log: what it offered, and what the log has promised about it.
// Its methods may be called while the log's are under way.
type ledger struct {
	mu struct {
		sync.Mutex
		known
	}
	sequences map[int64]int32 // next one of each producer
	built     int             // batches so far
}

type known struct {
	config   log.Config // of the log, for whoever opens it again
	content  []stored   // the batches in order, those below the log start too
	replaced [][]stored // what may be there instead: the content before a cut that has not returned nil
	tails    []stored   // batches whose Append has not returned nil
	durable  int64      // promised by Sync, DeleteBefore and so on
	cleaned  int64      // below it, compaction may have taken away what is superseded
	startMin int64      // the log start is at least this
	startMax int64      // and at most this
}

func newLedger(config log.Config) *ledger {
	l := &ledger{sequences: map[int64]int32{}}
	l.mu.config = config
	return l
}

// config is what the log was opened with first.
func (l *ledger) config() log.Config { return l.known().config }

func (l *ledger) known() known {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.mu.known
	k.content, k.replaced, k.tails = slices.Clip(k.content), slices.Clone(k.replaced), slices.Clone(k.tails)
	return k
}

func (k known) end() int64 { return endOf(k.content) }

func endOf(content []stored) int64 {
	if len(content) == 0 {
		return 0
	}
	return content[len(content)-1].NextOffset()
}

// build makes the next batch of a producer: its records say which batch they belong to, its timestamp grows with it.
func (l *ledger) build(producer int64, records, valueBytes int) record.Batch {
	return l.buildAt(producer, records, valueBytes, int64(l.built+1)*1000)
}

func (l *ledger) buildAt(producer int64, records, valueBytes int, timestampMs int64) record.Batch {
	return l.buildWith(record.Options{Producer: &record.Producer{ID: producer}}, records, valueBytes, timestampMs)
}

func (l *ledger) buildWith(options record.Options, records, valueBytes int, timestampMs int64) record.Batch {
	l.built++
	producer := options.Producer.ID
	options.Producer.BaseSequence = l.sequences[producer]
	b := record.NewBuilder(options)
	for i := range records {
		value := fmt.Appendf(nil, "batch %d record %d ", l.built, i)
		value = append(value, bytes.Repeat([]byte{byte('a' + l.built%26)}, valueBytes)...)
		b.Add(timestampMs, []byte("key"), value)
	}
	batch, err := b.Build()
	if err != nil {
		panic(err)
	}
	l.sequences[producer] += int32(records)
	return slices.Clone(batch)
}

// append offers b to the log and notes what comes of it.
func (l *ledger) append(to *log.Log, b record.Batch, epoch int32) error {
	end := to.LogEndOffset()
	expected := stored{Batch: slices.Clone(b), epoch: epoch}
	expected.SetBaseOffset(end)
	expected.SetPartitionLeaderEpoch(epoch)
	l.mu.Lock()
	l.mu.tails = append(l.mu.tails, expected)
	l.mu.Unlock()
	appended, err := to.Append(slices.Clone(b), expected.options())
	if err != nil {
		if !b.IsControl() {
			l.sequences[b.ProducerID()] = b.BaseSequence() // what comes next takes its place
		}
		return err
	}
	if appended.Duplicate || appended.BaseOffset != end || appended.LastOffset != expected.LastOffset() {
		return broken("append at %d of %d records: %+v", end, b.Count(), appended)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.tails = slices.DeleteFunc(l.mu.tails, func(s stored) bool { return &s.Batch[0] == &expected.Batch[0] })
	l.mu.content = append(l.mu.content, expected)
	return nil
}

func (l *ledger) sync(to *log.Log) error {
	before := to.LogEndOffset()
	durable, err := to.Sync()
	if err != nil {
		return err
	}
	if durable < before || to.DurableOffset() < durable {
		return broken("sync of [0, %d) returned %d, durable offset %d", before, durable, to.DurableOffset())
	}
	l.promise(durable)
	return nil
}

func (l *ledger) promise(durable int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.durable = max(l.mu.durable, durable)
}

func (l *ledger) truncate(to *log.Log, offset int64) error {
	l.mu.Lock()
	before := l.mu.content
	cut := len(before)
	for cut > 0 && before[cut-1].NextOffset() > offset {
		cut--
	}
	l.mu.replaced = append(l.mu.replaced, before)
	l.mu.content = slices.Clone(before[:cut])
	l.mu.durable = min(l.mu.durable, endOf(before[:cut]))
	l.mu.Unlock()

	err := to.Truncate(offset)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		l.mu.replaced = nil
		l.mu.tails = nil
		if to.LogEndOffset() != endOf(before[:cut]) {
			return broken("truncate to %d left the end at %d, not %d", offset, to.LogEndOffset(), endOf(before[:cut]))
		}
	} else if to.LogEndOffset() == endOf(before) {
		l.mu.content, l.mu.replaced[len(l.mu.replaced)-1] = before, l.mu.content
	}
	l.resequenceLocked()
	return err
}

func (l *ledger) deleteBefore(to *log.Log, offset int64) error {
	l.mu.Lock()
	l.mu.startMax = max(l.mu.startMax, offset)
	l.mu.Unlock()
	if err := to.DeleteBefore(offset); err != nil {
		return err
	}
	if to.LogStartOffset() < offset {
		return broken("delete before %d left the start at %d", offset, to.LogStartOffset())
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.startMin = max(l.mu.startMin, offset)
	return nil
}

// retain lets the log start move up to the durable offset. A crash may bring back what retention has deleted.
func (l *ledger) retain(to *log.Log, nowMs int64) error {
	l.mu.Lock()
	committed := l.mu.durable
	l.mu.startMax = max(l.mu.startMax, committed)
	l.mu.Unlock()
	_, err := to.Retain(nowMs, committed)
	if start := to.LogStartOffset(); start > committed {
		return broken("retention moved the start to %d, committed was %d", start, committed)
	}
	return err
}

// compact compacts the log as far as it is durable. The ledger's records all have the same key.
func (l *ledger) compact(to *log.Log, nowMs, mapBytes int64) error {
	l.mu.Lock()
	before := min(l.mu.durable, to.DurableOffset())
	l.mu.cleaned = max(l.mu.cleaned, before)
	l.mu.Unlock()
	done, err := to.Compact(log.CompactOptions{NowMs: nowMs, Before: before, MapBytes: mapBytes})
	if done.To > before {
		return broken("compaction up to %d went to %d", before, done.To)
	}
	return err
}

func (l *ledger) close(to *log.Log) error {
	end := to.LogEndOffset()
	failed := to.Err() != nil // then Close promises nothing
	err := to.Close()
	if err == nil && !failed {
		l.promise(end)
	}
	return err
}

// adopt takes note of what an opened log has, of all that it may have.
func (l *ledger) adopt(opened *log.Log) error {
	k := l.known()
	start, end := opened.LogStartOffset(), opened.LogEndOffset()
	if end < k.durable || start < k.startMin || start > k.startMax {
		return broken("log [%d, %d), durable to %d, start within [%d, %d]", start, end, k.durable, k.startMin, k.startMax)
	}
	found, err := readAll(opened, 1<<20)
	if err != nil {
		found, err = readAll(opened, 1<<20) // the call that the fault suite fails may be one of this
	}
	if err != nil {
		return err
	}
	content, reason := k.match(found, start, end)
	if reason != "" {
		return broken("%s", reason)
	}
	content = slices.Clone(content)
	for len(content) > 0 && content[len(content)-1].BaseOffset() >= end {
		content = content[:len(content)-1]
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.content, l.mu.replaced, l.mu.tails = content, nil, nil
	l.mu.durable = max(l.mu.durable, end)
	l.resequenceLocked()
	return nil
}

// resequenceLocked has each producer go on after its last batch that is in the log.
func (l *ledger) resequenceLocked() {
	clear(l.sequences)
	for _, s := range l.mu.content {
		if !s.IsControl() {
			l.sequences[s.ProducerID()] = s.LastSequence() + 1
		}
	}
}

// errBroken marks a promise that the log did not keep, as against an error that it reports.
var errBroken = errors.New("broken promise")

func broken(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errBroken, fmt.Sprintf(format, args...))
}

// check compares a log that was opened after a crash with what is known. It returns the batches that are in the log.
func (k known) check(l *log.Log) ([]record.Batch, error) {
	start, end := l.LogStartOffset(), l.LogEndOffset()
	if start < k.startMin || start > k.startMax {
		return nil, broken("log start %d, must be within [%d, %d]", start, k.startMin, k.startMax)
	}
	if end < k.durable {
		return nil, broken("log end %d, all below %d was acknowledged", end, k.durable)
	}
	if durable := l.DurableOffset(); durable != end {
		return nil, broken("durable offset %d after recovery, log end %d", durable, end)
	}
	found, err := readAll(l, 1<<20)
	if err != nil {
		return nil, err
	}
	content, reason := k.match(found, start, end)
	if reason != "" {
		return nil, broken("%s", reason)
	}
	return found, errors.Join(checkLookups(l, found), checkTransactions(l, found, content))
}

// checkContent holds found, which is the log from start to end, against each content that may be there.
func (k known) checkContent(found []record.Batch, start, end int64) error {
	if _, reason := k.match(found, start, end); reason != "" {
		return broken("%s", reason)
	}
	return nil
}

// match returns the content that found is a prefix of, or the reason why there is none.
func (k known) match(found []record.Batch, start, end int64) (content []stored, reason string) {
	var reasons []string
	for _, content := range append(slices.Clone(k.replaced), k.content) {
		reason := differs(found, content, k.cleaned, start, end)
		if reason == "" {
			return content, ""
		}
		reasons = append(reasons, reason)
		for _, tail := range k.tails {
			before := slices.IndexFunc(content, func(s stored) bool { return s.NextOffset() > tail.BaseOffset() })
			if before < 0 {
				before = len(content)
			}
			withTail := append(slices.Clone(content[:before]), tail)
			if differs(found, withTail, k.cleaned, start, end) == "" {
				return withTail, ""
			}
		}
	}
	return nil, strings.Join(reasons, "; or ")
}

// differs says how found, which is the log from start to end, is something else than a prefix of content, of which
// compaction may have taken away what is superseded below cleaned.
func differs(found []record.Batch, content []stored, cleaned, start, end int64) string {
	first := slices.IndexFunc(content, func(s stored) bool { return s.NextOffset() > start })
	if first < 0 {
		first = len(content)
	}
	rest := content[first:]
	if cleaned > 0 {
		if len(found) > 0 && found[len(found)-1].NextOffset() != end {
			return fmt.Sprintf("batches end at %d, the log at %d", found[len(found)-1].NextOffset(), end)
		}
		var reason string
		if found, rest, reason = withoutSuperseded(found, rest, cleaned, start, end); reason != "" || len(found) == 0 {
			return reason
		}
	}
	for i, b := range found {
		if i >= len(rest) {
			return fmt.Sprintf("batch at %d was never appended", b.BaseOffset())
		}
		if !bytes.Equal(b, rest[i].Batch) {
			return fmt.Sprintf("batch at %d is not the one that was appended at %d", b.BaseOffset(), rest[i].BaseOffset())
		}
	}
	if len(found) > 0 && found[len(found)-1].NextOffset() != end {
		return fmt.Sprintf("batches end at %d, the log at %d", found[len(found)-1].NextOffset(), end)
	}
	if len(found) == 0 && end != start {
		return fmt.Sprintf("nothing to read in [%d, %d)", start, end)
	}
	return ""
}

// readAll reads the log from its start to its end.
func readAll(l *log.Log, maxBytes int) ([]record.Batch, error) {
	var found []record.Batch
	end := l.LogEndOffset()
	for at := l.LogStartOffset(); at < end; {
		r, err := l.Read(at, end, maxBytes, true)
		if err != nil {
			return nil, fmt.Errorf("read at %d: %w", at, err)
		}
		if r == nil {
			return nil, broken("nothing to read at %d, log end %d", at, end)
		}
		data := make([]byte, r.Size())
		_, err = r.ReadAt(data, 0)
		r.Release()
		if err != nil {
			return nil, fmt.Errorf("read at %d: %w", at, err)
		}
		for len(data) > 0 {
			var b record.Batch
			if b, data, err = record.Next(data); err != nil {
				return nil, broken("bytes at offset %d are no batch: %v", at, err)
			}
			if err := validate(b); err != nil {
				return nil, broken("batch at offset %d: %v", at, err)
			}
			found = append(found, b)
			at = b.NextOffset()
		}
	}
	return found, nil
}

// validate is record.Batch.Validate for a batch that may have lost records.
func validate(b record.Batch) error {
	if err := b.CheckCRC(); err != nil {
		return err
	}
	_, err := recordsOf(b)
	return err
}

// kept is a record that was read back.
type kept struct {
	offset, timestampMs int64
	key, value          string
	tombstone           bool
}

func recordsOf(b record.Batch) (all []kept, err error) {
	reader, err := b.Records(1 << 20)
	if err != nil {
		return nil, err
	}
	for last := b.BaseOffset() - 1; reader.Next(); last = reader.Offset() {
		if reader.Offset() <= last || reader.Offset() > b.LastOffset() {
			return nil, fmt.Errorf("offset %d after %d in [%d, %d]", reader.Offset(), last, b.BaseOffset(), b.LastOffset())
		}
		r := reader.Record()
		all = append(all, kept{reader.Offset(), reader.TimestampMs(), string(r.Key), string(r.Value), r.Value == nil})
	}
	return all, reader.Err()
}

// withoutSuperseded checks the part of found below cleaned, the last record of which is the newest of its key or superseded
// above, and returns what remains to be compared byte by byte.
func withoutSuperseded(found []record.Batch, content []stored, cleaned, start, end int64) ([]record.Batch, []stored, string) {
	offered := map[int64]kept{}
	newest := int64(-1)
	for _, s := range content {
		if s.BaseOffset() >= end {
			break
		}
		all, err := recordsOf(s.Batch)
		if err != nil {
			return nil, nil, err.Error()
		}
		for _, r := range all {
			offered[r.offset] = r
			newest = r.offset
		}
	}
	present := int64(-1)
	for _, b := range found {
		all, err := recordsOf(b)
		if err != nil {
			return nil, nil, err.Error()
		}
		for _, r := range all {
			if offered[r.offset] != r {
				return nil, nil, fmt.Sprintf("%+v where %+v was", r, offered[r.offset])
			}
			present = r.offset
		}
	}
	if newest >= start && present != newest {
		return nil, nil, fmt.Sprintf("the newest record is at %d, found %d", newest, present)
	}
	for len(found) > 0 && found[0].BaseOffset() < cleaned {
		found = found[1:]
	}
	for len(content) > 0 && content[0].BaseOffset() < cleaned {
		content = content[1:]
	}
	return found, content, ""
}

// checkLookups asks the log for each batch by offset, by timestamp and by epoch.
func checkLookups(l *log.Log, content []record.Batch) error {
	newest := int64(-1)
	for i, b := range content {
		r, err := l.Read(max(b.LastOffset(), l.LogStartOffset()), b.NextOffset(), 1, true)
		if err != nil || r == nil {
			return broken("read of offset %d alone: %v, %v", b.LastOffset(), r, err)
		}
		size := r.Size()
		r.Release()
		if size != len(b) {
			return broken("read of offset %d alone returned %d bytes, the batch has %d", b.LastOffset(), size, len(b))
		}
		all, err := recordsOf(b)
		if err != nil {
			return err
		}
		if len(all) == 0 {
			continue
		}
		if i > 0 && b.MaxTimestampMs() > newest {
			found, ok, err := l.OffsetForTimestamp(b.MaxTimestampMs())
			if err != nil || !ok || found.Offset != all[0].offset || found.TimestampMs != b.MaxTimestampMs() {
				return broken("timestamp %d is at offset %d: found %+v, %v, %v", b.MaxTimestampMs(), b.BaseOffset(), found, ok, err)
			}
		}
		newest = max(newest, b.MaxTimestampMs())
	}
	if len(content) == 0 {
		return nil
	}
	last := content[len(content)-1]
	if epoch := l.LatestEpoch(); epoch < last.PartitionLeaderEpoch() {
		return broken("latest epoch %d, the last batch has %d", epoch, last.PartitionLeaderEpoch())
	}
	for i, b := range content[1:] {
		before := content[i].PartitionLeaderEpoch()
		if b.PartitionLeaderEpoch() == before {
			continue
		}
		if found, end := l.EndOffsetForEpoch(before); found != before || end < content[i].NextOffset() || end > b.BaseOffset() {
			return broken("epoch %d ends at %d: found epoch %d, end %d", before, b.BaseOffset(), found, end)
		}
	}
	return nil
}

// retryAll sends every batch of the content again, as clients do that heard nothing. There must be one copy of each.
func (k known) retryAll(l *log.Log, found []record.Batch) error {
	end := l.LogEndOffset()
	if differs(found, k.content, k.cleaned, l.LogStartOffset(), end) != "" {
		return nil // the crash took back a cut, or left a batch that was refused: other histories, told elsewhere
	}
	for _, s := range k.content {
		present := s.NextOffset() <= end
		if present && s.IsControl() {
			continue // a second one would be appended
		}
		appended, err := l.Append(slices.Clone(s.Batch), s.options())
		switch {
		case err == nil && present && !appended.Duplicate:
			return broken("a second copy of the batch at %d went to %d", s.BaseOffset(), appended.BaseOffset)
		case err == nil && appended.BaseOffset != s.BaseOffset():
			return broken("the retry of the batch at %d is said to be at %d", s.BaseOffset(), appended.BaseOffset)
		case err != nil && !present:
			return broken("the retry of the lost batch at %d: %v", s.BaseOffset(), err)
		case err != nil && !errors.Is(err, log.ErrOutOfOrderSequence):
			return broken("the retry of the batch at %d: %v", s.BaseOffset(), err)
		case err != nil && lastOfProducer(k.content, s, end):
			return broken("the retry of producer %d's newest batch, at %d: %v", s.ProducerID(), s.BaseOffset(), err)
		}
	}
	if _, err := l.Sync(); err != nil {
		return err
	}
	all, err := readAll(l, 1)
	if err != nil {
		return err
	}
	if reason := differs(all, k.content, k.cleaned, l.LogStartOffset(), max(endOf(k.content), l.LogStartOffset())); reason != "" {
		return broken("after all retries: %s", reason)
	}
	return nil
}

// lastOfProducer says whether s is the last batch of its producer below end.
func lastOfProducer(content []stored, s stored, end int64) bool {
	for _, other := range content {
		if other.BaseOffset() > s.BaseOffset() && other.NextOffset() <= end && other.ProducerID() == s.ProducerID() && !other.IsControl() {
			return false
		}
	}
	return true
}
