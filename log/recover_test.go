package log

import (
	"bytes"
	"encoding/binary"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/disk"
	"github.com/millrace/millrace/log/record"
)

// content is every file of the test directory.
func content(t testing.TB, fsys disk.FS) map[string]string {
	t.Helper()
	entries, err := fsys.List(testDir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, e := range entries {
		data, err := disk.ReadFile(fsys, filepath.Join(testDir, e.Name))
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name] = string(data)
	}
	return files
}

func wantSameContent(t testing.TB, before, after map[string]string) {
	t.Helper()
	for name := range before {
		if after[name] != before[name] {
			t.Errorf("%s changed: %d bytes were there, now %d", name, len(before[name]), len(after[name]))
		}
	}
	for name := range after {
		if _, ok := before[name]; !ok {
			t.Errorf("%s was made", name)
		}
	}
}

// change rewrites one file of the test directory.
func change(t testing.TB, fsys disk.FS, name string, edit func(data []byte) []byte) {
	t.Helper()
	name = filepath.Join(testDir, name)
	data, err := disk.ReadFile(fsys, name)
	if err != nil {
		t.Fatal(err)
	}
	if err := disk.WriteAtomic(fsys, name, edit(data)); err != nil {
		t.Fatal(err)
	}
}

func remove(t testing.TB, fsys disk.FS, name string) {
	t.Helper()
	if err := fsys.Remove(filepath.Join(testDir, name)); err != nil {
		t.Fatal(err)
	}
}

// crashed returns a directory with n batches, several segments, synced up to the given offset and not closed.
func crashed(t testing.TB, n, synced int) disk.FS {
	t.Helper()
	fsys := disk.NewMem()
	l, _ := mustOpen(t, testOptions(fsys))
	fill(t, l, synced)
	if synced > 0 {
		mustSync(t, l)
	}
	fill(t, l, n-synced)
	return fsys
}

// lastSegment is the name of the last .log file.
func lastSegment(t testing.TB, fsys disk.FS) string {
	t.Helper()
	last := ""
	for name := range content(t, fsys) {
		if strings.HasSuffix(name, logSuffix) && name > last {
			last = name
		}
	}
	return last
}

func flipLastByte(data []byte) []byte {
	data[len(data)-1] ^= 1
	return data
}

func TestTornTailIsSetAsideAndCut(t *testing.T) {
	tests := []struct {
		name     string
		tear     func(data []byte) []byte
		end      int64
		setAside bool
	}{
		{"last batch garbled", flipLastByte, 49, true},
		{"last batch cut short", func(data []byte) []byte { return data[:len(data)-1] }, 49, true},
		{"size grew without the data", func(data []byte) []byte { return append(data, make([]byte, 5000)...) }, 50, false},
		{"a few bytes of the next batch", func(data []byte) []byte { return append(data, 0, 0, 0, 0, 0, 0, 0, 50, 0, 0) }, 50, true},
		{"an absurd length", func(data []byte) []byte { return append(data, bytes.Repeat([]byte{0x7f}, 100)...) }, 50, true},
		{"a batch that was here before", func(data []byte) []byte { return append(data, data[:78]...) }, 50, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			fsys := crashed(t, 50, 48)
			last := lastSegment(t, fsys)
			var torn int
			change(t, fsys, last, func(data []byte) []byte {
				torn = len(test.tear(bytes.Clone(data)))
				return test.tear(data)
			})
			l, told := mustOpen(t, testOptions(fsys))
			wantValues(t, l, 0, test.end)
			cut := told.TornBytes
			if !test.setAside {
				cut = told.ZeroBytes // and nothing that anybody has lost
			}
			if told.Clean || cut == 0 || cut != told.TornBytes+told.ZeroBytes || cut != int64(torn)-l.segments.Load().active().size.Load() {
				t.Errorf("told %+v, the file had %d bytes", told, torn)
			}
			if test.setAside {
				aside, err := disk.ReadFile(fsys, told.TornFile)
				if err != nil || int64(len(aside)) != told.TornBytes {
					t.Errorf("set aside %d bytes of %d: %v", len(aside), told.TornBytes, err)
				}
			} else if told.TornFile != "" {
				t.Errorf("zeros set aside in %s", told.TornFile)
			}
			before := content(t, fsys)
			again, toldAgain := mustOpen(t, testOptions(fsys))
			if toldAgain.TornBytes != 0 || toldAgain.IndexesRebuilt != 0 || toldAgain.FilesRemoved != 0 {
				t.Errorf("second recovery did %+v", toldAgain)
			}
			wantSameContent(t, before, content(t, fsys))
			fill(t, again, 20)
			mustSync(t, again)
			wantValues(t, again, 0, test.end+20)
		})
	}
}

func TestTornTailsKeptAreBounded(t *testing.T) {
	fsys := crashed(t, 50, 48)
	for range tornFilesMax + 3 {
		l, _ := mustOpen(t, testOptions(fsys))
		fill(t, l, 1)
		mustSync(t, l)
		change(t, fsys, lastSegment(t, fsys), func(data []byte) []byte {
			return append(data, bytes.Repeat([]byte{0x7f}, tornFileMax+100)...)
		})
	}
	mustOpen(t, testOptions(fsys))
	kept := 0
	for name, data := range content(t, fsys) {
		if strings.HasSuffix(name, tornSuffix) {
			kept++
			if len(data) > tornFileMax {
				t.Errorf("%s has %d bytes", name, len(data))
			}
		}
	}
	if kept != tornFilesMax {
		t.Errorf("%d torn tails kept", kept)
	}
}

func TestDamageTakesTheLogOfflineAndChangesNothing(t *testing.T) {
	cutToHalf := func(data []byte) []byte { return data[:len(data)/2] }
	tests := []struct {
		name   string
		damage func(t *testing.T, fsys disk.FS)
		path   string // of the error, "" for the last segment
	}{
		{"bit flipped below the sync mark in the last segment", func(t *testing.T, fsys disk.FS) {
			change(t, fsys, lastSegment(t, fsys), flipLastByte)
		}, ""},
		{"last segment shorter than the sync mark", func(t *testing.T, fsys disk.FS) {
			change(t, fsys, lastSegment(t, fsys), cutToHalf)
		}, ""},
		{"bit flipped in a sealed segment", func(t *testing.T, fsys disk.FS) {
			change(t, fsys, fileName(0, logSuffix), flipLastByte)
		}, fileName(0, logSuffix)},
		{"sealed segment cut short", func(t *testing.T, fsys disk.FS) {
			change(t, fsys, fileName(0, logSuffix), cutToHalf)
		}, fileName(0, logSuffix)},
		{"sealed segment ends too early", func(t *testing.T, fsys disk.FS) {
			change(t, fsys, fileName(0, logSuffix), func(data []byte) []byte {
				_, rest, err := record.Next(data)
				if err != nil {
					t.Fatal(err)
				}
				return data[:len(data)-(len(data)-len(rest))]
			})
		}, fileName(0, logSuffix)},
		{"first segment missing", func(t *testing.T, fsys disk.FS) { remove(t, fsys, fileName(0, logSuffix)) }, "."},
		{"last segment missing", func(t *testing.T, fsys disk.FS) { remove(t, fsys, lastSegment(t, fsys)) }, ""},
		{"all segments missing", func(t *testing.T, fsys disk.FS) {
			for name := range content(t, fsys) {
				if strings.HasSuffix(name, logSuffix) {
					remove(t, fsys, name)
				}
			}
		}, "."},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			fsys := crashed(t, 50, 50)
			test.damage(t, fsys)
			before := content(t, fsys)
			l, _, err := Open(testOptions(fsys))
			damage, ok := errors.AsType[*CorruptError](err)
			if !ok {
				t.Fatalf("open: %v, %v", l, err)
			}
			path := test.path
			if path == "" {
				path = lastSegment(t, fsys)
			}
			if damage.Path != filepath.Join(testDir, path) {
				t.Errorf("path %s, expected %s: %v", damage.Path, path, err)
			}
			wantSameContent(t, before, content(t, fsys))
		})
	}
}

func TestHoleBetweenSegmentsIsDamage(t *testing.T) {
	for _, closed := range []bool{true, false} {
		fsys := disk.NewMem()
		l, _ := mustOpen(t, testOptions(fsys))
		fill(t, l, 50)
		mustSync(t, l)
		list := *l.segments.Load()
		if closed {
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		}
		remove(t, fsys, fileName(list[1].base, logSuffix))
		if _, _, err := Open(testOptions(fsys)); !isCorrupt(err) {
			t.Errorf("closed %v: %v", closed, err)
		}
	}
}

func isCorrupt(err error) bool {
	_, ok := errors.AsType[*CorruptError](err)
	return ok
}

func TestFilesThatAreHintsAreRebuilt(t *testing.T) {
	garble := func(data []byte) []byte { return bytes.Repeat([]byte{0xa5}, len(data)+3) }
	edits := map[string]func(data []byte) []byte{
		"garbled": garble,
		"empty":   func([]byte) []byte { return nil },
		"zeroed":  func(data []byte) []byte { return make([]byte, len(data)) },
		"cut":     func(data []byte) []byte { return data[:len(data)/2] },
		"missing": nil,
	}
	for _, closed := range []bool{true, false} {
		for edit, apply := range edits {
			for _, suffix := range []string{indexSuffix, timeIndexSuffix, producersSuffix, leaderEpochName, checkpointName, syncMarkName} {
				t.Run(suffix+" "+edit, func(t *testing.T) {
					fsys := disk.NewMem()
					l, _ := mustOpen(t, testOptions(fsys))
					fillProduced(t, l, 50)
					mustSync(t, l)
					if closed {
						if err := l.Close(); err != nil {
							t.Fatal(err)
						}
					}
					hit := false
					for name := range content(t, fsys) {
						if strings.HasSuffix(name, suffix) {
							hit = true
							if apply == nil {
								remove(t, fsys, name)
							} else {
								change(t, fsys, name, apply)
							}
						}
					}
					if !hit {
						t.Fatalf("no file %s", suffix)
					}
					again, _ := mustOpen(t, testOptions(fsys))
					wantProduced(t, again, 50)
				})
			}
		}
	}
}

// fillProduced appends n batches of one record each by one producer, with a new leader epoch every ten.
func fillProduced(t testing.TB, l *Log, n int) {
	t.Helper()
	for range n {
		at := l.LogEndOffset()
		b := batchOf(t, 1000+at, &record.Producer{ID: 5, Epoch: 1, BaseSequence: int32(at)}, "value")
		if _, err := l.Append(b, AppendOptions{NowMs: 1000 + at, LeaderEpoch: int32(at / 10)}); err != nil {
			t.Fatal(err)
		}
	}
}

// wantProduced checks everything derived from what fillProduced appended.
func wantProduced(t testing.TB, l *Log, n int64) {
	t.Helper()
	if values := readAll(t, l, l.LogStartOffset()); l.LogEndOffset() != n || int64(len(values)) != n-l.LogStartOffset() {
		t.Fatalf("[%d, %d) with %d values", l.LogStartOffset(), l.LogEndOffset(), len(values))
	}
	if producers := l.Producers(); len(producers) != 1 || producers[0].LastSequence != int32(n-1) || producers[0].Epoch != 1 {
		t.Errorf("producers %+v", producers)
	}
	for i := range min(n, dedupeWindow) {
		repeat := batchOf(t, 1, &record.Producer{ID: 5, Epoch: 1, BaseSequence: int32(n - 1 - i)}, "value")
		if a, err := l.Append(repeat, AppendOptions{}); err != nil || !a.Duplicate || a.BaseOffset != n-1-i {
			t.Errorf("repeat of offset %d: %+v, %v", n-1-i, a, err)
		}
	}
	if l.LatestEpoch() != int32((n-1)/10) {
		t.Errorf("latest epoch %d", l.LatestEpoch())
	}
	for offset := l.LogStartOffset(); offset < n; offset++ {
		found, ok, err := l.OffsetForTimestamp(1000 + offset)
		if err != nil || !ok || found.Offset != offset || found.TimestampMs != 1000+offset || found.LeaderEpoch != int32(offset/10) {
			t.Errorf("at time %d: %+v, %v, %v", 1000+offset, found, ok, err)
		}
	}
	if found, ok, err := l.MaxTimestamp(); err != nil || !ok || found.Offset != n-1 {
		t.Errorf("max timestamp: %+v, %v, %v", found, ok, err)
	}
}

func TestNewerFormatIsRefused(t *testing.T) {
	newer := func(versionAt int, crcOver int) func(data []byte) []byte {
		return func(data []byte) []byte {
			binary.BigEndian.PutUint16(data[versionAt:], 9)
			for from := 0; from+crcOver <= len(data); from += crcOver {
				binary.BigEndian.PutUint16(data[from+versionAt:], 9)
				putCRC(data[from+crcOver-crcSize:], data[from:from+crcOver-crcSize])
			}
			return data
		}
	}
	for name, edit := range map[string]func(data []byte) []byte{
		checkpointName: newer(4, checkpointSize),
		syncMarkName:   newer(4, syncMarkSlotSize),
		partitionMetadataName: func(data []byte) []byte {
			return bytes.Replace(data, []byte("version: 0"), []byte("version: 7"), 1)
		},
	} {
		fsys := disk.NewMem()
		o := testOptions(fsys)
		o.TopicID = [16]byte{1, 2, 3}
		l, _ := mustOpen(t, o)
		fill(t, l, 5)
		mustSync(t, l)
		change(t, fsys, name, edit)
		before := content(t, fsys)
		if _, _, err := Open(o); !errors.Is(err, ErrNewerFormat) {
			t.Errorf("%s: %v", name, err)
		}
		wantSameContent(t, before, content(t, fsys))
	}
}

func TestDirectoryOfAnotherTopicIsRefused(t *testing.T) {
	fsys := disk.NewMem()
	o := testOptions(fsys)
	o.TopicID = [16]byte{1}
	l, _ := mustOpen(t, o)
	fill(t, l, 1)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	o.TopicID = [16]byte{2}
	if _, _, err := Open(o); err == nil || !strings.Contains(err.Error(), "topic id") {
		t.Errorf("open: %v", err)
	}
}

func TestLeftoversAreRemoved(t *testing.T) {
	fsys := crashed(t, 50, 50)
	before := content(t, fsys)
	for _, name := range []string{
		fileName(0, logSuffix) + deletedSuffix, fileName(3, indexSuffix) + deletedSuffix, checkpointName + tempSuffix,
		fileName(9, logSuffix) + cleanedSuffix, fileName(40000, indexSuffix), fileName(40000, timeIndexSuffix),
		fileName(51, producersSuffix), fileName(51, kafkaSnapshotSuffix),
	} {
		if err := disk.WriteAtomic(fsys, filepath.Join(testDir, name), []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	_, told := mustOpen(t, testOptions(fsys))
	if told.FilesRemoved != 8 {
		t.Errorf("%d files removed", told.FilesRemoved)
	}
	wantSameContent(t, before, content(t, fsys))
}

func TestInterruptedKafkaCompactionIsRefused(t *testing.T) {
	fsys := crashed(t, 5, 5)
	if err := disk.WriteAtomic(fsys, filepath.Join(testDir, fileName(0, logSuffix)+swapSuffix), nil); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Open(testOptions(fsys)); !isCorrupt(err) || !strings.Contains(err.Error(), "no segment begins") {
		t.Errorf("open: %v", err)
	}
	for _, name := range []string{checkpointName, syncMarkName} {
		if err := fsys.Remove(filepath.Join(testDir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := Open(testOptions(fsys)); !isCorrupt(err) || !strings.Contains(err.Error(), "start and stop Kafka") {
		t.Errorf("open: %v", err)
	}
}

// fromKafka makes the directory of a crashed log one that has only files of Kafka's.
func fromKafka(t *testing.T, fsys disk.FS) {
	t.Helper()
	for name := range content(t, fsys) {
		if strings.HasPrefix(name, "millrace.") || strings.HasSuffix(name, producersSuffix) {
			remove(t, fsys, name)
		}
	}
}

func TestDirectoryOfKafkaOpens(t *testing.T) {
	fsys := disk.NewMem()
	l, _ := mustOpen(t, testOptions(fsys))
	fillProduced(t, l, 50)
	mustSync(t, l)
	fromKafka(t, fsys)
	// Kafka preallocates the active segment's indexes with zeros.
	last := strings.TrimSuffix(lastSegment(t, fsys), logSuffix)
	if err := disk.WriteAtomic(fsys, filepath.Join(testDir, last+indexSuffix), make([]byte, 8000)); err != nil {
		t.Fatal(err)
	}
	again, told := mustOpen(t, testOptions(fsys))
	if told.Clean || told.ScannedBytes != again.Size() || told.IndexesRebuilt != 1 {
		t.Errorf("told %+v of %d bytes", told, again.Size())
	}
	wantProduced(t, again, 50)
}

func TestProducersOfKafkaOutliveTheirSegments(t *testing.T) {
	fsys := crashed(t, 50, 50)
	fromKafka(t, fsys)
	snapshot := filepath.Join(testDir, fileName(50, kafkaSnapshotSuffix))
	if err := disk.WriteAtomic(fsys, snapshot, kafkaSnapshotWithCRC()); err != nil {
		t.Fatal(err)
	}
	l, _ := mustOpen(t, testOptions(fsys))
	repeat := batchOf(t, 1, &record.Producer{ID: 1, Epoch: 2, BaseSequence: 5}, "5", "6", "7", "8", "9")
	if a, err := l.Append(repeat, AppendOptions{}); err != nil || !a.Duplicate || a.BaseOffset != 105 {
		t.Errorf("repeat: %+v, %v", a, err)
	}
}

func TestDamageInADirectoryOfKafka(t *testing.T) {
	fsys := crashed(t, 50, 50)
	fromKafka(t, fsys)
	change(t, fsys, lastSegment(t, fsys), flipLastByte)
	l, told := mustOpen(t, testOptions(fsys))
	if told.TornBytes == 0 {
		t.Errorf("told %+v", told)
	}
	wantValues(t, l, 0, 49)

	fsys = crashed(t, 50, 50)
	fromKafka(t, fsys)
	change(t, fsys, fileName(0, logSuffix), flipLastByte)
	if _, _, err := Open(testOptions(fsys)); !isCorrupt(err) {
		t.Errorf("open: %v", err)
	}
}

func TestStaleSyncMarkIsMerelyOlder(t *testing.T) {
	fsys := crashed(t, 50, 10)
	mark, err := disk.ReadFile(fsys, filepath.Join(testDir, syncMarkName))
	if err != nil {
		t.Fatal(err)
	}
	l, _ := mustOpen(t, testOptions(fsys))
	fill(t, l, 10)
	mustSync(t, l)
	change(t, fsys, syncMarkName, func([]byte) []byte { return mark })
	again, _ := mustOpen(t, testOptions(fsys))
	wantValues(t, again, 0, 60)
}
