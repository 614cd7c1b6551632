package coordinator

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/millrace/millrace/broker/internal/partition"
	"github.com/millrace/millrace/internal/disk"
	"github.com/millrace/millrace/log"
	"github.com/millrace/millrace/log/record"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// notebook is a machine that keeps lines: it writes each down as a record, and answers who waits when a deadline that
// it was given is due.
type notebook struct {
	world    World
	lines    []string
	loaded   bool
	nowMs    int64
	alarmMs  int64
	sleepers []uint64
}

func newNotebook(world World) *notebook { return &notebook{world: world, alarmMs: math.MaxInt64} }

func (n *notebook) Replay(key, value []byte) error {
	if string(key) == "bad" {
		return errors.New("cannot read this")
	}
	n.lines = append(n.lines, string(key)+string(value))
	return nil
}

func (n *notebook) Loaded()         { n.loaded = true }
func (n *notebook) Deadline() int64 { return n.alarmMs }

func (n *notebook) Advance(nowMs, _ int64) {
	n.nowMs = nowMs
	if nowMs < n.alarmMs {
		return
	}
	n.alarmMs = math.MaxInt64
	for _, ticket := range n.sleepers {
		n.world.Reply(ticket, "awake")
	}
	n.sleepers = nil
}

// write is an operation that adds a line and answers with all of them.
func write(lines ...string) func(*notebook, uint64) any {
	return func(n *notebook, _ uint64) any {
		var records []record.Record
		for _, line := range lines {
			records = append(records, record.Record{Key: []byte(line)})
		}
		if err := n.world.Append(1, records); err != nil {
			return err.Error()
		}
		n.lines = append(n.lines, lines...)
		return slices.Clone(n.lines)
	}
}

func read(n *notebook, _ uint64) any { return slices.Clone(n.lines) }

func openPartition(t *testing.T, files disk.FS, flush partition.Flush) *partition.Partition {
	t.Helper()
	config := partition.DefaultConfig()
	config.Flush = flush
	p := partition.Open(partition.Options{
		Topic:  "__notes",
		Log:    log.Options{FS: files, Dir: "/notes-0", NowMs: 1},
		Config: config,
		Syncs:  partition.NewSyncs(1, nil),
		Logger: slog.New(slog.DiscardHandler),
	})
	t.Cleanup(func() { _ = p.Close() })
	if err := p.Err(); err != nil {
		t.Fatal(err)
	}
	return p
}

func load(t *testing.T, p *partition.Partition) *Shard[*notebook] {
	t.Helper()
	s, err := Load(t.Context(), Options[*notebook]{Partition: p, New: newNotebook, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func lines(t *testing.T, s *Shard[*notebook], operation func(*notebook, uint64) any, want ...string) {
	t.Helper()
	answer, err := s.Do(t.Context(), operation)
	if got, _ := answer.([]string); err != nil || !slices.Equal(got, want) {
		t.Fatalf("got %v, %v, want %q", answer, err, want)
	}
}

func TestRestartIsReplay(t *testing.T) {
	files := disk.NewMem()
	p := openPartition(t, files, partition.FlushCommit)
	s := load(t, p)
	lines(t, s, write("a", "b"), "a", "b")
	lines(t, s, write("c"), "a", "b", "c")
	s.Close()
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	s = load(t, openPartition(t, files, partition.FlushCommit))
	lines(t, s, read, "a", "b", "c")
	lines(t, s, write("d"), "a", "b", "c", "d")
}

// slowDisk is a file system whose syncs of file contents wait while the gate is shut.
type slowDisk struct {
	disk.FS
	gate *atomic.Pointer[chan struct{}] // nil while it is open
}

func (d slowDisk) Create(name string) (disk.File, error) {
	f, err := d.FS.Create(name)
	return slowFile{f, d.gate}, err
}

func (d slowDisk) OpenWrite(name string) (disk.File, error) {
	f, err := d.FS.OpenWrite(name)
	return slowFile{f, d.gate}, err
}

type slowFile struct {
	disk.File
	gate *atomic.Pointer[chan struct{}]
}

func (f slowFile) SyncData() error {
	if gate := f.gate.Load(); gate != nil {
		<-*gate
	}
	return f.File.SyncData()
}

// TestAnswersWaitForTheirCommit: neither a write nor a read that saw it is answered before the write is on disk; and
// meanwhile more writes go on, all of which one sync serves.
func TestAnswersWaitForTheirCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		files := slowDisk{disk.NewMem(), new(atomic.Pointer[chan struct{}])}
		s := load(t, openPartition(t, files, partition.FlushCommit))
		gate := make(chan struct{})
		files.gate.Store(&gate)
		answers := make(chan any, 3)
		ask := func(operation func(*notebook, uint64) any) {
			answer, err := s.Do(t.Context(), operation)
			if err != nil {
				t.Error(err)
			}
			answers <- answer
		}
		go ask(write("a"))
		synctest.Wait()
		go ask(read)
		synctest.Wait()
		go ask(write("b"))
		synctest.Wait()
		if len(answers) > 0 {
			t.Fatalf("answered before the sync: %v", <-answers)
		}
		files.gate.Store(nil)
		close(gate)
		got := []int{len((<-answers).([]string)), len((<-answers).([]string)), len((<-answers).([]string))}
		slices.Sort(got)
		if !slices.Equal(got, []int{1, 1, 2}) {
			t.Errorf("answers of %v lines", got)
		}
	})
}

func TestDeadlineWakesTheMachine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := load(t, openPartition(t, disk.NewMem(), partition.FlushCommit))
		began := time.Now()
		answer, err := s.Do(t.Context(), func(n *notebook, ticket uint64) any {
			n.alarmMs = n.nowMs + 10_000
			n.sleepers = append(n.sleepers, ticket)
			return nil
		})
		if took := time.Since(began); err != nil || answer != "awake" || took != 10*time.Second {
			t.Errorf("%v, %v after %v", answer, err, took)
		}
	})
}

// TestShardThatCannotSyncSaysNothingMore: what it knows may be gone after a restart.
func TestShardThatCannotSyncSaysNothingMore(t *testing.T) {
	files := disk.NewFaults(disk.NewMem())
	s := load(t, openPartition(t, files, partition.FlushCommit))
	lines(t, s, write("a"), "a")
	files.SetRules(disk.Rule{Kinds: []disk.Kind{disk.OpSyncData, disk.OpSync}, Err: syscall.EIO})
	if answer, err := s.Do(t.Context(), write("b")); !errors.Is(err, ErrFailed) || !errors.Is(err, partition.ErrFailed) {
		t.Fatalf("a write that was not synced: %v, %v", answer, err)
	}
	if answer, err := s.Do(t.Context(), read); !errors.Is(err, ErrFailed) {
		t.Fatalf("a read after that: %v, %v", answer, err)
	}
}

// TestPanicOfAMachineCostsItsShard: those who wait are told, and another shard and the process go on.
func TestPanicOfAMachineCostsItsShard(t *testing.T) {
	p := openPartition(t, disk.NewMem(), partition.FlushCommit)
	s, other := load(t, p), load(t, p)
	waiting := make(chan error, 1)
	parked := make(chan struct{})
	go func() {
		_, err := s.Do(context.Background(), func(*notebook, uint64) any { close(parked); return nil })
		waiting <- err
	}()
	<-parked
	if answer, err := s.Do(t.Context(), func(*notebook, uint64) any { panic("torn pages") }); !errors.Is(err, ErrFailed) || !strings.Contains(err.Error(), "torn pages") {
		t.Errorf("the operation that panics: %v, %v", answer, err)
	}
	if err := <-waiting; !errors.Is(err, ErrFailed) {
		t.Errorf("the operation that waits: %v", err)
	}
	if answer, err := s.Do(t.Context(), read); !errors.Is(err, ErrFailed) {
		t.Errorf("the next operation: %v, %v", answer, err)
	}
	lines(t, other, write("a"), "a")
}

// TestRefusedAppendIsTheMachinesToTell: a full disk is answered by the machine, and the shard goes on.
func TestRefusedAppendIsTheMachinesToTell(t *testing.T) {
	files := disk.NewFaults(disk.NewMem())
	s := load(t, openPartition(t, files, partition.FlushCommit))
	lines(t, s, write("a"), "a")
	files.SetRules(disk.Rule{Kinds: []disk.Kind{disk.OpWriteAt}, Err: syscall.ENOSPC})
	answer, err := s.Do(t.Context(), write("b"))
	if _, refused := answer.(string); err != nil || !refused {
		t.Fatalf("%v, %v", answer, err)
	}
	lines(t, s, read, "a")
	files.SetRules()
	lines(t, s, write("c"), "a", "c")
}

func TestCloseReleasesWhoWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := load(t, openPartition(t, disk.NewMem(), partition.FlushCommit))
		done := make(chan error, 1)
		go func() {
			_, err := s.Do(t.Context(), func(*notebook, uint64) any { return nil })
			done <- err
		}()
		synctest.Wait()
		s.Close()
		if err := <-done; !errors.Is(err, ErrClosed) {
			t.Errorf("who waited got %v", err)
		}
		if _, err := s.Do(t.Context(), read); !errors.Is(err, ErrClosed) {
			t.Errorf("who came late got %v", err)
		}
		s.Close()
	})
}

func TestWaitEndsWithItsContext(t *testing.T) {
	s := load(t, openPartition(t, disk.NewMem(), partition.FlushCommit))
	ctx, cancel := context.WithCancel(t.Context())
	_, err := s.Do(ctx, func(*notebook, uint64) any { cancel(); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	lines(t, s, read)
}

// TestRecordThatDoesNotParseStopsTheLoad: going on without it would forget what was promised.
func TestRecordThatDoesNotParseStopsTheLoad(t *testing.T) {
	p := openPartition(t, disk.NewMem(), partition.FlushCommit)
	s := load(t, p)
	lines(t, s, write("bad"), "bad")
	s.Close()
	if _, err := Load(t.Context(), Options[*notebook]{Partition: p, New: newNotebook, Logger: slog.New(slog.DiscardHandler)}); err == nil {
		t.Error("it was loaded")
	}
}

// TestForeignBatchesAreReplayed: a log copied from Kafka has compressed batches and transaction markers.
func TestForeignBatchesAreReplayed(t *testing.T) {
	p := openPartition(t, disk.NewMem(), partition.FlushCommit)
	for _, options := range []record.Options{{Codec: record.Zstd}, {Control: true, Transactional: true, Producer: &record.Producer{ID: 1, BaseSequence: -1}}, {}} {
		b := record.NewBuilder(options)
		key := "line"
		if options.Control {
			key = "\x00\x00\x00\x01"
		}
		b.Add(1, []byte(key), []byte("\x00\x00\x00\x00\x00\x00"))
		batch, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		appended, err := p.Append(batch, 1, partition.Internal)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.AwaitCommitted(t.Context(), appended.LastOffset+1); err != nil {
			t.Fatal(err)
		}
	}
	line := "line\x00\x00\x00\x00\x00\x00"
	lines(t, load(t, p), read, line, line)
}
