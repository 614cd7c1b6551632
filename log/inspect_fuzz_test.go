package log

import (
	"path/filepath"
	"testing"

	"github.com/millrace/millrace/internal/disk"
)

// FuzzVerify puts any bytes into the files of a segment and beside it: they are found wrong or not, and nothing panics.
func FuzzVerify(f *testing.F) {
	sound := disk.NewMem()
	l, _ := mustOpen(f, testOptions(sound))
	fill(f, l, 6)
	if err := l.Close(); err != nil {
		f.Fatal(err)
	}
	names := []string{
		fileName(0, logSuffix), fileName(0, indexSuffix), fileName(0, timeIndexSuffix), checkpointName, syncMarkName,
		leaderEpochName, fileName(6, producersSuffix), fileName(6, kafkaSnapshotSuffix), fileName(0, txnIndexSuffix),
	}
	for which, name := range names {
		data, err := disk.ReadFile(sound, filepath.Join(testDir, name))
		if err != nil {
			data = make([]byte, 40)
		}
		f.Add(uint8(which), data)
		f.Add(uint8(which), data[:len(data)/2])
	}
	f.Fuzz(func(t *testing.T, which uint8, data []byte) {
		fsys := disk.NewMem()
		for i, name := range names {
			name = filepath.Join(testDir, name)
			content, err := disk.ReadFile(sound, name)
			if i == int(which)%len(names) {
				content, err = data, nil
			}
			if err != nil {
				continue
			}
			if err := fsys.MkdirAll(testDir); err != nil {
				t.Fatal(err)
			}
			if err := disk.WriteAtomic(fsys, name, content); err != nil {
				t.Fatal(err)
			}
		}
		summary, findings, err := Verify(InspectOptions{FS: fsys, Dir: testDir, MaxRecordBytes: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		if len(findings) != summary.Damage+summary.Repairable+summary.Notes {
			t.Fatalf("%d findings, %+v", len(findings), summary)
		}
		forgetCleanClose(t, fsys)
		l, _, err := Open(Options{FS: fsys, Dir: testDir, Config: testConfig(), NowMs: 1, VerifySealed: true})
		if err == nil && summary.Damage > 0 {
			t.Fatalf("the log opens over damage: %+v", findings)
		}
		if err == nil {
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		} else if summary.Damage == 0 {
			t.Fatalf("nothing is damaged, and the log does not open: %v; %+v", err, findings)
		}
	})
}
