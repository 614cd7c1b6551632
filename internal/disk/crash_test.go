package disk

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"testing"

	"pgregory.net/rapid"
)

// states collects what is left of the file name in crash copies of m with many seeds.
func states(t tester, m *Mem, choice Crash, name string) map[string]bool {
	found := map[string]bool{}
	for choice.Seed = range 200 {
		data, err := ReadFile(m.CrashCopy(choice), name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			found["absent"] = true
		case err != nil:
			t.Fatal(err)
		default:
			found[string(data)] = true
		}
	}
	return found
}

func checkStates(t *testing.T, what string, found map[string]bool, want ...string) {
	t.Helper()
	for _, state := range want {
		if !found[state] {
			t.Errorf("%s: no crash leaves %.40q", what, state)
		}
		delete(found, state)
	}
	for state := range found {
		t.Errorf("%s: a crash leaves %.40q", what, state)
	}
}

// durableFile makes a file whose content and name are synced.
func durableFile(t tester, m *Mem, name, data string) File {
	f, err := m.Create(name)
	check(t, err)
	_, err = f.WriteAt([]byte(data), 0)
	check(t, err)
	check(t, f.SyncData())
	check(t, m.SyncDir("/"))
	return f
}

var everySurvival = []Survival{SurvivesNothing, SurvivesEverything, SurvivesPrefix, SurvivesSome}

func TestCrashNeverLosesWhatIsSynced(t *testing.T) {
	m := NewCrashable(1)
	durableFile(t, m, "a", "synced")
	for _, data := range everySurvival {
		for _, names := range everySurvival {
			choice := Crash{Data: data, Names: names, Torn: true}
			checkStates(t, fmt.Sprintf("%+v", choice), states(t, m, choice, "a"), "synced")
		}
	}
}

func TestCrashLosesDataThatIsNotSynced(t *testing.T) {
	m := NewCrashable(1)
	f := durableFile(t, m, "a", "one")
	_, err := f.WriteAt([]byte("two"), 0)
	check(t, err)
	_, err = f.WriteAt([]byte("six"), 0)
	check(t, err)
	checkStates(t, "nothing", states(t, m, Crash{}, "a"), "one")
	checkStates(t, "everything", states(t, m, Crash{Data: SurvivesEverything}, "a"), "six")
	checkStates(t, "some", states(t, m, Crash{Data: SurvivesSome}, "a"), "one", "two", "six")
	checkStates(t, "prefix", states(t, m, Crash{Data: SurvivesPrefix}, "a"), "one", "two", "six")
	check(t, f.SyncData())
	checkStates(t, "synced", states(t, m, Crash{}, "a"), "six")
}

func TestCrashMayKeepALaterWriteWithoutAnEarlierOne(t *testing.T) {
	m := NewCrashable(1)
	block := func(b string) string { return string(bytes.Repeat([]byte(b), blockBytes)) }
	f := durableFile(t, m, "a", block("-")+block("-"))
	_, err := f.WriteAt([]byte(block("1")), 0)
	check(t, err)
	_, err = f.WriteAt([]byte(block("2")), blockBytes)
	check(t, err)
	checkStates(t, "some", states(t, m, Crash{Data: SurvivesSome}, "a"),
		block("-")+block("-"), block("1")+block("-"), block("-")+block("2"), block("1")+block("2"))
	checkStates(t, "prefix", states(t, m, Crash{Data: SurvivesPrefix}, "a"),
		block("-")+block("-"), block("1")+block("-"), block("1")+block("2"))
}

func TestCrashMayLeaveASizeWithoutItsData(t *testing.T) {
	m := NewCrashable(1)
	f := durableFile(t, m, "a", "")
	_, err := f.WriteAt([]byte("new"), 0)
	check(t, err)
	checkStates(t, "some", states(t, m, Crash{Data: SurvivesSome}, "a"), "", "new", "\x00\x00\x00")
	check(t, f.SyncData())
	check(t, f.Truncate(1))
	checkStates(t, "truncated", states(t, m, Crash{Data: SurvivesSome}, "a"), "new", "n", "n\x00\x00")
	checkStates(t, "truncated, nothing", states(t, m, Crash{}, "a"), "new")
}

func TestCrashTearsABlockAtSectors(t *testing.T) {
	m := NewCrashable(1)
	f := durableFile(t, m, "a", string(make([]byte, 2*sectorBytes)))
	_, err := f.WriteAt(bytes.Repeat([]byte{1}, 2*sectorBytes), 0)
	check(t, err)
	sector := func(b byte) string { return string(bytes.Repeat([]byte{b}, sectorBytes)) }
	checkStates(t, "whole", states(t, m, Crash{Data: SurvivesSome}, "a"), sector(0)+sector(0), sector(1)+sector(1))
	checkStates(t, "torn", states(t, m, Crash{Data: SurvivesSome, Torn: true}, "a"),
		sector(0)+sector(0), sector(1)+sector(0), sector(0)+sector(1), sector(1)+sector(1))
}

func TestCrashRevertsNamesThatAreNotSynced(t *testing.T) {
	m := NewCrashable(1)
	f := create(t, m, "new", "data")
	check(t, f.Sync()) // of the file, not of its name
	checkStates(t, "created", states(t, m, Crash{Names: SurvivesNothing}, "new"), "absent")
	checkStates(t, "created", states(t, m, Crash{Names: SurvivesSome}, "new"), "absent", "data")
	check(t, m.SyncDir("."))
	checkStates(t, "created and synced", states(t, m, Crash{}, "new"), "data")
	check(t, m.Remove("new"))
	check(t, f.Close())
	checkStates(t, "removed", states(t, m, Crash{Names: SurvivesNothing}, "new"), "data")
	checkStates(t, "removed", states(t, m, Crash{Names: SurvivesPrefix}, "new"), "data", "absent")
	check(t, m.SyncDir("."))
	checkStates(t, "removed and synced", states(t, m, Crash{}, "new"), "absent")
}

func TestCrashMayKeepALaterNameWithoutAnEarlierOne(t *testing.T) {
	m := NewCrashable(1)
	for _, name := range []string{"a", "b"} {
		check(t, create(t, m, name, "").Close())
	}
	left := func(names Survival) map[string]bool {
		found := map[string]bool{}
		for seed := range uint64(100) {
			entries, err := m.CrashCopy(Crash{Names: names, Seed: seed}).List("/")
			check(t, err)
			found[fmt.Sprint(entries)] = true
		}
		return found
	}
	none, a, b, both := "[]", "[{a 0 false}]", "[{b 0 false}]", "[{a 0 false} {b 0 false}]"
	checkStates(t, "some", left(SurvivesSome), none, a, b, both)
	checkStates(t, "prefix", left(SurvivesPrefix), none, a, both)
}

func TestCrashDoesARenameOrNot(t *testing.T) {
	m := NewCrashable(1)
	durableFile(t, m, "a", "old")
	durableFile(t, m, "a.tmp", "new")
	check(t, m.Rename("a.tmp", "a"))
	for seed := range uint64(100) {
		crashed := m.CrashCopy(Crash{Names: SurvivesSome, Seed: seed})
		data, err := ReadFile(crashed, "a")
		check(t, err)
		_, err = crashed.Stat("a.tmp")
		if renamed := errors.Is(err, fs.ErrNotExist); renamed != (string(data) == "new") {
			t.Fatalf("a holds %q, a.tmp: %v", data, err)
		}
	}
}

func TestCrashLosesADirectoryWithAllInIt(t *testing.T) {
	m := NewCrashable(1)
	check(t, m.MkdirAll("/x/y"))
	f := create(t, m, "/x/y/a", "data")
	check(t, f.Sync())
	check(t, m.SyncDir("/x/y"))
	check(t, m.SyncDir("/x"))
	checkStates(t, "x not synced", states(t, m, Crash{}, "/x/y/a"), "absent")
	check(t, m.SyncDir("/"))
	checkStates(t, "all synced", states(t, m, Crash{}, "/x/y/a"), "data")
}

func TestWriteAtomicLeavesOldOrNewAtEveryCrash(t *testing.T) {
	m := NewCrashable(1)
	check(t, WriteAtomic(m, "checkpoint", []byte("old")))
	after := map[string]bool{}
	m.OnOperation(func(n int64, call Call) {
		for _, names := range everySurvival {
			for state := range states(t, m, Crash{Data: SurvivesSome, Names: names, Torn: true}, "checkpoint") {
				if state != "old" && state != "new" {
					t.Errorf("after %v: %q", call, state)
				}
				after[state] = true
			}
		}
	})
	check(t, WriteAtomic(m, "checkpoint", []byte("new")))
	m.OnOperation(nil)
	checkStates(t, "during", after, "old", "new")
	checkStates(t, "returned", states(t, m, Crash{Data: SurvivesSome, Names: SurvivesSome}, "checkpoint"), "new")
}

func TestKilledProcessLosesNothingUntilThePowerFails(t *testing.T) {
	m := NewCrashable(1)
	f := durableFile(t, m, "a", "old")
	held, err := m.Lock("lock")
	check(t, err)
	defer held.Close()
	_, err = f.WriteAt([]byte("new"), 0)
	check(t, err)
	check(t, create(t, m, "b", "").Close())
	killed := m.KillCopy()
	_, err = f.WriteAt([]byte("fin"), 0)
	check(t, err)
	checkContent(t, killed, "a", "new")
	checkContent(t, killed, "b", "")
	if _, err := killed.Lock("lock"); err != nil {
		t.Errorf("the dead process still holds its lock: %v", err)
	}
	checkStates(t, "kill, then power loss", states(t, killed, Crash{}, "a"), "old")
	checkStates(t, "kill, then power loss", states(t, killed, Crash{}, "b"), "absent")
	reopened, err := killed.OpenWrite("a")
	check(t, err)
	check(t, reopened.SyncData())
	checkStates(t, "kill, sync, power loss", states(t, killed, Crash{}, "a"), "new")
}

func TestSyncAfterAFailedSyncProvesNothing(t *testing.T) {
	m := NewCrashable(1)
	faults := NewFaults(m)
	durableFile(t, m, "a", "old")
	f, err := faults.OpenWrite("a")
	check(t, err)
	_, err = f.WriteAt([]byte("new"), 0)
	check(t, err)
	faults.SetRules(Rule{Kinds: []Kind{OpSyncData}, Nth: 1, Err: syscall.EIO})
	checkIs(t, f.SyncData(), syscall.EIO)
	check(t, f.SyncData())
	checkContent(t, m, "a", "new")
	checkStates(t, "after the retry", states(t, m, Crash{}, "a"), "old")
	checkStates(t, "after the retry", states(t, m, Crash{Data: SurvivesSome}, "a"), "old", "new")
	_, err = f.WriteAt([]byte("N"), 0) // dirties the page again
	check(t, err)
	check(t, f.SyncData())
	checkStates(t, "written again", states(t, m, Crash{}, "a"), "New")

	_, err = f.WriteAt([]byte("grown"), 0)
	check(t, err)
	faults.SetRules(Rule{Kinds: []Kind{OpSyncData}, Nth: 1, Err: syscall.EIO})
	checkIs(t, f.SyncData(), syscall.EIO)
	check(t, f.SyncData())
	checkStates(t, "size after the retry", states(t, m, Crash{}, "a"), "New\x00\x00")
}

func TestFailedSyncDirLeavesNamesToTheNext(t *testing.T) {
	m := NewCrashable(1)
	faults := NewFaults(m, Rule{Kinds: []Kind{OpSyncDir}, Nth: 1, Err: syscall.EIO})
	check(t, create(t, faults, "a", "").Close())
	checkIs(t, faults.SyncDir("/"), syscall.EIO)
	checkStates(t, "after the failure", states(t, m, Crash{}, "a"), "absent")
	check(t, faults.SyncDir("/"))
	checkStates(t, "after the retry", states(t, m, Crash{}, "a"), "")
}

func TestFlippedBitIsOnTheMedium(t *testing.T) {
	m := NewCrashable(1)
	f := durableFile(t, m, "a", "a")
	_, err := f.WriteAt([]byte("c"), 0)
	check(t, err)
	check(t, m.FlipBit("a", 5))
	checkContent(t, m, "a", "C")
	checkStates(t, "flipped", states(t, m, Crash{Data: SurvivesSome}, "a"), "A", "C")
	checkIs(t, m.FlipBit("absent", 0), fs.ErrNotExist)
}

func TestOperationsAreCountedAndSeen(t *testing.T) {
	m := NewCrashable(1)
	var seen []string
	m.OnOperation(func(n int64, call Call) { seen = append(seen, fmt.Sprintf("%d %v", n, call)) })
	check(t, m.MkdirAll("d"))
	f := create(t, m, "d/a", "data")
	check(t, f.Allocate(100))
	check(t, f.Truncate(2))
	check(t, f.SyncData())
	check(t, f.Sync())
	check(t, f.Close())
	check(t, m.Rename("d/a", "d/b"))
	check(t, m.SyncDir("d"))
	check(t, m.Remove("d/b"))
	want := []string{"1 mkdirall d", "2 create d/a", "3 writeat d/a [0, 4)", "4 allocate d/a", "5 truncate d/a to 2",
		"6 syncdata d/a", "7 sync d/a", "8 rename d/a -> d/b", "9 syncdir d", "10 remove d/b"}
	if fmt.Sprint(seen) != fmt.Sprint(want) || m.Operations() != 10 {
		t.Errorf("saw %q", seen)
	}
}

// TestCrashKeepsSyncedPrefixOfAnAppendedFile holds any script of appends and syncs against what a file promises.
func TestCrashKeepsSyncedPrefixOfAnAppendedFile(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := NewCrashable(rapid.Uint64().Draw(t, "seed"))
		f := durableFile(t, m, "a", "")
		var written []byte
		synced := 0
		t.Repeat(map[string]func(*rapid.T){
			"append": func(t *rapid.T) {
				data := rapid.SliceOfN(rapid.ByteRange(1, 255), 1, 6000).Draw(t, "data")
				_, err := f.WriteAt(data, int64(len(written)))
				check(t, err)
				written = append(written, data...)
			},
			"sync": func(t *rapid.T) {
				check(t, f.SyncData())
				synced = len(written)
			},
			"crash": func(t *rapid.T) {
				choice := Crash{Data: rapid.SampledFrom(everySurvival).Draw(t, "data"), Torn: rapid.Bool().Draw(t, "torn"),
					Seed: rapid.Uint64().Draw(t, "crash seed")}
				data, err := ReadFile(m.CrashCopy(choice), "a")
				check(t, err)
				if len(data) < synced || len(data) > len(written) || !bytes.Equal(data[:synced], written[:synced]) {
					t.Fatalf("%d bytes left of %d, %d of them synced", len(data), len(written), synced)
				}
				for i, b := range data[synced:] {
					if b != 0 && b != written[synced+i] {
						t.Fatalf("byte %d was never written", synced+i)
					}
				}
			},
		})
	})
}

func TestCrashCopiesAreRepeatable(t *testing.T) {
	build := func() *Mem {
		m := NewCrashable(7)
		for i := range 10 {
			check(t, create(t, m, fmt.Sprint(i), fmt.Sprint("data", i)).Close())
		}
		return m
	}
	show := func(m *Mem) (shown string) {
		entries, err := m.List("/")
		check(t, err)
		for _, e := range entries {
			data, err := ReadFile(m, e.Name)
			check(t, err)
			shown += fmt.Sprintf("%s=%q ", e.Name, data)
		}
		return shown
	}
	for seed := range uint64(20) {
		choice := Crash{Data: SurvivesSome, Names: SurvivesSome, Torn: true, Seed: seed}
		if a, b := show(build().CrashCopy(choice)), show(build().CrashCopy(choice)); a != b {
			t.Errorf("seed %d leaves %s and %s", seed, a, b)
		}
	}
}
