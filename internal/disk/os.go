package disk

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// ErrLocked says that a Lock is held by another process or by another holder in this one.
var ErrLocked = errors.New("locked by another process")

// OS returns the operating system's file system. Its files implement Backed.
// A failed SyncData or Sync is reported and never retried.
func OS() FS { return osFS{} }

type osFS struct{}

const (
	filePermission      = 0o644
	directoryPermission = 0o755
)

func (osFS) Create(name string) (File, error) {
	return openOS(name, os.O_RDWR|os.O_CREATE|os.O_EXCL)
}

func (osFS) Open(name string) (File, error) { return openOS(name, os.O_RDONLY) }

func (osFS) OpenWrite(name string) (File, error) { return openOS(name, os.O_RDWR) }

func (osFS) Remove(name string) error { return os.Remove(name) }

func (osFS) Rename(oldName, newName string) error { return os.Rename(oldName, newName) }

func (osFS) MkdirAll(dir string) error { return os.MkdirAll(dir, directoryPermission) }

func (osFS) List(dir string) ([]Entry, error) {
	found, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	entries := make([]Entry, 0, len(found))
	for _, e := range found {
		info, err := e.Info()
		if errors.Is(err, os.ErrNotExist) {
			continue // removed since the directory was read
		}
		if err != nil {
			return nil, err
		}
		entries = append(entries, entryOf(info))
	}
	return entries, nil
}

func (osFS) Stat(name string) (Entry, error) {
	info, err := os.Stat(name)
	if err != nil {
		return Entry{}, err
	}
	return entryOf(info), nil
}

func entryOf(info os.FileInfo) Entry {
	e := Entry{Name: info.Name(), IsDir: info.IsDir()}
	if !e.IsDir {
		e.Size = info.Size()
	}
	return e
}

func (osFS) SyncDir(dir string) error { return syncDirectory(dir) }

func (osFS) Lock(name string) (io.Closer, error) {
	held, err := lockFile(name)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", name, err)
	}
	return held, nil
}

func (osFS) Usage(dir string) (Usage, error) {
	usage, err := fileSystemUsage(dir)
	if err != nil {
		return Usage{}, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	return usage, nil
}

func openOS(name string, flags int) (File, error) {
	f, err := os.OpenFile(name, flags, filePermission)
	if err != nil {
		return nil, err
	}
	return &osFile{file: f}, nil
}

// osFile names its os.File instead of embedding it, so that only what File promises can be called on it.
type osFile struct{ file *os.File }

func (f *osFile) ReadAt(p []byte, off int64) (int, error) { return f.file.ReadAt(p, off) }

func (f *osFile) WriteAt(p []byte, off int64) (int, error) { return f.file.WriteAt(p, off) }

func (f *osFile) Close() error { return f.file.Close() }

func (f *osFile) Truncate(size int64) error { return f.file.Truncate(size) }

func (f *osFile) Allocate(size int64) error {
	if err := allocate(f.file, size); err != nil {
		return &os.PathError{Op: "allocate", Path: f.file.Name(), Err: err}
	}
	return nil
}

func (f *osFile) SyncData() error {
	if err := syncData(f.file); err != nil {
		return &os.PathError{Op: "fdatasync", Path: f.file.Name(), Err: err}
	}
	return nil
}

func (f *osFile) Sync() error { return f.file.Sync() }

func (f *osFile) Size() (int64, error) {
	info, err := f.file.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (f *osFile) Name() string { return f.file.Name() }

func (f *osFile) OSFile() *os.File { return f.file }
