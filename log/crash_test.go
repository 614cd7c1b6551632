package log_test

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/millrace/millrace/internal/disk"
	"github.com/millrace/millrace/internal/invariant"
	"github.com/millrace/millrace/log"
	"github.com/millrace/millrace/log/record"
)

// script is a workload for the crash and fault suites. It goes on after errors that the log reports, but for broken
// promises and a log that cannot be opened.
type script struct {
	*ledger
	disk disk.FS
	log  *log.Log
	errs []error // reported by the log
}

func (s *script) note(err error) bool {
	if err != nil {
		s.errs = append(s.errs, err)
	}
	return err == nil
}

func (s *script) open(config log.Config) bool {
	l, _, err := openLog(s.disk, config)
	if err == nil {
		s.log = l
		err = s.adopt(l)
	}
	return s.note(err)
}

// appends offers one batch for each size of a value in bytes, by turns from two producers.
func (s *script) appends(epoch int32, valueBytes ...int) {
	for i, size := range valueBytes {
		s.note(s.append(s.log, s.buildNext(i, size), epoch))
	}
}

func (s *script) buildNext(i, valueBytes int) record.Batch {
	return s.build(int64(7+i%2), 1+i%3, valueBytes)
}

// scripts are the workloads. Each opens a log and leaves it open or closed.
var scripts = []struct {
	name string
	run  func(s *script)
}{
	{"append, sync and roll", func(s *script) {
		if !s.open(s.config()) {
			return
		}
		s.appends(0, 100, 50)
		s.note(s.sync(s.log))
		s.appends(0, 700, 700, 10)
		s.note(s.sync(s.log))
		s.appends(1, 900, 5000, 20)
		s.note(s.sync(s.log))
		s.appends(1, 1)
		s.note(s.log.Roll(100_000))
		s.appends(2, 600, 600, 600)
	}},
	{"truncate", func(s *script) {
		if !s.open(s.config()) {
			return
		}
		s.appends(0, 300, 400, 300)
		s.note(s.sync(s.log))
		s.appends(1, 200)
		s.note(s.truncate(s.log, 4))
		s.appends(2, 500, 600)
		s.note(s.sync(s.log))
		s.appends(2, 900, 900, 900)
		s.note(s.sync(s.log))
		s.note(s.truncate(s.log, 3))
		s.appends(3, 100)
		s.note(s.sync(s.log))
		s.note(s.truncate(s.log, 0))
		s.appends(4, 40)
		s.note(s.sync(s.log))
	}},
	{"retention", func(s *script) {
		if !s.open(s.config()) {
			return
		}
		s.appends(0, 900, 900, 900, 900, 900)
		s.note(s.sync(s.log))
		s.note(s.retain(s.log, 63_000))
		s.appends(0, 800)
		s.note(s.sync(s.log))
		config := s.config()
		config.RetentionBytes = 1500
		s.note(s.log.Configure(config))
		s.note(s.retain(s.log, 5000))
		s.appends(0, 30)
		s.note(s.sync(s.log))
		s.note(s.retain(s.log, 1_000_000))
	}},
	{"delete before", func(s *script) {
		if !s.open(s.config()) {
			return
		}
		s.appends(0, 900, 900, 900, 900, 900)
		s.note(s.sync(s.log))
		s.note(s.deleteBefore(s.log, 2))
		s.appends(0, 10)
		s.note(s.deleteBefore(s.log, 6))
		s.note(s.sync(s.log))
		s.note(s.deleteBefore(s.log, s.log.DurableOffset()))
		s.appends(0, 700, 20)
		s.note(s.sync(s.log))
	}},
	{"close and reopen", func(s *script) {
		config := s.config()
		config.Preallocate = true
		if !s.open(config) {
			return
		}
		s.appends(0, 900, 900, 900, 20)
		s.note(s.close(s.log))
		if !s.open(config) {
			return
		}
		s.appends(1, 30)
		s.note(s.sync(s.log))
		s.note(s.close(s.log))
		if !s.open(config) {
			return
		}
		s.note(s.close(s.log))
		if !s.open(config) {
			return
		}
		s.note(s.deleteBefore(s.log, 1))
		s.appends(1, 800, 800)
		s.note(s.close(s.log))
	}},
	{"cut after a clean start", func(s *script) {
		if !s.open(s.config()) {
			return
		}
		s.appends(0, 900, 900, 900, 20)
		s.note(s.close(s.log))
		if !s.open(s.config()) {
			return
		}
		s.note(s.truncate(s.log, 4))
		s.note(s.close(s.log))
		if !s.open(s.config()) {
			return
		}
		s.note(s.retain(s.log, 1_000_000))
		s.appends(1, 300)
		s.note(s.sync(s.log))
	}},
	{"transactions", func(s *script) {
		if !s.open(s.config()) {
			return
		}
		s.txn(1, 300)
		s.txn(2, 300)
		s.end(1, record.ControlAbort)
		s.note(s.sync(s.log))
		s.txn(1, 900)
		s.txn(1, 300)
		s.end(2, record.ControlCommit)
		s.txn(3, 10)
		s.end(1, record.ControlAbort)
		s.note(s.truncate(s.log, s.log.LogEndOffset()-1))
		s.txn(2, 300)
		s.end(2, record.ControlAbort)
		s.note(s.close(s.log))
		if !s.open(s.config()) {
			return
		}
		s.end(1, record.ControlAbort)
		s.txn(2, 900)
		s.note(s.sync(s.log))
		s.end(2, record.ControlAbort)
		s.note(s.log.Roll(100_000))
		s.end(3, record.ControlCommit)
		s.appends(0, 10)
		s.note(s.sync(s.log))
		s.note(s.compact(s.log, 100_000, 1<<20))
		s.note(s.compact(s.log, 100_001, 1<<20))
		s.txn(2, 10)
		s.note(s.log.Roll(100_000))
		s.end(2, record.ControlAbort)
		s.note(s.deleteBefore(s.log, 4))
		s.note(s.retain(s.log, 1_000_000))
		s.appends(0, 10)
		s.note(s.sync(s.log))
	}},
	{"compact", func(s *script) {
		if !s.open(s.config()) {
			return
		}
		s.appends(0, 900, 900, 300, 900, 900)
		s.note(s.sync(s.log))
		s.note(s.compact(s.log, 7000, 1<<20))
		s.appends(1, 900, 900)
		s.note(s.sync(s.log))
		s.note(s.compact(s.log, 9000, 1)) // as good as no memory
		s.note(s.close(s.log))
		if !s.open(s.config()) {
			return
		}
		s.note(s.deleteBefore(s.log, 3))
		s.note(s.compact(s.log, 20_000, 1<<20))
		s.note(s.retain(s.log, 64_000))
		s.note(s.truncate(s.log, s.log.LogEndOffset()-1))
		s.appends(2, 10)
		s.note(s.sync(s.log))
	}},
}

// txn appends a batch of a transaction, and with a marker ends it.
func (s *script) txn(producer int64, valueBytes int) {
	options := record.Options{Producer: &record.Producer{ID: producer}, Transactional: true}
	s.note(s.append(s.log, s.buildWith(options, 2, valueBytes, int64(s.built+1)*1000), 0))
}

func (s *script) end(producer int64, how record.ControlType) {
	s.built++
	marker := record.EndTxnMarker{Type: how, ProducerID: producer, TimestampMs: int64(s.built) * 1000}
	s.note(s.append(s.log, marker.Batch(), 0))
}

// losses are the crashes that are tried after each operation.
var losses = []disk.Crash{
	{Data: disk.SurvivesNothing, Names: disk.SurvivesNothing},
	{Data: disk.SurvivesEverything, Names: disk.SurvivesEverything},
	{Data: disk.SurvivesNothing, Names: disk.SurvivesEverything},
	{Data: disk.SurvivesEverything, Names: disk.SurvivesNothing},
	{Data: disk.SurvivesPrefix, Names: disk.SurvivesPrefix, Seed: 1},
	{Data: disk.SurvivesSome, Names: disk.SurvivesPrefix, Seed: 2},
	{Data: disk.SurvivesSome, Names: disk.SurvivesSome, Torn: true, Seed: 3},
	{Data: disk.SurvivesSome, Names: disk.SurvivesSome, Torn: true, Seed: 4},
}

// due spreads a suite that the race detector makes too slow: there, and in short mode, one case in every n is due.
// All of them run without it, and it finds nothing more in code that starts no goroutine.
func due(number, every int) bool {
	return !invariant.Enabled && !testing.Short() || number%every == 0
}

// TestCrashAfterEveryOperation runs each script, and after every operation of its has the power fail in several ways
// and the process be killed. Every state must recover to what was promised.
func TestCrashAfterEveryOperation(t *testing.T) {
	eachWrite(t, func(t *testing.T, config log.Config) {
		for _, workload := range scripts {
			t.Run(workload.name, func(t *testing.T) {
				t.Parallel()
				crashAfterEveryOperation(t, workload.run, config)
			})
		}
	})
}

func crashAfterEveryOperation(t *testing.T, run func(*script), config log.Config) {
	m := newDisk(1)
	s := &script{ledger: newLedger(config), disk: m}
	crashes := 0
	m.OnOperation(func(n int64, call disk.Call) {
		for i, loss := range losses {
			if !due(int(n)+i, 4) {
				continue
			}
			loss.Seed += uint64(n) * uint64(len(losses))
			crashes++
			if err := recoverFrom(m.CrashCopy(loss), s.known(), i == len(losses)-1); err != nil {
				t.Errorf("crash after operation %d, %v, leaving %+v: %v", n, call, loss, err)
			}
		}
		if !due(int(n)+len(losses), 4) {
			return
		}
		crashes++
		if err := recoverFrom(m.KillCopy(), s.known(), false); err != nil {
			t.Errorf("kill after operation %d, %v: %v", n, call, err)
		}
	})
	run(s)
	m.OnOperation(nil)
	for _, err := range s.errs {
		t.Errorf("script: %v", err)
	}
	if crashes < 300 {
		t.Errorf("only %d crashes", crashes)
	}
	t.Logf("%d operations, %d crashes", m.Operations(), crashes)
}

// recoverFrom opens the log that a crash left and checks it, recovers a second time after losing all that the first
// recovery did not sync, and then sends everything again. With nested, it crashes after each operation of the first
// recovery too.
func recoverFrom(m *disk.Mem, k known, nested bool) error {
	var nestedErr error
	if nested {
		m.OnOperation(func(n int64, call disk.Call) {
			loss := disk.Crash{Data: disk.SurvivesSome, Names: disk.SurvivesSome, Torn: true, Seed: uint64(n)}
			if err := recoverFrom(m.CrashCopy(loss), k, false); err != nil && nestedErr == nil {
				nestedErr = fmt.Errorf("second crash, after operation %d of recovery, %v: %w", n, call, err)
			}
		})
	}
	l, _, err := openLog(m, k.config)
	m.OnOperation(nil)
	if err != nil || nestedErr != nil {
		return errors.Join(err, nestedErr)
	}
	found, err := k.check(l)
	if err != nil {
		return err
	}
	if err := checkSecondRecovery(m, k.config, l, found); err != nil {
		return err
	}
	if err := k.retryAll(l, found); err != nil {
		return err
	}
	return l.Close()
}

// checkSecondRecovery lets the power fail right after a recovery: what that has shown to readers must still be there.
func checkSecondRecovery(m *disk.Mem, config log.Config, first *log.Log, found []record.Batch) error {
	again := m.CrashCopy(disk.Crash{})
	l, recovery, err := openLog(again, config)
	if err != nil {
		return fmt.Errorf("second recovery: %w", err)
	}
	if recovery.TornBytes+recovery.ZeroBytes > 0 {
		return broken("second recovery cut off %d bytes and %d zeros", recovery.TornBytes, recovery.ZeroBytes)
	}
	if l.LogStartOffset() != first.LogStartOffset() || l.LogEndOffset() != first.LogEndOffset() {
		return broken("second recovery gives [%d, %d), the first gave [%d, %d)",
			l.LogStartOffset(), l.LogEndOffset(), first.LogStartOffset(), first.LogEndOffset())
	}
	refound, err := readAll(l, 1<<20)
	if err != nil {
		return fmt.Errorf("second recovery: %w", err)
	}
	if !bytes.Equal(bytes.Join(raw(refound), nil), bytes.Join(raw(found), nil)) {
		return broken("second recovery gives other batches")
	}
	return l.Close()
}

func raw(batches []record.Batch) [][]byte {
	all := make([][]byte, len(batches))
	for i, b := range batches {
		all[i] = b
	}
	return all
}

// TestCrashDuringGroupCommit has one goroutine append while another syncs.
func TestCrashDuringGroupCommit(t *testing.T) { eachWrite(t, crashDuringGroupCommit) }

func crashDuringGroupCommit(t *testing.T, config log.Config) {
	m := newDisk(2)
	s := &script{ledger: newLedger(config), disk: m}
	if !s.open(config) {
		t.Fatal(s.errs)
	}
	var crashing sync.Mutex
	m.OnOperation(func(n int64, call disk.Call) {
		crashing.Lock()
		defer crashing.Unlock()
		for i, loss := range losses {
			if !due(int(n)+i, 4) {
				continue
			}
			loss.Seed += uint64(n)
			before := s.known()
			crashed := m.CrashCopy(loss)
			after := s.known()
			after.durable, after.startMin = before.durable, before.startMin
			if err := recoverFrom(crashed, after, false); err != nil {
				t.Errorf("crash after operation %d, %v, leaving %+v: %v", n, call, loss, err)
			}
		}
	})
	appended := make(chan struct{}, 1)
	var syncing sync.WaitGroup
	var syncErr error
	syncing.Go(func() {
		for range appended {
			syncErr = errors.Join(syncErr, s.sync(s.log))
		}
	})
	for i := range 20 {
		if err := s.append(s.log, s.buildNext(i, 300), 0); err != nil {
			t.Error(err)
		}
		select {
		case appended <- struct{}{}:
		default:
		}
	}
	close(appended)
	syncing.Wait()
	if syncErr != nil {
		t.Error(syncErr)
	}
}

// TestAnySubsetOfUnsyncedBlocksStarts tries many crashes of one log with much that is not synced.
func TestAnySubsetOfUnsyncedBlocksStarts(t *testing.T) { eachWrite(t, anySubsetOfUnsyncedBlocksStarts) }

func anySubsetOfUnsyncedBlocksStarts(t *testing.T, config log.Config) {
	m := newDisk(3)
	config.SegmentBytes = 64 << 10
	s := &script{ledger: newLedger(config), disk: m}
	if !s.open(config) {
		t.Fatal(s.errs)
	}
	s.appends(0, 100, 100)
	s.note(s.sync(s.log))
	s.appends(1, 3000, 10, 5000, 700, 4096, 20, 9000, 100)
	known, cut := s.known(), 0
	crash := func() {
		for seed := range uint64(300) {
			loss := disk.Crash{Data: disk.SurvivesSome, Names: disk.SurvivesSome, Torn: seed%2 == 0, Seed: seed}
			l, recovery, err := openLog(m.CrashCopy(loss), config)
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if recovery.TornBytes > 0 {
				cut++
			}
			if _, err := known.check(l); err != nil {
				t.Errorf("seed %d: %v", seed, err)
			}
		}
	}
	if config.Direct {
		// What was appended is on its way to the disk only during a sync.
		m.OnOperation(func(_ int64, call disk.Call) {
			if call.Kind == disk.OpWriteDirect {
				m.OnOperation(nil)
				crash()
			}
		})
		s.note(s.sync(s.log))
	} else {
		crash()
	}
	if cut == 0 {
		t.Error("no crash tore anything: the test tests nothing")
	}
	for _, err := range s.errs {
		t.Error(err)
	}
}
