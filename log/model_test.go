package log_test

import (
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/millrace/millrace/internal/disk"
	"github.com/millrace/millrace/log"
	"github.com/millrace/millrace/log/record"
)

// TestLogIsASliceOfBatches drives a log and a plain slice with the same random calls, crashes among them.
func TestLogIsASliceOfBatches(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		config := crashConfig()
		config.Direct = rapid.Bool().Draw(t, "direct")
		m := &modelled{disk: newDisk(rapid.Uint64().Draw(t, "seed")), ledger: newLedger(config), config: config}
		m.config.SegmentBytes = rapid.Int64Range(400, 4000).Draw(t, "segment bytes")
		m.config.IndexIntervalBytes = rapid.Int64Range(0, 1000).Draw(t, "index interval")
		m.config.Preallocate = rapid.Bool().Draw(t, "preallocate")
		m.open(t)
		t.Repeat(map[string]func(*rapid.T){
			"append":        m.append,
			"append again":  m.appendAgain,
			"append a gap":  m.appendGap,
			"sync":          m.sync,
			"roll":          func(t *rapid.T) { m.must(t, m.log.Roll(m.nowMs())) },
			"truncate":      m.truncate,
			"delete before": m.deleteBefore,
			"retain":        m.retain,
			"read":          m.read,
			"look up":       m.lookUp,
			"close":         m.close,
			"crash":         m.crash,
			"":              m.check,
		})
	})
}

// modelled is a log beside the slice that it should be.
type modelled struct {
	*ledger
	disk   *disk.Mem
	log    *log.Log
	config log.Config
	epoch  int32
}

func (m *modelled) must(t *rapid.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (m *modelled) open(t *rapid.T) {
	l, _, err := openLog(m.disk, m.config)
	m.must(t, err)
	m.log = l
	m.must(t, m.adopt(l))
}

// nowMs is a time after all batches so far.
func (m *modelled) nowMs() int64 { return int64(m.built+1) * 1000 }

func (m *modelled) append(t *rapid.T) {
	if rapid.IntRange(0, 9).Draw(t, "new epoch") == 0 {
		m.epoch++
	}
	b := m.buildAt(rapid.Int64Range(1, 3).Draw(t, "producer"), rapid.IntRange(1, 4).Draw(t, "records"),
		rapid.IntRange(0, 300).Draw(t, "value bytes"), m.nowMs()-rapid.Int64Range(0, 5000).Draw(t, "late ms"))
	m.must(t, m.ledger.append(m.log, b, m.epoch))
}

// recent returns the last batches of a producer that the log must recognise, newest first.
func (m *modelled) recent(producer int64) (recent []stored) {
	for _, s := range slices.Backward(m.known().content) {
		if s.ProducerID() == producer && len(recent) < 5 {
			recent = append(recent, s)
		}
	}
	return recent
}

func (m *modelled) appendAgain(t *rapid.T) {
	recent := m.recent(rapid.Int64Range(1, 3).Draw(t, "producer"))
	if len(recent) == 0 {
		return
	}
	s := rapid.SampledFrom(recent).Draw(t, "batch")
	appended, err := m.log.Append(slices.Clone(s.Batch), log.AppendOptions{NowMs: m.nowMs(), LeaderEpoch: m.epoch})
	m.must(t, err)
	if !appended.Duplicate || appended.BaseOffset != s.BaseOffset() || appended.LastOffset != s.LastOffset() {
		t.Fatalf("repeat of the batch at [%d, %d]: %+v", s.BaseOffset(), s.LastOffset(), appended)
	}
}

func (m *modelled) appendGap(t *rapid.T) {
	producer := rapid.Int64Range(1, 3).Draw(t, "producer")
	if len(m.recent(producer)) == 0 {
		return // to a producer that it does not know the log grants any beginning
	}
	next := m.sequences[producer]
	m.sequences[producer] = next + 1
	b := m.build(producer, 1, 10)
	m.sequences[producer] = next
	if _, err := m.log.Append(b, log.AppendOptions{NowMs: m.nowMs(), LeaderEpoch: m.epoch}); !errors.Is(err, log.ErrOutOfOrderSequence) {
		t.Fatalf("sequence %d after %d: %v", next+1, next-1, err)
	}
}

func (m *modelled) sync(t *rapid.T) { m.must(t, m.ledger.sync(m.log)) }

func (m *modelled) offset(t *rapid.T, from, to int64) int64 {
	return rapid.Int64Range(from, to).Draw(t, "offset")
}

func (m *modelled) truncate(t *rapid.T) {
	start := m.log.LogStartOffset()
	to := m.offset(t, start, m.log.LogEndOffset())
	if batches, i := m.readable(to); i >= 0 && batches[i].BaseOffset() < start {
		if err := m.log.Truncate(to); !errors.Is(err, log.ErrOutOfRange) {
			t.Fatalf("truncate to %d, in the batch at %d, log start %d: %v", to, batches[i].BaseOffset(), start, err)
		}
		return
	}
	m.must(t, m.ledger.truncate(m.log, to))
}

func (m *modelled) deleteBefore(t *rapid.T) {
	offset := m.offset(t, 0, m.log.LogEndOffset())
	m.must(t, m.ledger.deleteBefore(m.log, offset))
	m.promise(min(offset, m.log.DurableOffset()))
}

func (m *modelled) retain(t *rapid.T) {
	config := m.config
	config.RetentionBytes = rapid.Int64Range(-1, 8000).Draw(t, "retention bytes")
	config.RetentionMs = rapid.Int64Range(-1, 20_000).Draw(t, "retention ms")
	config.Direct = rapid.Bool().Draw(t, "direct meanwhile")
	m.must(t, m.log.Configure(config))
	m.must(t, m.ledger.retain(m.log, m.nowMs()))
	m.must(t, m.log.Configure(m.config))
}

func (m *modelled) close(t *rapid.T) {
	start := m.log.LogStartOffset()
	m.must(t, m.ledger.close(m.log))
	m.open(t)
	if m.log.LogStartOffset() != start {
		t.Fatalf("log start %d after it was closed at %d", m.log.LogStartOffset(), start)
	}
}

func (m *modelled) crash(t *rapid.T) {
	survivals := []disk.Survival{disk.SurvivesNothing, disk.SurvivesEverything, disk.SurvivesPrefix, disk.SurvivesSome}
	loss := disk.Crash{
		Data:  rapid.SampledFrom(survivals).Draw(t, "data"),
		Names: rapid.SampledFrom(survivals).Draw(t, "names"),
		Torn:  rapid.Bool().Draw(t, "torn"),
		Seed:  rapid.Uint64().Draw(t, "crash seed"),
	}
	if rapid.Bool().Draw(t, "kill only") {
		m.disk = m.disk.KillCopy()
	} else {
		m.disk = m.disk.CrashCopy(loss)
	}
	m.open(t)
}

// check holds the log as a whole against the slice.
func (m *modelled) check(t *rapid.T) {
	k := m.known()
	start, end := m.log.LogStartOffset(), m.log.LogEndOffset()
	if end != max(k.end(), start) || m.log.DurableOffset() < k.durable || start < k.startMin || start > k.startMax {
		t.Fatalf("log [%d, %d) durable to %d, known: end %d, durable %d, start within [%d, %d]",
			start, end, m.log.DurableOffset(), k.end(), k.durable, k.startMin, k.startMax)
	}
	found, err := readAll(m.log, 1<<20)
	m.must(t, err)
	if reason := differs(found, k.content, k.cleaned, start, end); reason != "" {
		t.Fatal(reason)
	}
}

// readable is the batches that a read may return, and the index in it of the one that contains the offset from.
func (m *modelled) readable(from int64) (batches []record.Batch, first int) {
	start := m.log.LogStartOffset()
	first = -1
	for _, s := range m.known().content {
		if s.NextOffset() <= start {
			continue
		}
		if first < 0 && s.NextOffset() > from {
			first = len(batches)
		}
		batches = append(batches, s.Batch)
	}
	return batches, first
}

func (m *modelled) read(t *rapid.T) {
	start, end := m.log.LogStartOffset(), m.log.LogEndOffset()
	from, to := m.offset(t, max(start-2, 0), end+2), m.offset(t, start, end)
	maxBytes, atLeastOne := rapid.IntRange(0, 3000).Draw(t, "max bytes"), rapid.Bool().Draw(t, "at least one")
	r, err := m.log.Read(from, to, maxBytes, atLeastOne)
	if from < start || from > end {
		if !errors.Is(err, log.ErrOutOfRange) {
			t.Fatalf("read at %d of [%d, %d): %v", from, start, end, err)
		}
		return
	}
	m.must(t, err)
	batches, first := m.readable(from)
	fits := from < to && first >= 0 && batches[first].NextOffset() <= to && (atLeastOne || len(batches[first]) <= maxBytes)
	if r == nil {
		if fits {
			t.Fatalf("read of [%d, %d) up to %d bytes returned nothing", from, to, maxBytes)
		}
		return
	}
	defer r.Release()
	if !fits {
		t.Fatalf("read of [%d, %d) up to %d bytes returned %d bytes", from, to, maxBytes, r.Size())
	}
	data := make([]byte, r.Size())
	_, err = r.ReadAt(data, 0)
	m.must(t, err)
	for i := first; len(data) > 0; i++ {
		var b record.Batch
		b, data, err = record.Next(data)
		m.must(t, err)
		if !slices.Equal(b, batches[i]) || b.NextOffset() > to || i > first && r.Size() > maxBytes {
			t.Fatalf("read of [%d, %d) up to %d bytes returned %d bytes, wrong from batch %d at %d on",
				from, to, maxBytes, r.Size(), i-first, b.BaseOffset())
		}
	}
}

func (m *modelled) lookUp(t *rapid.T) {
	batches, _ := m.readable(0)
	m.must(t, checkLookups(m.log, batches))
	wanted := rapid.Int64Range(-5000, m.nowMs()).Draw(t, "timestamp")
	found, ok, err := m.log.OffsetForTimestamp(wanted)
	m.must(t, err)
	i := slices.IndexFunc(batches, func(b record.Batch) bool { return b.MaxTimestampMs() >= wanted })
	if ok != (i >= 0) {
		t.Fatalf("timestamp %d: found %+v, %v; there is one: %v", wanted, found, ok, i >= 0)
	}
	if ok && (found.Offset != max(batches[i].BaseOffset(), m.log.LogStartOffset()) || found.TimestampMs != batches[i].MaxTimestampMs()) {
		t.Fatalf("timestamp %d is at offset %d: found %+v", wanted, batches[i].BaseOffset(), found)
	}
}
