package state

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// markerPrefix begins the names of files whose names are all that they say.
const markerPrefix = "marker."

// manifestPrefix begins the names of the files that say which tables there are.
const manifestPrefix = "MANIFEST-"

// fence is the file system of one DB. The first call that changes the disk and fails is remembered, and all that would change it later
// is refused: Pebble would try again for ever, or go on where it cannot know what is on the disk.
type fence struct {
	vfs.FS
	dir     string
	broken  chan struct{} // closed by the first failure
	closed  chan struct{} // closed when the DB is being closed
	patient atomic.Bool   // the DB is open, so that closed will be closed
	once    sync.Once
	first   error // read it behind broken
	tell    func(error)
}

// newFence makes a fence that calls tell once, when it breaks.
func newFence(fs vfs.FS, dir string, tell func(error)) *fence {
	return &fence{FS: fs, dir: dir, broken: make(chan struct{}), closed: make(chan struct{}), tell: tell}
}

// fail remembers the first failure and returns it.
func (f *fence) fail(err error) error {
	f.once.Do(func() {
		f.first = err
		close(f.broken)
		f.tell(err)
	})
	<-f.broken
	return f.first
}

// failed returns the first failure, nil if there was none.
func (f *fence) failed() error {
	select {
	case <-f.broken:
		return f.first
	default:
		return nil
	}
}

// guard runs a call that changes the disk. When the fence is broken, it waits for the DB to be closed: what tries again in the background
// would otherwise do so without a pause.
func (f *fence) guard(call func() error) error {
	if err := f.failed(); err != nil {
		if f.patient.Load() {
			<-f.closed
		}
		return err
	}
	if err := call(); err != nil {
		return f.fail(err)
	}
	return nil
}

func (f *fence) guardFile(name string, open func() (vfs.File, error)) (file vfs.File, err error) {
	if !strings.HasPrefix(name, f.dir) {
		return open() // of a checkpoint
	}
	err = f.guard(func() error {
		file, err = open()
		return err
	})
	if err != nil {
		return nil, err
	}
	return &fencedFile{file, f}, nil
}

func (f *fence) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	create := func() (vfs.File, error) { return f.FS.Create(name, category) }
	switch base := f.PathBase(name); {
	case strings.HasPrefix(base, markerPrefix):
		file, err := vfs.File(nil), f.syncDirectory(f.PathDir(name))
		if err == nil {
			file, err = f.guardFile(name, create)
		}
		return f.vital(name, file, err)
	case strings.HasPrefix(base, manifestPrefix):
		file, err := f.guardFile(name, create)
		return f.vital(name, file, err)
	}
	return f.guardFile(name, create)
}

// vital returns a file of which Pebble hears no failure, in memory if it could not be made: after one it would have to end the process,
// since what it knows in memory is half changed. The fence has the failure, and what is on the disk stays as the last success left it.
func (f *fence) vital(name string, file vfs.File, err error) (vfs.File, error) {
	if err != nil {
		if file, err = vfs.NewMem().Create(f.PathBase(name), vfs.WriteCategoryUnspecified); err != nil {
			return nil, err
		}
	}
	return vitalFile{file}, nil
}

func (f *fence) OpenReadWrite(name string, category vfs.DiskWriteCategory, options ...vfs.OpenOption) (vfs.File, error) {
	return f.guardFile(name, func() (vfs.File, error) { return f.FS.OpenReadWrite(name, category, options...) })
}

func (f *fence) OpenDir(name string) (vfs.File, error) {
	directory, err := f.guardFile(name, func() (vfs.File, error) { return f.FS.OpenDir(name) })
	if fenced, ok := directory.(*fencedFile); ok {
		return fencedDirectory{fenced}, err
	}
	return directory, err
}

// syncDirectory makes the names in a directory durable. A marker names a file that was just made: after a crash the marker alone would
// be all that is left, and the directory would not open.
func (f *fence) syncDirectory(name string) error {
	directory, err := f.OpenDir(name)
	if err != nil {
		return err
	}
	return errors.Join(directory.Sync(), directory.Close())
}

func (f *fence) ReuseForWrite(oldName, newName string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return f.guardFile(newName, func() (vfs.File, error) { return f.FS.ReuseForWrite(oldName, newName, category) })
}

func (f *fence) Rename(oldName, newName string) error {
	if !strings.HasPrefix(newName, f.dir) {
		return f.FS.Rename(oldName, newName)
	}
	return f.guard(func() error { return f.FS.Rename(oldName, newName) })
}

// Remove is not guarded against failures, which cost room only, but nothing is removed behind the fence.
func (f *fence) Remove(name string) error {
	if err := f.failed(); err != nil {
		return err
	}
	if strings.HasPrefix(f.PathBase(name), markerPrefix) { // the marker that takes its place must be there first
		if err := f.syncDirectory(f.PathDir(name)); err != nil {
			return err
		}
	}
	return f.FS.Remove(name)
}

func (f *fence) RemoveAll(name string) error {
	if err := f.failed(); err != nil {
		return err
	}
	return f.FS.RemoveAll(name)
}

func (f *fence) Unwrap() vfs.FS { return f.FS }

// fencedFile is a file that was opened for writing.
type fencedFile struct {
	vfs.File
	fence *fence
}

func (f *fencedFile) Write(data []byte) (n int, err error) {
	err = f.fence.guard(func() error {
		n, err = f.File.Write(data)
		return err
	})
	return n, err
}

func (f *fencedFile) WriteAt(data []byte, offset int64) (n int, err error) {
	err = f.fence.guard(func() error {
		n, err = f.File.WriteAt(data, offset)
		return err
	})
	return n, err
}

func (f *fencedFile) Sync() error { return f.fence.guard(f.File.Sync) }

func (f *fencedFile) SyncData() error { return f.fence.guard(f.File.SyncData) }

func (f *fencedFile) SyncTo(length int64) (full bool, err error) {
	err = f.fence.guard(func() error {
		full, err = f.File.SyncTo(length)
		return err
	})
	return full, err
}

// vitalFile is one whose writes all seem to succeed.
type vitalFile struct{ vfs.File }

func (f vitalFile) Write(data []byte) (int, error) {
	_, _ = f.File.Write(data)
	return len(data), nil
}

func (f vitalFile) Sync() error {
	_ = f.File.Sync()
	return nil
}

func (f vitalFile) SyncData() error {
	_ = f.File.SyncData()
	return nil
}

func (f vitalFile) Close() error {
	_ = f.File.Close()
	return nil
}

// fencedDirectory is a directory to be synced.
type fencedDirectory struct{ *fencedFile }

// Sync returns no error, since Pebble's markers end the process on one. The fence has it, and nothing that follows succeeds.
func (d fencedDirectory) Sync() error {
	_ = d.fencedFile.Sync()
	return nil
}

func (f *fencedFile) Close() error {
	if f.fence.failed() != nil {
		_ = f.File.Close() // whatever it says, the first failure was told
		return nil
	}
	return f.fence.guard(f.File.Close)
}
