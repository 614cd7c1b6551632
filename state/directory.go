package state

import (
	"errors"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// makeDir makes a directory and those above it that are missing, so that they are still there after a power cut: Pebble syncs what is
// in its directory, nobody else would sync that there is one.
func makeDir(fs vfs.FS, dir string) error {
	if _, err := fs.Stat(dir); err == nil {
		return nil
	}
	parent := fs.PathDir(dir)
	if parent != dir {
		if err := makeDir(fs, parent); err != nil {
			return err
		}
	}
	if err := fs.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	above, err := fs.OpenDir(parent)
	if err != nil {
		return err
	}
	return errors.Join(above.Sync(), above.Close())
}
