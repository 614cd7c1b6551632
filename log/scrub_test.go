package log

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/millrace/millrace/internal/disk"
	"github.com/millrace/millrace/log/record"
)

// scrubbed is a log of several sealed segments, all of it durable.
func scrubbed(t *testing.T, fsys disk.FS) *Log {
	t.Helper()
	l, _ := mustOpen(t, testOptions(fsys))
	fill(t, l, 60)
	mustSync(t, l)
	if l.Segments() < 4 {
		t.Fatalf("only %d segments", l.Segments())
	}
	return l
}

func unpaced(int) error { return nil }

// scrubAll scrubs every sealed segment.
func scrubAll(t *testing.T, l *Log, pace func(int) error) (all []Scrubbed) {
	t.Helper()
	for from := l.LogStartOffset(); ; {
		found, err := l.Scrub(from, pace)
		if err != nil {
			t.Fatal(err)
		}
		if found.Segment != (OffsetRange{}) {
			all = append(all, found)
		}
		if found.Done {
			return all
		}
		if found.Next <= from {
			t.Fatalf("from %d on to %d", from, found.Next)
		}
		from = found.Next
	}
}

func TestScrubReadsEverySealedSegmentOnce(t *testing.T) {
	l := scrubbed(t, disk.NewMem())
	var asked int64
	all := scrubAll(t, l, func(bytes int) error {
		if bytes <= 0 || bytes > scrubWindow {
			t.Errorf("a read of %d bytes", bytes)
		}
		asked += int64(bytes)
		return nil
	})
	list := *l.segments.Load()
	if len(all) != len(list)-1 {
		t.Errorf("%d segments, %d of them sealed", len(all), len(list)-1)
	}
	for i, found := range all {
		if found.Segment != (OffsetRange{list[i].base, list[i+1].base}) || len(found.Findings) > 0 || len(found.Damaged) > 0 {
			t.Errorf("segment %d: %+v", i, found)
		}
	}
	if want := list.bytes() - list.active().size.Load(); asked != want {
		t.Errorf("asked for %d bytes, sealed are %d", asked, want)
	}
	if found, err := l.Scrub(l.LogEndOffset(), unpaced); err != nil || !found.Done || found.Segment != (OffsetRange{}) {
		t.Errorf("the active segment: %+v, %v", found, err)
	}
}

// What is damaged is told with its place, the offsets that are lost end at sound batches, and no other segment suffers.
func TestScrubFindsDamage(t *testing.T) {
	for title, c := range map[string]struct {
		damage  func(data []byte, positions []int) []byte
		problem string
		damaged func(offsets []int64, end int64) []OffsetRange // nil: none
	}{
		"a flipped bit": {func(data []byte, at []int) []byte { data[at[2]-1] ^= 1; return data }, "crc",
			func(offsets []int64, _ int64) []OffsetRange { return []OffsetRange{{offsets[1], offsets[2]}} }},
		"a flipped bit in the first batch": {func(data []byte, at []int) []byte { data[at[1]-1] ^= 1; return data }, "crc",
			func(offsets []int64, _ int64) []OffsetRange { return []OffsetRange{{offsets[0], offsets[1]}} }},
		"a flipped bit in the last batch": {func(data []byte, _ []int) []byte { data[len(data)-1] ^= 1; return data }, "crc",
			func(offsets []int64, end int64) []OffsetRange { return []OffsetRange{{offsets[len(offsets)-1], end}} }},
		"two in different batches": {func(data []byte, at []int) []byte { data[at[1]-1] ^= 1; data[at[3]-1] ^= 1; return data }, "crc",
			func(offsets []int64, _ int64) []OffsetRange {
				return []OffsetRange{{offsets[0], offsets[1]}, {offsets[2], offsets[3]}}
			}},
		"a length": {func(data []byte, at []int) []byte { data[at[1]+8] = 0x7f; return data }, "unreadable", nil},
		"a lost end": {func(data []byte, at []int) []byte { return data[:at[len(at)-1]] }, "the file has",
			func(offsets []int64, end int64) []OffsetRange { return []OffsetRange{{offsets[len(offsets)-1], end}} }},
		"zeros": {func(data []byte, at []int) []byte { clear(data[at[1]:]); return data }, "unreadable",
			func(offsets []int64, end int64) []OffsetRange { return []OffsetRange{{offsets[1], end}} }},
		"no file": {func([]byte, []int) []byte { return nil }, "missing",
			func(offsets []int64, end int64) []OffsetRange { return []OffsetRange{{offsets[0], end}} }},
	} {
		t.Run(title, func(t *testing.T) {
			fsys := disk.NewMem()
			l := scrubbed(t, fsys)
			victim := (*l.segments.Load())[1]
			name := filepath.Base(victim.path(logSuffix))
			var positions []int
			var offsets []int64
			alter(t, fsys, name, func(data []byte) []byte {
				for position := 0; position < len(data); {
					b, _, err := record.Next(data[position:])
					if err != nil {
						t.Fatal(err)
					}
					positions, offsets = append(positions, position), append(offsets, b.BaseOffset())
					position += len(b)
				}
				return c.damage(data, positions)
			})
			for i, found := range scrubAll(t, l, unpaced) {
				if i != 1 {
					if len(found.Findings) > 0 {
						t.Errorf("segment %d: %+v", i, found.Findings)
					}
					continue
				}
				if len(found.Findings) == 0 || found.Findings[0].Severity != Damage || !strings.Contains(found.Findings[0].Problem, c.problem) ||
					filepath.Base(found.Findings[0].Path) != name || found.Findings[0].Remedy == "" {
					t.Errorf("findings %+v", found.Findings)
				}
				if c.damaged != nil && !slices.Equal(found.Damaged, c.damaged(offsets, found.Segment.To)) {
					t.Errorf("damaged %v of offsets %v", found.Damaged, offsets)
				}
				if len(found.Damaged) == 0 {
					t.Error("no offsets are damaged")
				}
			}
		})
	}
}

func TestScrubTellsOfIndexesThatAreWrong(t *testing.T) {
	fsys := disk.NewMem()
	l := scrubbed(t, fsys)
	victim := (*l.segments.Load())[1]
	alter(t, fsys, filepath.Base(victim.path(indexSuffix)), func(data []byte) []byte { data[7] ^= 1; return data })
	found := scrubAll(t, l, unpaced)[1]
	if len(found.Findings) == 0 || found.Findings[0].Severity != Repairable || len(found.Damaged) > 0 {
		t.Errorf("%+v", found)
	}
}

// Gaps between offsets are what compaction leaves.
func TestScrubTakesGapsForTheWorkOfCompaction(t *testing.T) {
	fsys := disk.NewMem()
	l := scrubbed(t, fsys)
	victim := (*l.segments.Load())[1]
	var cut int64
	alter(t, fsys, filepath.Base(victim.path(logSuffix)), func(data []byte) []byte {
		first, _, err := record.Next(data)
		if err != nil {
			t.Fatal(err)
		}
		cut = int64(len(first))
		return data[cut:]
	})
	victim.size.Add(-cut)
	for _, suffix := range []string{indexSuffix, timeIndexSuffix} {
		alter(t, fsys, filepath.Base(victim.path(suffix)), func([]byte) []byte { return []byte{} })
	}
	found := scrubAll(t, l, unpaced)[1]
	for _, f := range found.Findings {
		if f.Severity == Damage {
			t.Errorf("%+v", f)
		}
	}
	if len(found.Damaged) > 0 {
		t.Errorf("damaged %v", found.Damaged)
	}
}

// A segment that goes while it is read is given up with the next read, and nothing is said of it.
func TestScrubGivesUpWhatIsDeletedMeanwhile(t *testing.T) {
	options := testOptions(disk.NewMem())
	options.Config.SegmentBytes = 4 * scrubWindow
	l, _ := mustOpen(t, options)
	for l.Segments() < 2 {
		mustAppend(t, l, batchOf(t, 1, nil, strings.Repeat("x", scrubWindow/8)), 1)
	}
	mustSync(t, l)
	end := l.LogEndOffset()
	reads := 0
	found, err := l.Scrub(0, func(int) error {
		if reads++; reads > 1 {
			return nil
		}
		if err := l.DeleteBefore(end - 1); err != nil {
			t.Fatal(err)
		}
		_, err := l.Retain(1, end)
		return err
	})
	if err != nil || len(found.Findings) > 0 || len(found.Damaged) > 0 {
		t.Errorf("%+v, %v", found, err)
	}
	if reads != 1 {
		t.Errorf("%d reads of a segment that is gone after the first", reads)
	}
}

func TestScrubEndsWhenItsPaceSaysSo(t *testing.T) {
	l := scrubbed(t, disk.NewMem())
	stop := errors.New("stop")
	if _, err := l.Scrub(0, func(int) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("got %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Scrub(0, unpaced); !errors.Is(err, ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}

// A disk that cannot be read is an error, which names the file and says where to go on.
func TestScrubOfAnUnreadableSegmentIsAnError(t *testing.T) {
	fsys := disk.NewFaults(disk.NewMem())
	l := scrubbed(t, fsys)
	victim := (*l.segments.Load())[1]
	fsys.SetRules(disk.Rule{Kinds: []disk.Kind{disk.OpReadAt}, Pattern: filepath.Base(victim.path(logSuffix)), Err: syscall.EIO})
	found, err := l.Scrub(victim.base, unpaced)
	if !errors.Is(err, syscall.EIO) || !strings.Contains(err.Error(), victim.path(logSuffix)) || found.Next <= victim.base {
		t.Errorf("%+v, %v", found, err)
	}
}
