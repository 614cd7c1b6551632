package log_test

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/millrace/millrace/internal/disk"
	"github.com/millrace/millrace/log"
)

// failures are the ways in which call can fail.
func failures(call disk.Call) []disk.Rule {
	rules := []disk.Rule{{Err: syscall.EIO}}
	switch call.Kind {
	case disk.OpWriteAt, disk.OpWriteDirect:
		rules = append(rules, disk.Rule{Err: syscall.ENOSPC}, disk.Rule{Err: syscall.ENOSPC, ShortBytes: call.Bytes / 2},
			disk.Rule{Err: syscall.EIO, ShortBytes: call.Bytes / 2})
	case disk.OpCreate, disk.OpRename, disk.OpMkdirAll, disk.OpAllocate, disk.OpTruncate:
		rules = append(rules, disk.Rule{Err: syscall.ENOSPC}, disk.Rule{Err: syscall.EIO, Performed: true})
	case disk.OpSync, disk.OpSyncData, disk.OpSyncDir:
		rules = append(rules, disk.Rule{Err: syscall.ENOSPC})
	case disk.OpRemove:
		rules = append(rules, disk.Rule{Err: syscall.EIO, Performed: true})
	}
	return rules
}

// afterFault are the crashes that are tried after a script in which a call has failed.
var afterFault = []disk.Crash{
	{Data: disk.SurvivesNothing, Names: disk.SurvivesNothing},
	{Data: disk.SurvivesEverything, Names: disk.SurvivesEverything},
	{Data: disk.SurvivesSome, Names: disk.SurvivesSome, Torn: true, Seed: 1},
}

// TestEveryCallFailsOnce runs each script once for every call that it makes to the file system, and has that call fail.
// The log may report an error or get along; what it has acknowledged must be there in either case.
func TestEveryCallFailsOnce(t *testing.T) { eachWrite(t, everyCallFailsOnce) }

func everyCallFailsOnce(t *testing.T, config log.Config) {
	for _, workload := range scripts {
		t.Run(workload.name, func(t *testing.T) {
			t.Parallel()
			counting := disk.NewFaults(newDisk(1))
			workload.run(&script{ledger: newLedger(config), disk: counting})
			calls := counting.Calls()
			reported := 0
			for n := range calls {
				for i, rule := range failures(calls[n]) {
					if !due(n+i, 12) {
						continue
					}
					rule.Nth = n + 1
					m := newDisk(1)
					faults := disk.NewFaults(m, rule)
					s := &script{ledger: newLedger(config), disk: faults}
					workload.run(s)
					faults.SetRules()
					if len(s.errs) > 0 {
						reported++
					}
					if err := s.checkAfterFaults(m); err != nil {
						t.Errorf("call %d, %v, failed with %+v: %v", n+1, calls[n], rule, err)
					}
				}
			}
			if reported == 0 {
				t.Error("no failure was reported")
			}
			t.Logf("%d calls, %d failures reported", len(calls), reported)
		})
	}
}

// checkAfterFaults holds the log as it is now, and what crashes leave of it, against what is known.
func (s *script) checkAfterFaults(m *disk.Mem) error {
	for _, err := range s.errs {
		if errors.Is(err, errBroken) {
			return err
		}
		var corrupt *log.CorruptError
		if errors.As(err, &corrupt) {
			return broken("a failed call is taken for damage: %v", err)
		}
	}
	if err := s.checkLive(); err != nil {
		return fmt.Errorf("still open: %w", err)
	}
	for _, loss := range afterFault {
		if err := recoverFrom(m.CrashCopy(loss), s.known(), false); err != nil {
			return fmt.Errorf("crash leaving %+v: %w", loss, err)
		}
	}
	if err := recoverFrom(m.KillCopy(), s.known(), false); err != nil {
		return fmt.Errorf("kill: %w", err)
	}
	return nil
}

// checkLive reads the log while it is open: what it took is there, what it refused is not.
func (s *script) checkLive() error {
	if s.log == nil || errors.Is(s.log.Err(), log.ErrClosed) {
		return nil
	}
	found, err := readAll(s.log, 1)
	if errors.Is(err, log.ErrClosed) {
		return nil
	}
	if err != nil {
		return err
	}
	k := s.known()
	k.tails = nil
	start, end := s.log.LogStartOffset(), s.log.LogEndOffset()
	if len(k.replaced) == 0 && end != max(k.end(), start) {
		return broken("log end %d, appended up to %d", end, k.end())
	}
	return k.checkContent(found, start, end)
}

// TestEveryCallOfARecoveryFailsOnce has each call fail that Open makes after a crash. An Open that fails must leave
// everything to the next one.
func TestEveryCallOfARecoveryFailsOnce(t *testing.T) { eachWrite(t, everyCallOfARecoveryFailsOnce) }

func everyCallOfARecoveryFailsOnce(t *testing.T, config log.Config) {
	for _, workload := range scripts {
		t.Run(workload.name, func(t *testing.T) {
			t.Parallel()
			m := newDisk(1)
			s := &script{ledger: newLedger(config), disk: m}
			workload.run(s)
			for _, loss := range afterFault {
				crashed := m.CrashCopy(loss)
				counting := disk.NewFaults(crashed.KillCopy())
				if _, _, err := openLog(counting, config); err != nil {
					t.Fatal(err)
				}
				for n, call := range counting.Calls() {
					for i, rule := range failures(call) {
						if !due(n+i, 6) {
							continue
						}
						rule.Nth = n + 1
						if err := failRecovery(crashed.KillCopy(), rule, s.known()); err != nil {
							t.Errorf("crash leaving %+v, call %d, %v, failed with %+v: %v", loss, n+1, call, rule, err)
						}
					}
				}
			}
		})
	}
}

func failRecovery(m *disk.Mem, rule disk.Rule, k known) error {
	faults := disk.NewFaults(m, rule)
	l, _, err := openLog(faults, k.config)
	faults.SetRules()
	var corrupt *log.CorruptError
	if errors.As(err, &corrupt) {
		return broken("a failed call is taken for damage: %v", err)
	}
	if err == nil {
		if _, err := k.check(l); err != nil {
			return err
		}
	}
	return errors.Join(recoverFrom(m.CrashCopy(disk.Crash{}), k, false), recoverFrom(m.KillCopy(), k, false))
}

// TestDiskThatIsFullLosesNothingAndHeals runs each script on disks of every size that is too small, then makes room.
func TestDiskThatIsFullLosesNothingAndHeals(t *testing.T) {
	eachWrite(t, diskThatIsFullLosesNothingAndHeals)
}

func diskThatIsFullLosesNothingAndHeals(t *testing.T, config log.Config) {
	for _, workload := range scripts {
		t.Run(workload.name, func(t *testing.T) {
			t.Parallel()
			full, healed := 0, 0
			for budget := int64(0); ; budget += 4096 {
				m := newDisk(1)
				m.SetBudget(budget)
				s := &script{ledger: newLedger(config), disk: m}
				workload.run(s)
				if len(s.errs) == 0 {
					if leavesOpen := s.log.Err() == nil; leavesOpen && healed == 0 {
						t.Error("no log healed")
					}
					break
				}
				full++
				for _, err := range s.errs {
					if !isAny(err, syscall.ENOSPC, log.ErrFailed, log.ErrClosed, log.ErrOutOfRange) {
						t.Errorf("%d bytes: %v", budget, err)
					}
				}
				m.SetBudget(-1)
				if s.log != nil && s.log.Err() == nil {
					healed++
					if err := errors.Join(s.append(s.log, s.buildNext(0, 100), 9), s.sync(s.log)); err != nil {
						t.Errorf("%d bytes: with room again: %v", budget, err)
					}
				}
				if err := s.checkAfterFaults(m); err != nil {
					t.Errorf("%d bytes: %v", budget, err)
				}
			}
			if full < 3 {
				t.Errorf("full only %d times", full)
			}
		})
	}
}

func isAny(err error, targets ...error) bool {
	return slices.ContainsFunc(targets, func(target error) bool { return errors.Is(err, target) })
}

// TestFlippedBitBelowTheSyncMarkTakesThatLogOffline flips bits all over the durable part of a log whose process was
// killed. Nothing of it may be cut off silently, nothing on disk may change, and the log beside it opens.
func TestFlippedBitBelowTheSyncMarkTakesThatLogOffline(t *testing.T) {
	config := crashConfig()
	m := newDisk(1)
	neighbour, _, err := log.Open(log.Options{FS: m, Dir: "/data/clicks-1", Config: crashConfig()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := neighbour.Append(newLedger(config).build(1, 3, 10), log.AppendOptions{}); err != nil {
		t.Fatal(err)
	}
	s := &script{ledger: newLedger(config), disk: m}
	s.open(config)
	s.appends(0, 800, 800, 800, 100, 100)
	_, neighbourErr := neighbour.Sync()
	if s.note(errors.Join(s.sync(s.log), neighbourErr)); len(s.errs) > 0 {
		t.Fatal(s.errs)
	}
	detected := map[string]int{}
	for _, name := range segmentFiles(t, m) {
		data, err := disk.ReadFile(m, name)
		if err != nil {
			t.Fatal(err)
		}
		for at := int64(0); at < int64(len(data)); at += 1 + at/64 {
			killed := m.KillCopy()
			if err := killed.FlipBit(name, at*8+at%8); err != nil {
				t.Fatal(err)
			}
			before := snapshot(t, killed)
			l, _, err := openLog(killed, config)
			var corrupt *log.CorruptError
			switch {
			case errors.As(err, &corrupt):
				detected[name]++
				if corrupt.Path != name || corrupt.Position > at {
					t.Errorf("%s flipped at %d: reported %s at %d", name, at, corrupt.Path, corrupt.Position)
				}
				if after := snapshot(t, killed); after != before {
					t.Errorf("%s flipped at %d: disk changed from\n%s to\n%s", name, at, before, after)
				}
			case err != nil:
				t.Errorf("%s flipped at %d: %v", name, at, err)
			case l.LogEndOffset() < s.known().durable:
				t.Errorf("%s flipped at %d: the log silently ends at %d", name, at, l.LogEndOffset())
			case !isLeaderEpoch(data, at):
				t.Errorf("%s flipped at %d: not noticed", name, at)
			}
			if _, _, err := log.Open(log.Options{FS: killed, Dir: "/data/clicks-1", Config: crashConfig()}); err != nil {
				t.Errorf("neighbour: %v", err)
			}
		}
	}
	if len(detected) < 2 {
		t.Errorf("detected %v: want sealed and active segments", detected)
	}
}

// isLeaderEpoch says whether the byte belongs to a batch's leader epoch, which no checksum covers.
func isLeaderEpoch(segment []byte, at int64) bool {
	for begin := int64(0); begin < int64(len(segment)); {
		if at >= begin+12 && at < begin+16 {
			return true
		}
		begin += 12 + int64(segment[begin+10])<<8 + int64(segment[begin+11])
	}
	return false
}

func segmentFiles(t *testing.T, m *disk.Mem) (names []string) {
	t.Helper()
	entries, err := m.List(logDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name, ".log") {
			names = append(names, filepath.Join(logDir, e.Name))
		}
	}
	return names
}

// snapshot is the content of the log's directory as text.
func snapshot(t *testing.T, m *disk.Mem) string {
	t.Helper()
	entries, err := m.List(logDir)
	if err != nil {
		t.Fatal(err)
	}
	var all bytes.Buffer
	for _, e := range entries {
		data, err := disk.ReadFile(m, filepath.Join(logDir, e.Name))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&all, "%s %x\n", e.Name, data)
	}
	return all.String()
}

// TestGarbledHintFilesAreRebuilt removes, empties, shortens and garbles each file beside the batches of a log whose
// process was killed. The batches are all there, and so is what the files said of them.
func TestGarbledHintFilesAreRebuilt(t *testing.T) { eachWrite(t, garbledHintFilesAreRebuilt) }

func garbledHintFilesAreRebuilt(t *testing.T, config log.Config) {
	m := newDisk(1)
	s := &script{ledger: newLedger(config), disk: m}
	s.open(config)
	s.appends(0, 800, 800, 100)
	s.appends(3, 800, 100, 700)
	s.note(s.sync(s.log))
	s.appends(4, 100)
	if s.note(s.sync(s.log)); len(s.errs) > 0 {
		t.Fatal(s.errs)
	}
	entries, err := m.List(logDir)
	if err != nil {
		t.Fatal(err)
	}
	damages := map[string]func(disk.File, int64) error{
		"emptied":   func(f disk.File, _ int64) error { return f.Truncate(0) },
		"shortened": func(f disk.File, size int64) error { return f.Truncate(size * 2 / 3) },
		"zeroed":    func(f disk.File, size int64) error { _, err := f.WriteAt(make([]byte, size), 0); return err },
		"garbled": func(f disk.File, size int64) error {
			_, err := f.WriteAt(bytes.Repeat([]byte{0xa5}, int(size)), 0)
			return err
		},
		"lengthened": func(f disk.File, size int64) error { _, err := f.WriteAt([]byte("more"), size); return err },
	}
	tried := 0
	for _, e := range entries {
		if strings.HasSuffix(e.Name, ".log") || e.Name == "partition.metadata" {
			continue
		}
		tried++
		name := filepath.Join(logDir, e.Name)
		removed := m.KillCopy()
		if err := removed.Remove(name); err != nil {
			t.Fatal(err)
		}
		if err := recoverFrom(removed, s.known(), false); err != nil {
			t.Errorf("%s removed: %v", e.Name, err)
		}
		for damage, apply := range damages {
			killed := m.KillCopy()
			f, err := killed.OpenWrite(name)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(apply(f, e.Size), f.Close()); err != nil {
				t.Fatal(err)
			}
			if err := recoverFrom(killed, s.known(), false); err != nil {
				t.Errorf("%s %s: %v", e.Name, damage, err)
			}
		}
	}
	if tried < 5 {
		t.Errorf("only %d files beside the batches in %v", tried, slices.Collect(func(yield func(string) bool) {
			for _, e := range entries {
				yield(e.Name)
			}
		}))
	}
}
