package log_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/millrace/millrace/internal/disk"
	"github.com/millrace/millrace/log"
	"github.com/millrace/millrace/log/record"
)

// TestCompactionKeepsTheLastRecordOfEachKey drives a log that is compacted again and again beside a list of all that was ever
// appended to it.
func TestCompactionKeepsTheLastRecordOfEachKey(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		config := crashConfig()
		config.Compacted = rapid.Bool().Draw(t, "compacted from the start")
		config.Direct = rapid.Bool().Draw(t, "direct")
		config.SegmentBytes = rapid.Int64Range(300, 3000).Draw(t, "segment bytes")
		config.DeleteRetentionMs = rapid.Int64Range(0, 20_000).Draw(t, "delete retention ms")
		config.RetentionMs, config.RetentionBytes = -1, -1
		m := &cleanedModel{disk: newDisk(rapid.Uint64().Draw(t, "seed")), config: config, nowMs: 1000,
			sequences: map[int64]int32{}, newest: map[int64]int32{}, met: map[int64]int64{}}
		m.open(t)
		t.Repeat(map[string]func(*rapid.T){
			"append": m.append,
			"roll":   func(t *rapid.T) { m.must(t, m.log.Roll(m.nowMs)) },
			"compact": func(t *rapid.T) {
				m.compact(t, rapid.SampledFrom([]int64{1, 100, 200, 1 << 20}).Draw(t, "map bytes"))
			},
			"compact all":   m.compactAll,
			"later":         func(t *rapid.T) { m.nowMs += rapid.Int64Range(1, 30_000).Draw(t, "ms") },
			"delete before": m.deleteBefore,
			"retain":        m.retain,
			"reopen":        m.reopen,
			"":              m.check,
		})
	})
}

// cleanedModel is a log beside all the records that it ever had.
type cleanedModel struct {
	disk      *disk.Mem
	log       *log.Log
	config    log.Config
	nowMs     int64
	all       []kept  // by offset
	bases     []int64 // of their batches, by offset
	sequences map[int64]int32
	newest    map[int64]int32 // last sequence of each producer
	dirty     int64           // no compaction has gone beyond
	met       map[int64]int64 // when a compaction first went into the batch of the tombstone at an offset
}

func (m *cleanedModel) must(t *rapid.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (m *cleanedModel) open(t *rapid.T) {
	l, _, err := log.Open(log.Options{FS: m.disk, Dir: logDir, Config: m.config, NowMs: m.nowMs})
	m.must(t, err)
	m.log = l
}

var modelKeys = []string{"a", "b", "c", "d", "e", "f", "g", "h", "", "a key that is rather long and has nothing in common with the others"}

func (m *cleanedModel) append(t *rapid.T) {
	m.nowMs += rapid.Int64Range(0, 500).Draw(t, "ms")
	options := record.Options{Codec: record.Codec(rapid.IntRange(0, 4).Draw(t, "codec"))}
	id := rapid.Int64Range(-1, 3).Draw(t, "producer")
	if id >= 0 {
		options.Producer = &record.Producer{ID: id, BaseSequence: m.sequences[id]}
	}
	builder := record.NewBuilder(options)
	offset := m.log.LogEndOffset()
	count := rapid.IntRange(1, 6).Draw(t, "records")
	for i := range count {
		key := rapid.SampledFrom(modelKeys).Draw(t, "key")
		var value []byte
		if rapid.IntRange(0, 3).Draw(t, "tombstone") > 0 {
			value = append(fmt.Appendf(nil, "value %d ", offset), bytes.Repeat([]byte("x"), rapid.IntRange(0, 100).Draw(t, "value bytes"))...)
		}
		timestampMs := m.nowMs + int64(rapid.IntRange(-50, 50).Draw(t, "timestamp"))
		builder.Add(timestampMs, []byte(key), value, record.Header{Key: []byte("h")})
		m.bases = append(m.bases, m.log.LogEndOffset())
		m.all = append(m.all, kept{offset, timestampMs, key, string(value), value == nil})
		offset++
		if id >= 0 {
			m.newest[id] = m.sequences[id] + int32(i)
		}
	}
	b, err := builder.Build()
	m.must(t, err)
	if id >= 0 {
		m.sequences[id] += int32(count)
	}
	_, err = m.log.Append(slices.Clone(b), log.AppendOptions{NowMs: m.nowMs})
	m.must(t, err)
	_, err = m.log.Sync()
	m.must(t, err)
}

func (m *cleanedModel) compact(t *rapid.T, mapBytes int64) log.Compaction {
	before := rapid.Int64Range(0, m.log.LogEndOffset()).Draw(t, "before")
	return m.compactTo(t, before, mapBytes)
}

func (m *cleanedModel) compactTo(t *rapid.T, before, mapBytes int64) log.Compaction {
	found, err := m.log.Cleanable(m.nowMs, before)
	m.must(t, err)
	done, err := m.log.Compact(log.CompactOptions{NowMs: m.nowMs, Before: before, MapBytes: mapBytes})
	m.must(t, err)
	if done.To > max(before, m.dirty, m.log.LogStartOffset()) || done.To > found.End && done.To > found.FirstDirty {
		t.Fatalf("compaction before %d of %+v: %+v", before, found, done)
	}
	if found.DirtyBytes > 0 && done.To <= found.FirstDirty {
		t.Fatalf("no progress: %+v of %+v", done, found)
	}
	m.dirty = max(m.dirty, done.To)
	for _, r := range m.all {
		if _, known := m.met[r.offset]; m.bases[r.offset] < done.To && r.tombstone && !known {
			m.met[r.offset] = m.nowMs
		}
	}
	return done
}

// compactAll compacts until nothing is left to do. Then no key has two records below.
func (m *cleanedModel) compactAll(t *rapid.T) {
	before := m.log.LogEndOffset()
	for {
		m.compactTo(t, before, 150)
		found, err := m.log.Cleanable(m.nowMs, before)
		m.must(t, err)
		if found.DirtyBytes == 0 {
			break
		}
	}
	found, err := m.log.Cleanable(m.nowMs, before)
	m.must(t, err)
	seen := map[string]int64{}
	for _, r := range m.read(t) {
		if previous, twice := seen[r.key]; twice && r.offset < found.FirstDirty && previous != m.log.LogEndOffset()-1 {
			t.Fatalf("key %q at %d and %d, compacted up to %d", r.key, previous, r.offset, found.FirstDirty)
		}
		seen[r.key] = r.offset
	}
}

func (m *cleanedModel) deleteBefore(t *rapid.T) {
	m.must(t, m.log.DeleteBefore(rapid.Int64Range(0, m.log.LogEndOffset()).Draw(t, "offset")))
}

func (m *cleanedModel) retain(t *rapid.T) {
	config := m.config
	config.RetentionMs = rapid.Int64Range(0, 30_000).Draw(t, "retention ms")
	m.must(t, m.log.Configure(config))
	_, err := m.log.Retain(m.nowMs, m.log.LogEndOffset())
	m.must(t, err)
	m.must(t, m.log.Configure(m.config))
}

// reopen opens the log after it was closed, or after a crash.
func (m *cleanedModel) reopen(t *rapid.T) {
	m.config.Compacted = rapid.Bool().Draw(t, "compacted")
	switch rapid.IntRange(0, 2).Draw(t, "how") {
	case 0:
		m.must(t, m.log.Close())
	case 1:
		m.disk = m.disk.KillCopy()
	default:
		m.disk = m.disk.CrashCopy(disk.Crash{Data: disk.SurvivesSome, Names: disk.SurvivesSome, Torn: true, Seed: rapid.Uint64().Draw(t, "crash seed")})
	}
	m.verify(t) // as it is left, and as the next start puts it in order
	m.open(t)
	m.verify(t)
}

func (m *cleanedModel) verify(t *rapid.T) {
	_, findings, err := log.Verify(log.InspectOptions{FS: m.disk, Dir: logDir})
	m.must(t, err)
	for _, f := range findings {
		if f.Severity == log.Damage {
			t.Fatalf("%+v", f)
		}
	}
}

// read returns the records of the log, and holds what goes with the batches against what is known.
func (m *cleanedModel) read(t *rapid.T) (all []kept) {
	batches, err := readAll(m.log, 1<<20)
	m.must(t, err)
	for _, b := range batches {
		records, err := recordsOf(b)
		m.must(t, err)
		for _, r := range records {
			if r.offset >= m.log.LogStartOffset() {
				all = append(all, r)
			}
		}
	}
	return all
}

func (m *cleanedModel) check(t *rapid.T) {
	start, end := m.log.LogStartOffset(), m.log.LogEndOffset()
	if end != int64(len(m.all)) {
		t.Fatalf("log end %d, appended %d", end, len(m.all))
	}
	present := map[int64]bool{}
	var found []kept
	for _, r := range m.read(t) {
		if m.all[r.offset] != r {
			t.Fatalf("%+v where %+v was appended", r, m.all[r.offset])
		}
		present[r.offset] = true
		found = append(found, r)
	}
	last := map[string]int64{}
	for _, r := range m.all[start:] {
		last[r.key] = r.offset
	}
	for _, r := range m.all[start:] {
		if present[r.offset] {
			continue
		}
		metMs, met := m.met[r.offset]
		switch {
		case r.offset >= m.dirty:
			t.Fatalf("%+v is gone, compacted up to %d", r, m.dirty)
		case last[r.key] != r.offset: // superseded
		case !r.tombstone:
			t.Fatalf("%+v is gone, the newest of its key", r)
		case !met || m.nowMs < metMs+m.config.DeleteRetentionMs:
			t.Fatalf("tombstone %+v is gone at %d, met at %d, retention %d", r, m.nowMs, metMs, m.config.DeleteRetentionMs)
		}
	}
	// A tombstone that is gone has taken all before it along.
	state, want := map[string]string{}, map[string]string{}
	fold(state, found)
	fold(want, m.all[start:])
	if fmt.Sprint(state) != fmt.Sprint(want) {
		t.Fatalf("state %v\nwant %v", state, want)
	}
	for _, p := range m.log.Producers() {
		if p.LastSequence != m.newest[p.ID] {
			t.Fatalf("producer %+v, last sequence %d", p, m.newest[p.ID])
		}
	}
	m.lookUp(t, found)
}

func fold(state map[string]string, records []kept) {
	for _, r := range records {
		if r.tombstone {
			delete(state, r.key)
		} else {
			state[r.key] = r.value
		}
	}
}

// lookUp reads from an offset and asks for a time.
func (m *cleanedModel) lookUp(t *rapid.T, found []kept) {
	start, end := m.log.LogStartOffset(), m.log.LogEndOffset()
	if start == end {
		return
	}
	from := rapid.Int64Range(start, end-1).Draw(t, "from")
	r, err := m.log.Read(from, end, 1, true)
	m.must(t, err)
	if r == nil {
		t.Fatalf("nothing at or after %d of [%d, %d)", from, start, end)
	}
	defer r.Release()
	data := make([]byte, r.Size())
	_, err = r.ReadAt(data, 0)
	m.must(t, err)
	if b := record.Batch(data); b.LastOffset() < from || r.NextOffset() <= from {
		t.Fatalf("read at %d returned [%d, %d], next %d", from, b.BaseOffset(), b.LastOffset(), r.NextOffset())
	} else if i := slices.IndexFunc(found, func(r kept) bool { return r.offset >= from }); i >= 0 && found[i].offset < b.BaseOffset() {
		t.Fatalf("read at %d returned [%d, %d], there is a record at %d", from, b.BaseOffset(), b.LastOffset(), found[i].offset)
	}
	wantedMs := rapid.Int64Range(0, m.nowMs+60).Draw(t, "timestamp")
	got, ok, err := m.log.OffsetForTimestamp(wantedMs)
	m.must(t, err)
	i := slices.IndexFunc(found, func(r kept) bool { return r.timestampMs >= wantedMs })
	if ok != (i >= 0) || ok && (got.Offset != found[i].offset || got.TimestampMs != found[i].timestampMs) {
		t.Fatalf("timestamp %d: %+v, %v; record %d of %v", wantedMs, got, ok, i, found)
	}
	newest, ok, err := m.log.MaxTimestamp()
	m.must(t, err)
	if len(found) == 0 || start > 0 { // inside a batch, its largest may lie before the start
		return
	}
	want := slices.MaxFunc(found, func(a, b kept) int { return int(a.timestampMs - b.timestampMs) })
	if !ok || newest.TimestampMs != want.timestampMs {
		t.Fatalf("largest timestamp %+v, %v; %+v", newest, ok, want)
	}
}

var errStop = errors.New("stop")

// TestCompactionThatIsStoppedChangesNothing stops it at each step.
func TestCompactionThatIsStoppedChangesNothing(t *testing.T) {
	config := crashConfig()
	for steps := 0; ; steps++ {
		s := &script{ledger: newLedger(config), disk: newDisk(1)}
		s.open(config)
		s.appends(0, 900, 900, 900, 900, 900, 900)
		if s.note(s.sync(s.log)); len(s.errs) > 0 {
			t.Fatal(s.errs)
		}
		left := steps
		before, size := s.log.Segments(), s.log.Size()
		_, err := s.log.Compact(log.CompactOptions{Before: s.log.LogEndOffset(), MapBytes: 1 << 20, Pace: func(int) error {
			if left--; left < 0 {
				return errStop
			}
			return nil
		}})
		if err == nil {
			if s.log.Size() >= size || steps < 5 {
				t.Errorf("%d steps, %d bytes of %d", steps, s.log.Size(), size)
			}
			return
		}
		if !errors.Is(err, errStop) || s.log.Segments() > before || s.log.Err() != nil {
			t.Fatalf("step %d: %v, %d segments of %d, %v", steps, err, s.log.Segments(), before, s.log.Err())
		}
		if _, err := s.log.Compact(log.CompactOptions{Before: s.log.LogEndOffset(), MapBytes: 1 << 20}); err != nil || s.log.Size() >= size {
			t.Fatalf("again after step %d: %v, %d bytes of %d", steps, err, s.log.Size(), size)
		}
		if err := s.log.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
