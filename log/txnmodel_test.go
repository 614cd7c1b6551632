package log

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/millrace/millrace/internal/disk"
	"github.com/millrace/millrace/log/record"
)

// TestTransactionsAreAFoldOfTheLog drives a log with transactions beside a plain list of what was appended, from which everything
// is worked out anew for each question: what is stable, what was aborted, and what a reader of the committed gets to see.
func TestTransactionsAreAFoldOfTheLog(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &txnModel{disk: disk.NewCrashable(rapid.Uint64().Draw(t, "seed")), options: testOptions(nil)}
		m.must(t, errors.Join(m.disk.MkdirAll("/data"), m.disk.SyncDir("/")))
		m.options.Config.SegmentBytes = rapid.Int64Range(300, 3000).Draw(t, "segment bytes")
		m.options.Config.Direct = rapid.Bool().Draw(t, "direct")
		m.options.Config.Compacted = rapid.Bool().Draw(t, "compacted")
		m.options.Config.DeleteRetentionMs = rapid.Int64Range(0, 3000).Draw(t, "delete retention ms")
		m.options.Config.RetentionMs = -1
		m.withoutHints = rapid.Bool().Draw(t, "without hints")
		m.open(t)
		t.Repeat(map[string]func(*rapid.T){
			"append":        m.append,
			"append too":    m.append,
			"end":           m.end,
			"refused":       m.refused,
			"roll":          func(t *rapid.T) { m.must(t, m.log.Roll(m.nowMs)) },
			"truncate":      m.truncate,
			"delete before": m.deleteBefore,
			"retain":        m.retain,
			"compact":       m.compact,
			"reopen":        m.reopen,
			"crash":         m.crash,
			"":              m.check,
		})
	})
}

// modelBatch is one batch as it was appended.
type modelBatch struct {
	first, last   int64
	producer      int64 // -1: none
	epoch         int16
	sequence      int32
	transactional bool
	control       bool
	abort         bool
	keys          []string // of the records; their values are their offsets
}

// modelTxn is one transaction, as a walk over all batches finds it.
type modelTxn struct {
	producer, first, last int64 // last is the marker's, MaxInt64: open
	abort                 bool
}

type txnModel struct {
	disk      *disk.Mem
	options   Options
	log       *Log
	nowMs     int64
	batches   []modelBatch
	committed int64
	compacted bool
	cleaned   int64 // where the log ended at the last compaction

	withoutHints bool // the log is opened without producer snapshots and transaction indexes
}

func (m *txnModel) must(t *rapid.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (m *txnModel) open(t *rapid.T) {
	m.options.FS, m.options.NowMs = m.disk, m.nowMs
	l, _, err := Open(m.options)
	m.must(t, err)
	m.log, m.committed = l, l.LogEndOffset()
}

// transactions are all that were ever begun, by first offset.
func (m *txnModel) transactions() (all []modelTxn) {
	open := map[int64]int{}
	for _, b := range m.batches {
		at, isOpen := open[b.producer]
		switch {
		case b.control && isOpen:
			all[at].last, all[at].abort = b.first, b.abort
			delete(open, b.producer)
		case b.transactional && !b.control && !isOpen:
			open[b.producer] = len(all)
			all = append(all, modelTxn{producer: b.producer, first: b.first, last: math.MaxInt64})
		}
	}
	return all
}

func (m *txnModel) isOpen(producer int64) bool {
	return slices.ContainsFunc(m.transactions(), func(x modelTxn) bool { return x.producer == producer && x.last == math.MaxInt64 })
}

// next is the epoch of a producer and the sequence that it must go on with.
func (m *txnModel) next(producer int64) (epoch int16, sequence int32) {
	for _, b := range m.batches {
		if b.producer != producer {
			continue
		}
		if b.epoch != epoch {
			epoch, sequence = b.epoch, 0
		}
		if !b.control && b.sequence >= 0 {
			sequence = b.sequence + int32(b.last-b.first) + 1
		}
	}
	return epoch, sequence
}

var txnKeys = []string{"a", "b", "c", "d", "e"}

func (m *txnModel) append(t *rapid.T) {
	m.nowMs += rapid.Int64Range(1, 500).Draw(t, "ms")
	b := modelBatch{first: m.log.LogEndOffset(), producer: rapid.Int64Range(-1, 3).Draw(t, "producer")}
	options := record.Options{Codec: record.Codec(rapid.IntRange(0, 1).Draw(t, "codec") * 3)}
	internal := rapid.IntRange(0, 4).Draw(t, "internal") == 0
	if b.producer >= 0 {
		b.epoch, b.sequence = m.next(b.producer)
		b.transactional = m.isOpen(b.producer) || rapid.IntRange(0, 4).Draw(t, "transactional") > 0
		if internal {
			b.sequence = record.NoSequence
		}
		options.Transactional = b.transactional
		options.Producer = &record.Producer{ID: b.producer, Epoch: b.epoch, BaseSequence: b.sequence}
	}
	builder := record.NewBuilder(options)
	for i := range rapid.IntRange(1, 4).Draw(t, "records") {
		key := rapid.SampledFrom(txnKeys).Draw(t, "key")
		b.keys, b.last = append(b.keys, key), b.first+int64(i)
		builder.Add(m.nowMs, []byte(key), fmt.Append(nil, b.last))
	}
	built, err := builder.Build()
	m.must(t, err)
	appended, err := m.log.Append(slices.Clone(built), AppendOptions{NowMs: m.nowMs, Internal: internal})
	m.must(t, err)
	if appended.BaseOffset != b.first || appended.LastOffset != b.last || appended.Duplicate {
		t.Fatalf("appended %+v, expected %+v", appended, b)
	}
	m.batches = append(m.batches, b)
}

func (m *txnModel) end(t *rapid.T) {
	m.nowMs += rapid.Int64Range(1, 500).Draw(t, "ms")
	offset := m.log.LogEndOffset()
	b := modelBatch{first: offset, last: offset, producer: rapid.Int64Range(0, 3).Draw(t, "producer"), transactional: true, control: true}
	b.epoch, _ = m.next(b.producer)
	if newEpoch := rapid.Bool().Draw(t, "new epoch"); newEpoch {
		b.epoch++
	}
	marker := record.EndTxnMarker{Type: record.ControlCommit, ProducerID: b.producer, ProducerEpoch: b.epoch, TimestampMs: m.nowMs}
	if b.abort = rapid.Bool().Draw(t, "abort"); b.abort {
		marker.Type = record.ControlAbort
	}
	_, err := m.log.Append(marker.Batch(), AppendOptions{NowMs: m.nowMs, Internal: true})
	m.must(t, err)
	m.batches = append(m.batches, b)
}

// refused offers what an open transaction must not take.
func (m *txnModel) refused(t *rapid.T) {
	producer := rapid.Int64Range(0, 3).Draw(t, "producer")
	if !m.isOpen(producer) {
		return
	}
	epoch, sequence := m.next(producer)
	builder := record.NewBuilder(record.Options{Producer: &record.Producer{ID: producer, Epoch: epoch, BaseSequence: sequence}})
	builder.Add(m.nowMs, []byte("a"), nil)
	plain, err := builder.Build()
	m.must(t, err)
	if _, err := m.log.Append(slices.Clone(plain), AppendOptions{NowMs: m.nowMs}); !errors.Is(err, ErrInvalidTxnState) {
		t.Fatalf("batch outside the transaction: %v", err)
	}
	marker := record.EndTxnMarker{ProducerID: producer, ProducerEpoch: epoch, TimestampMs: m.nowMs}.Batch()
	if _, err := m.log.Append(marker, AppendOptions{NowMs: m.nowMs, Internal: true, NewEpochOnly: true}); !errors.Is(err, ErrInvalidProducerEpoch) {
		t.Fatalf("marker of the same epoch: %v", err)
	}
}

func (m *txnModel) truncate(t *rapid.T) {
	// What a compaction has taken for superseded is, and of a producer it leaves the newest batch that there was.
	to := rapid.Int64Range(max(m.log.LogStartOffset(), m.cleaned), m.log.LogEndOffset()).Draw(t, "offset")
	err := m.log.Truncate(to)
	if errors.Is(err, ErrOutOfRange) {
		return
	}
	m.must(t, err)
	end := m.log.LogEndOffset()
	m.batches = slices.DeleteFunc(m.batches, func(b modelBatch) bool { return b.first >= end })
	if n := len(m.batches); n > 0 && m.batches[n-1].last >= end {
		t.Fatalf("the log ends at %d, in %+v", end, m.batches[n-1])
	}
	m.committed = min(m.committed, end)
}

func (m *txnModel) deleteBefore(t *rapid.T) {
	if m.withoutHints {
		return // what had begun before the log does would be forgotten
	}
	m.must(t, m.log.DeleteBefore(rapid.Int64Range(0, m.committed).Draw(t, "offset")))
}

func (m *txnModel) retain(t *rapid.T) {
	if m.withoutHints {
		return
	}
	config := m.options.Config
	config.RetentionBytes = rapid.Int64Range(-1, 5000).Draw(t, "retention bytes")
	m.must(t, m.log.Configure(config))
	start := m.log.LogStartOffset()
	_, err := m.log.Retain(m.nowMs, m.committed)
	m.must(t, err)
	if kept := m.log.LogStartOffset(); kept > start && kept > m.unstable(m.committed) {
		t.Fatalf("retention moved the start from %d to %d, the first unstable offset is %d", start, kept, m.unstable(m.committed))
	}
	m.must(t, m.log.Configure(m.options.Config))
}

func (m *txnModel) compact(t *rapid.T) {
	if !m.options.Config.Compacted {
		return
	}
	m.compacted = true
	m.nowMs += rapid.Int64Range(0, 5000).Draw(t, "ms")
	m.cleaned = max(m.cleaned, m.log.LogEndOffset())
	_, err := m.log.Compact(CompactOptions{NowMs: m.nowMs, Before: min(m.committed, m.unstable(m.committed)),
		MapBytes: rapid.SampledFrom([]int64{1, 100, 1 << 20}).Draw(t, "map bytes")})
	m.must(t, err)
}

// reopen closes the log and opens it again, maybe with nothing but the batches to go by.
func (m *txnModel) reopen(t *rapid.T) {
	m.must(t, m.log.Close())
	_, findings, err := Verify(InspectOptions{FS: m.disk, Dir: testDir})
	m.must(t, err)
	for _, f := range findings {
		if f.Severity != Note {
			t.Fatalf("verify finds %+v", f)
		}
	}
	entries, err := m.disk.List(testDir)
	m.must(t, err)
	for _, e := range entries {
		name := filepath.Join(testDir, e.Name)
		switch ext := filepath.Ext(name); {
		case !m.withoutHints:
		case ext == producersSuffix:
			m.must(t, m.disk.Remove(name))
		case ext == txnIndexSuffix:
			m.must(t, disk.WriteAtomic(m.disk, name, nil))
		}
	}
	m.open(t)
}

func (m *txnModel) crash(t *rapid.T) {
	_, err := m.log.Sync()
	m.must(t, err)
	survives := rapid.SampledFrom([]disk.Survival{disk.SurvivesNothing, disk.SurvivesEverything, disk.SurvivesSome}).Draw(t, "survives")
	m.disk = m.disk.CrashCopy(disk.Crash{Data: survives, Names: survives, Seed: rapid.Uint64().Draw(t, "crash seed")})
	m.open(t)
}

// unstable is FirstUnstable but for the log start.
func (m *txnModel) unstable(committed int64) int64 {
	first := int64(math.MaxInt64)
	for _, x := range m.transactions() {
		if x.last >= committed {
			first = min(first, x.first)
		}
	}
	return first
}

func (m *txnModel) check(t *rapid.T) {
	start, end := m.log.LogStartOffset(), m.log.LogEndOffset()
	m.committed = max(m.committed, start)
	for step := rapid.Int64Range(0, 6).Draw(t, "committed meanwhile"); ; step-- {
		expected := max(m.unstable(m.committed), start)
		if first := m.log.FirstUnstable(m.committed); first != expected {
			t.Fatalf("first unstable offset with %d committed: %d, expected %d", m.committed, first, expected)
		}
		if step == 0 || m.committed == end {
			break
		}
		for _, b := range m.batches {
			if b.last >= m.committed {
				m.committed = b.last + 1
				break
			}
		}
	}
	for producer := range int64(4) {
		if _, open := m.log.OpenTransaction(producer); open != m.isOpen(producer) {
			t.Fatalf("producer %d has an open transaction: %v", producer, open)
		}
	}
	stable := min(m.committed, m.log.FirstUnstable(m.committed))
	for from := max(start, stable-12); from <= stable; from++ {
		m.checkReader(t, from, stable)
		for to := from; to <= stable+2; to++ {
			m.checkAborted(t, from, to)
		}
	}
	m.checkReader(t, start, stable)
	m.checkAborted(t, start, stable)
}

// checkAborted asks for what was aborted in [from, to). A compacted log may know less of what has no record any more.
func (m *txnModel) checkAborted(t *rapid.T, from, to int64) {
	var expected []AbortedTransaction
	for _, x := range m.transactions() {
		if x.abort && x.first < to && x.last >= from {
			expected = append(expected, AbortedTransaction{x.producer, x.first, x.last})
		}
	}
	aborted, err := m.log.AbortedTransactions(from, to)
	m.must(t, err)
	if !m.compacted {
		if !slices.Equal(aborted, expected) {
			t.Fatalf("aborted in [%d, %d): %+v, expected %+v", from, to, aborted, expected)
		}
		return
	}
	for _, a := range aborted {
		if !slices.ContainsFunc(expected, func(e AbortedTransaction) bool {
			return e.ProducerID == a.ProducerID && e.LastOffset == a.LastOffset && e.FirstOffset <= a.FirstOffset
		}) {
			t.Fatalf("aborted in [%d, %d): %+v, of %+v", from, to, a, expected)
		}
	}
}

// checkReader reads [from, stable) as a client does that wants what is committed.
func (m *txnModel) checkReader(t *rapid.T, from, stable int64) {
	expected := map[int64]string{}
	all := m.transactions()
	for _, b := range m.batches {
		void := b.control || b.transactional && slices.ContainsFunc(all, func(x modelTxn) bool {
			return x.abort && x.producer == b.producer && x.first <= b.first && b.first < x.last
		})
		for i, key := range b.keys {
			if offset := b.first + int64(i); !void && offset >= from && offset < stable {
				expected[offset] = key
			}
		}
	}
	seen := m.read(t, from, stable)
	for offset, key := range seen {
		if expected[offset] != key {
			t.Fatalf("from %d to %d the reader sees offset %d: %q, expected %q", from, stable, offset, key, expected[offset])
		}
	}
	if m.compacted {
		seen, expected = newestOf(seen), newestOf(expected)
	}
	if !maps.Equal(seen, expected) {
		t.Fatalf("from %d to %d the reader sees %v, expected %v", from, stable, seen, expected)
	}
}

// newestOf leaves the last offset of each key.
func newestOf(records map[int64]string) map[int64]string {
	last := map[string]int64{}
	for offset, key := range records {
		last[key] = max(last[key], offset)
	}
	newest := map[int64]string{}
	for key, offset := range last {
		newest[offset] = key
	}
	return newest
}

// read returns the keys of the records that a client sees, which is told what was aborted in what it reads, as in Kafka's fetch.
func (m *txnModel) read(t *rapid.T, from, stable int64) map[int64]string {
	seen := map[int64]string{}
	aborted, err := m.log.AbortedTransactions(from, stable)
	m.must(t, err)
	void := map[int64]bool{}
	for at := from; at < stable; {
		r, err := m.log.Read(at, stable, 1<<20, true)
		m.must(t, err)
		if r == nil {
			break
		}
		data := make([]byte, r.Size())
		_, err = r.ReadAt(data, 0)
		m.must(t, err)
		at = r.NextOffset()
		r.Release()
		for len(data) > 0 {
			var b record.Batch
			b, data, err = record.Next(data)
			m.must(t, err)
			for len(aborted) > 0 && aborted[0].FirstOffset <= b.LastOffset() {
				void[aborted[0].ProducerID] = true
				aborted = aborted[1:]
			}
			if b.IsControl() {
				if kind, err := b.ControlType(); err == nil && kind == record.ControlAbort {
					delete(void, b.ProducerID())
				}
				continue
			}
			if b.IsTransactional() && void[b.ProducerID()] {
				continue
			}
			reader, err := b.Records(1 << 20)
			m.must(t, err)
			for reader.Next() {
				if reader.Offset() >= from {
					seen[reader.Offset()] = string(reader.Record().Key)
				}
			}
		}
	}
	return seen
}
