package partition

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/millrace/millrace/internal/disk"
	"github.com/millrace/millrace/log"
	"github.com/millrace/millrace/log/record"
)

// modelTransaction is a transaction as a naive model has it.
type modelTransaction struct {
	producerID    int64
	first, marker int64 // marker: math.MaxInt64 while it is open
	aborted       bool
}

// modelRecord is a data record of the model's log.
type modelRecord struct {
	offset int64
	value  string
	txn    *modelTransaction // nil: plain
}

// modelProducer is a producer with what a late produce of it would come with.
type modelProducer struct {
	id       int64
	epoch    int16
	sequence int32
	open     *modelTransaction
	asked    *Verification // before its transaction was ended; nil: there is none
}

// modelled is a partition beside its model: every record, every transaction, and how much is committed.
type modelled struct {
	mem   *disk.Mem
	files *gate
	flush Flush
	p     *Partition
	held  bool // syncs wait

	syncing int64 // the end of what the sync that waits is about
	onDisk  int64 // the end of what was written when the last sync ran, which may be more than that one was about

	records      []modelRecord
	transactions []*modelTransaction
	producers    []*modelProducer
	start, end   int64
	committed    int64
	values       int
}

// TestReadsMatchANaiveModel: whatever several producers interleave, with syncs that are late, rolls, deletions, restarts and
// power cuts, at every offset near the last stable one a consumer of either isolation gets what a list of all records says
// (A07, A08, A17), and no late produce opens a transaction (A12).
func TestReadsMatchANaiveModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := &modelled{mem: disk.NewCrashable(rapid.Uint64().Draw(rt, "seed")), flush: Flush(rapid.IntRange(0, int(FlushOS)).Draw(rt, "flush"))}
		for id := int64(1); id <= 3; id++ {
			m.producers = append(m.producers, &modelProducer{id: id})
		}
		m.reopen(rt)
		defer func() {
			m.files.open()
			_ = m.p.Close()
		}()
		rt.Repeat(map[string]func(*rapid.T){
			"":        m.check,
			"plain":   m.plain,
			"write":   m.write,
			"write 2": m.write,
			"end":     m.endOne,
			"end 2":   m.endOne,
			"late":    m.late,
			"hold":    m.hold,
			"hold 2":  m.hold,
			"let go":  m.letGo,
			"let one": m.letOne,
			"one 2":   m.letOne,
			"roll":    m.roll,
			"delete":  m.deleteRecords,
			"restart": m.restart,
			"crash":   m.crash,
		})
		m.letGo(rt)
		for _, producer := range m.producers {
			if producer.open != nil {
				m.end1(rt, producer, record.ControlAbort)
			}
		}
		m.check(rt)
		if o := m.p.Offsets(); o.LastStable != o.HighWatermark {
			rt.Fatalf("all is decided, and %+v", o)
		}
	})
}

func (m *modelled) reopen(rt *rapid.T) {
	m.files = &gate{FS: m.mem, arrived: make(chan struct{}, 1)}
	m.files.mu.opened = make(chan struct{})
	config := DefaultConfig()
	config.Flush = m.flush
	config.Log.IndexIntervalBytes = 100
	m.p = Open(Options{
		Topic: "t", Config: config, LeaderEpoch: 5,
		Log: log.Options{FS: m.files, Dir: "/data/t-0", TopicID: [16]byte{1}, NowMs: nowMs},
	})
	for _, err := range []error{m.p.Err(), m.mem.SyncDir("/data"), m.mem.SyncDir("/")} { // whoever makes the directory syncs its name
		if err != nil {
			rt.Fatal(err)
		}
	}
	for _, producer := range m.producers {
		producer.asked = nil
	}
}

func (m *modelled) producer(rt *rapid.T) *modelProducer {
	return rapid.SampledFrom(m.producers).Draw(rt, "producer")
}

// newBatch has one to three records with values of their own.
func (m *modelled) newBatch(rt *rapid.T, options record.Options) (record.Batch, []string) {
	builder := record.NewBuilder(options)
	values := make([]string, rapid.IntRange(1, 3).Draw(rt, "records"))
	for i := range values {
		m.values++
		values[i] = fmt.Sprint(m.values)
		builder.Add(nowMs, nil, []byte(values[i]))
	}
	batch, err := builder.Build()
	if err != nil {
		rt.Fatal(err)
	}
	return batch, values
}

// appended takes an append into the model.
func (m *modelled) appended(rt *rapid.T, done log.Appended, err error, values []string, of *modelTransaction) {
	if err != nil || done.BaseOffset != m.end {
		rt.Fatalf("appended %+v, %v at log end %d", done, err, m.end)
	}
	for i, value := range values {
		m.records = append(m.records, modelRecord{m.end + int64(i), value, of})
	}
	m.end = done.LastOffset + 1
	m.settle(rt)
}

// settle waits for the commit of what is appended or, where syncs are held back, for the one that is about to make durable what
// is there so far.
func (m *modelled) settle(rt *rapid.T) {
	if !m.held || m.flush != FlushCommit {
		m.await(rt, m.end)
		return
	}
	if m.syncing == m.committed && m.end > m.committed {
		select {
		case <-m.files.arrived:
			m.syncing = m.end
		case <-time.After(time.Minute):
			rt.Fatal("no sync")
		}
	}
}

// await waits until the log is committed up to an offset.
func (m *modelled) await(rt *rapid.T, to int64) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := m.p.AwaitCommitted(ctx, to); err != nil {
		rt.Fatal(err)
	}
	m.committed, m.syncing, m.onDisk = to, to, m.end
}

// letOne lets one sync through: what was appended during it waits for the next one.
func (m *modelled) letOne(rt *rapid.T) {
	if !m.held || m.flush != FlushCommit || m.syncing == m.committed {
		return
	}
	m.files.letThrough()
	m.await(rt, m.syncing)
	m.settle(rt)
}

func (m *modelled) plain(rt *rapid.T) {
	var options record.Options
	if rapid.Bool().Draw(rt, "idempotent") {
		producer := m.producer(rt)
		options.Producer = &record.Producer{ID: producer.id, Epoch: producer.epoch, BaseSequence: producer.sequence}
		batch, values := m.newBatch(rt, options)
		done, err := m.p.Append(batch, nowMs, Client)
		if producer.open != nil {
			if !errors.Is(err, log.ErrInvalidTxnState) {
				rt.Fatalf("plain batch in a transaction: %v", err)
			}
			return
		}
		producer.sequence += int32(len(values))
		m.appended(rt, done, err, values, nil)
		return
	}
	batch, values := m.newBatch(rt, options)
	done, err := m.p.Append(batch, nowMs, Client)
	m.appended(rt, done, err, values, nil)
}

func (m *modelled) write(rt *rapid.T) {
	producer := m.producer(rt)
	v, err := m.p.BeginVerification(producer.id, producer.epoch, producer.sequence, false)
	if err != nil || (v == nil) != (producer.open != nil) {
		rt.Fatalf("verification %v, %v with transaction %+v", v, err, producer.open)
	}
	batch, values := m.newBatch(rt, record.Options{
		Producer:      &record.Producer{ID: producer.id, Epoch: producer.epoch, BaseSequence: producer.sequence},
		Transactional: true,
	})
	if producer.open == nil {
		producer.open = &modelTransaction{producerID: producer.id, first: m.end, marker: math.MaxInt64}
		m.transactions = append(m.transactions, producer.open)
	}
	producer.asked = v
	producer.sequence += int32(len(values))
	done, err := m.p.AppendInTransaction(batch, nowMs, Client, v)
	m.appended(rt, done, err, values, producer.open)
}

func (m *modelled) endOne(rt *rapid.T) {
	m.end1(rt, m.producer(rt), rapid.SampledFrom([]record.ControlType{record.ControlAbort, record.ControlCommit}).Draw(rt, "how"))
}

// end1 ends the transaction of a producer, or only fences; with or without a new epoch. Before, the producer asks once more.
func (m *modelled) end1(rt *rapid.T, producer *modelProducer, how record.ControlType) {
	v, err := m.p.BeginVerification(producer.id, producer.epoch, producer.sequence, false)
	if err != nil {
		rt.Fatal(err)
	}
	if v != nil {
		producer.asked = v
	}
	newEpoch := rapid.Bool().Draw(rt, "new epoch")
	if newEpoch {
		producer.epoch++
		producer.sequence = 0
	}
	at := m.end
	done, err := m.p.EndTransaction(marker(producer.id, producer.epoch, how), newEpoch, nowMs)
	if producer.open != nil {
		producer.open.marker, producer.open.aborted = at, how == record.ControlAbort
		producer.open = nil
	}
	m.appended(rt, done, err, nil, nil)
}

// late has a produce arrive that the coordinator agreed to before a marker.
func (m *modelled) late(rt *rapid.T) {
	producer := m.producer(rt)
	if producer.open != nil {
		return
	}
	batch, _ := m.newBatch(rt, record.Options{
		Producer:      &record.Producer{ID: producer.id, Epoch: producer.epoch, BaseSequence: producer.sequence},
		Transactional: true,
	})
	if _, err := m.p.AppendInTransaction(batch, nowMs, Client, producer.asked); !errors.Is(err, log.ErrInvalidTxnState) {
		rt.Fatalf("late produce: %v", err)
	}
}

func (m *modelled) hold(*rapid.T) {
	m.held = true
	m.files.shut()
}

func (m *modelled) letGo(rt *rapid.T) {
	m.held = false
	m.files.open()
	select {
	case <-m.files.arrived: // of a sync that was let go before it was waited for
	default:
	}
	m.settle(rt)
}

func (m *modelled) roll(rt *rapid.T) {
	if m.held {
		return // it would wait for its own syncs
	}
	if err := m.p.Roll(nowMs); err != nil {
		rt.Fatal(err)
	}
}

// deleteRecords moves the log start, also into the middle of a transaction that is open.
func (m *modelled) deleteRecords(rt *rapid.T) {
	if m.held || m.start == m.committed || rapid.IntRange(0, 3).Draw(rt, "rarely") > 0 {
		return
	}
	offset := rapid.Int64Range(m.start, m.committed).Draw(rt, "offset")
	if start, err := m.p.DeleteRecords(context.Background(), offset); err != nil || start != offset {
		rt.Fatalf("log start %d, %v, want %d", start, err, offset)
	}
	m.start = offset
}

func (m *modelled) restart(rt *rapid.T) {
	m.letGo(rt)
	if err := m.p.Close(); err != nil {
		rt.Fatal(err)
	}
	m.reopen(rt)
}

// crash cuts the power: what was not synced is gone. It is not for the modes that may lose more.
func (m *modelled) crash(rt *rapid.T) {
	if m.flush != FlushCommit {
		return
	}
	left := m.mem.CrashCopy(disk.Crash{Data: disk.SurvivesNothing, Names: disk.SurvivesNothing})
	m.files.open()
	if err := m.p.Abandon(); err != nil {
		rt.Fatal(err)
	}
	m.mem, m.held = left, false
	m.reopen(rt)
	m.end, m.committed, m.syncing = m.onDisk, m.onDisk, m.onDisk
	m.records = slices.DeleteFunc(m.records, func(r modelRecord) bool { return r.offset >= m.end })
	for _, producer := range m.producers {
		producer.open = nil
	}
	m.transactions = slices.DeleteFunc(m.transactions, func(x *modelTransaction) bool { return x.first >= m.end })
	for _, x := range m.transactions {
		if x.marker >= m.end {
			x.marker = math.MaxInt64
			m.producers[x.producerID-1].open = x
		}
	}
	m.resume(rt)
}

// resume makes producers go on as clients do after a loss: with a new epoch, once what is open is aborted.
func (m *modelled) resume(rt *rapid.T) {
	for _, producer := range m.producers {
		producer.epoch++
		producer.sequence = 0
		if producer.open != nil {
			done, err := m.p.EndTransaction(marker(producer.id, producer.epoch, record.ControlAbort), true, nowMs)
			producer.open.marker, producer.open.aborted, producer.open = m.end, true, nil
			m.appended(rt, done, err, nil, nil)
		}
	}
}

// lastStable is the definition, without any bookkeeping.
func (m *modelled) lastStable() int64 {
	stable := m.committed
	for _, x := range m.transactions {
		if x.marker >= m.committed {
			stable = min(stable, x.first)
		}
	}
	return max(stable, m.start)
}

func (m *modelled) check(rt *rapid.T) {
	o, stable := m.p.Offsets(), m.lastStable()
	if o.LogStart != m.start || o.LastStable != stable || o.HighWatermark != m.committed || o.LogEnd != m.end {
		rt.Fatalf("%+v, want log start %d, last stable offset %d, high watermark %d, log end %d", o, m.start, stable, m.committed, m.end)
	}
	for from := max(m.start, stable-8); from <= min(m.end, stable+8); from++ {
		m.checkRead(rt, from, ReadCommitted, stable)
		m.checkRead(rt, from, ReadUncommitted, m.committed)
	}
}

// checkRead reads from an offset, with room for all or for one batch, and compares.
func (m *modelled) checkRead(rt *rapid.T, from int64, isolation Isolation, end int64) {
	for _, maxBytes := range []int{1, 1 << 20} {
		r, _, err := m.p.Read(from, maxBytes, true, isolation)
		if err != nil || (r == nil) != (from >= end) {
			rt.Fatalf("read from %d with isolation %d: %v, %v, end %d", from, isolation, r, err, end)
		}
		if r == nil {
			continue
		}
		to := r.NextOffset()
		if to <= from || to > end {
			rt.Fatalf("read [%d, %d), end %d", from, to, end)
		}
		var aborted []log.AbortedTransaction
		if isolation == ReadCommitted {
			if aborted, err = m.p.Aborted(from, to); err != nil {
				rt.Fatal(err)
			}
			if want := m.abortedIn(from, to); !slices.Equal(aborted, want) {
				rt.Fatalf("aborted in [%d, %d): %v, want %v", from, to, aborted, want)
			}
		}
		if got, want := m.consume(rt, r, from, aborted), m.visible(from, to, isolation); !slices.Equal(got, want) {
			rt.Fatalf("isolation %d, [%d, %d): %q, want %q", isolation, from, to, got, want)
		}
	}
}

// abortedIn are the aborted transactions with a record, or the marker, in [from, to).
func (m *modelled) abortedIn(from, to int64) (list []log.AbortedTransaction) {
	for _, x := range m.transactions {
		if x.aborted && x.first < to && x.marker >= from {
			list = append(list, log.AbortedTransaction{ProducerID: x.producerID, FirstOffset: x.first, LastOffset: x.marker})
		}
	}
	slices.SortFunc(list, func(a, b log.AbortedTransaction) int { return cmp.Compare(a.FirstOffset, b.FirstOffset) })
	return list
}

// visible is what a consumer must get of [from, to).
func (m *modelled) visible(from, to int64, isolation Isolation) (values []string) {
	for _, r := range m.records {
		if r.offset >= from && r.offset < to && (isolation == ReadUncommitted || r.txn == nil || !r.txn.aborted) {
			values = append(values, r.value)
		}
	}
	return values
}

// consume reads a range as Kafka's clients do: by the list of aborted transactions and the markers between the records.
func (m *modelled) consume(rt *rapid.T, r *log.Range, from int64, pending []log.AbortedTransaction) (values []string) {
	defer r.Release()
	rest := make([]byte, r.Size())
	if _, err := r.ReadAt(rest, 0); err != nil {
		rt.Fatal(err)
	}
	aborted := map[int64]bool{}
	for len(rest) > 0 {
		var b record.Batch
		var err error
		if b, rest, err = record.Next(rest); err != nil {
			rt.Fatal(err)
		}
		for len(pending) > 0 && pending[0].FirstOffset <= b.LastOffset() {
			aborted[pending[0].ProducerID], pending = true, pending[1:]
		}
		if b.IsControl() {
			delete(aborted, b.ProducerID())
			continue
		}
		if b.IsTransactional() && aborted[b.ProducerID()] {
			continue
		}
		reader, err := b.Records(1 << 20)
		if err != nil {
			rt.Fatal(err)
		}
		for reader.Next() {
			if reader.Offset() >= from {
				values = append(values, string(reader.Record().Value))
			}
		}
	}
	return values
}
