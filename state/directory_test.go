package state

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestANewDirectorySurvivesAPowerCut leaves after the cut what was synced and nothing else.
func TestANewDirectorySurvivesAPowerCut(t *testing.T) {
	for _, dir := range []string{"state/app/store/0", "/state/app/store/0"} {
		fs := vfs.NewCrashableMem()
		db, err := Open(Options{Dir: dir, FS: fs})
		if err != nil {
			t.Fatal(err)
		}
		after := fs.CrashClone(vfs.CrashCloneCfg{})
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if names, err := after.List(dir); err != nil || len(names) == 0 {
			t.Errorf("%s has %q after the cut: %v", dir, names, err)
		}
	}
}
