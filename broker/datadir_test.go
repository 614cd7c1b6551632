package broker

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/disk"
)

func TestDirectoryBelongsToOneProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "b")
	first, err := openDataDirectory(disk.OS(), path, 1)
	if err != nil {
		t.Fatal(err)
	}
	_, err = openDataDirectory(disk.OS(), path, 1)
	if !errors.Is(err, disk.ErrLocked) || !strings.Contains(err.Error(), "in use by process ") {
		t.Errorf("second open: %v", err)
	}
	if err := first.close(); err != nil {
		t.Fatal(err)
	}
	second, err := openDataDirectory(disk.OS(), path, 1)
	if err != nil {
		t.Fatal(err)
	}
	if second.clusterID != first.clusterID || second.directoryID != first.directoryID || second.nodeID != 1 {
		t.Errorf("identity %+v, was %+v", second, first)
	}
	if err := second.close(); err != nil {
		t.Error(err)
	}
}

func TestCleanShutdownMarkerIsUsedUp(t *testing.T) {
	fsys := disk.NewMem()
	for i, want := range []bool{false, true, false} {
		d, err := openDataDirectory(fsys, "/data", 1)
		if err != nil {
			t.Fatal(err)
		}
		if d.clean != want {
			t.Errorf("start %d: clean is %v", i, d.clean)
		}
		if i == 0 {
			if err := d.markClean(); err != nil {
				t.Fatal(err)
			}
		}
		if err := d.close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestForeignMetaPropertiesAreRefused(t *testing.T) {
	const good = "#comment\nversion=1\ncluster.id=abc\nnode.id=1\ndirectory.id=xyz\n"
	for text, want := range map[string]string{
		good: "",
		strings.Replace(good, "version=1", "version=0", 1):         "",
		strings.Replace(good, "version=1", "version=2", 1):         "newer",
		strings.Replace(good, "version=1", "version=x", 1):         `version "x" is not a number`,
		strings.Replace(good, "version=1", "version=-1", 1):        "not a number",
		strings.Replace(good, "node.id=1", "node.id=2", 1):         "belongs to node.id 2, not to 1",
		strings.Replace(good, "node.id=1\n", "", 1):                "node.id",
		strings.Replace(good, "cluster.id=abc", "cluster.id=", 1):  "cluster.id is missing",
		strings.Replace(good, "cluster.id=abc", "what is this", 1): "key=value",
		"": "version",
	} {
		fsys := disk.NewMem()
		if err := fsys.MkdirAll("/data"); err != nil {
			t.Fatal(err)
		}
		if err := disk.WriteAtomic(fsys, "/data/meta.properties", []byte(text)); err != nil {
			t.Fatal(err)
		}
		d, err := openDataDirectory(fsys, "/data", 1)
		if want == "" {
			if err != nil {
				t.Errorf("%q: %v", text, err)
			} else if d.clusterID != "abc" {
				t.Errorf("cluster id %q", d.clusterID)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "meta.properties") {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
		// Who refuses a directory does not keep it locked.
		lock, err := fsys.Lock("/data/" + lockName)
		if err != nil {
			t.Errorf("%q: still locked: %v", text, err)
			continue
		}
		_ = lock.Close()
	}
}

func TestDirectoryThatCannotBeWrittenIsSaid(t *testing.T) {
	readOnly := disk.NewFaults(disk.NewMem(), disk.Rule{Err: fs.ErrPermission})
	_, err := openDataDirectory(readOnly, "/data", 1)
	if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "data directory /data is not writable") {
		t.Errorf("open: %v", err)
	}
}

func TestDataDirThatIsAFileIsSaid(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := openDataDirectory(disk.OS(), path, 1)
	if err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("open: %v", err)
	}
}

func TestDirectorySurvivesACrashRightAfterItWasMade(t *testing.T) {
	fsys := disk.NewCrashable(1)
	d, err := openDataDirectory(fsys, "/srv/millrace/data", 1)
	if err != nil {
		t.Fatal(err)
	}
	crashed, err := openDataDirectory(fsys.CrashCopy(disk.Crash{}), "/srv/millrace/data", 1)
	if err != nil {
		t.Fatal(err)
	}
	if crashed.clusterID != d.clusterID {
		t.Errorf("cluster id %q, was %q", crashed.clusterID, d.clusterID)
	}
}
