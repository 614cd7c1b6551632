package streamstest

import (
	"math/rand/v2"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// disk is the file system of a process, in memory. It can take a picture of what a crash would leave at the n-th write from now
// on, and it can fail. The store writes from goroutines of its own.
type disk struct {
	files *vfs.MemFS
	mu    struct {
		sync.Mutex
		random  *rand.Rand
		writes  int        // until the picture is taken; 0: none is wanted
		picture *vfs.MemFS // nil: not taken
		err     error      // of all writes; nil: they work
	}
}

func newDisk(files *vfs.MemFS, seed uint64) *disk {
	d := &disk{files: files}
	d.mu.random = rand.New(rand.NewPCG(seed, 2))
	return d
}

// fs is what stores see of it.
func (d *disk) fs() vfs.FS { return errorfs.Wrap(d.files, errorfs.InjectorFunc(d.before)) }

// before is called before each operation.
func (d *disk) before(op errorfs.Op) error {
	switch op.Kind {
	case errorfs.OpFileClose, errorfs.OpRemove, errorfs.OpRemoveAll, errorfs.OpLock:
		return nil // a full disk does not keep them from happening
	}
	if op.Kind.ReadOrWrite() == errorfs.OpIsRead {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.mu.writes > 0 {
		d.mu.writes--
		if d.mu.writes == 0 {
			d.mu.picture = d.crashLocked()
		}
	}
	return d.mu.err
}

// arm has a picture taken before the n-th write from now on; 0: no more. An earlier picture is forgotten.
func (d *disk) arm(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mu.writes, d.mu.picture = n, nil
}

// taken returns the picture, nil if there is none.
func (d *disk) taken() *vfs.MemFS {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.mu.picture
}

// crash returns what a crash now leaves: all that was synced, and some of the rest.
func (d *disk) crash() *vfs.MemFS {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.crashLocked()
}

func (d *disk) crashLocked() *vfs.MemFS {
	return d.files.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: d.mu.random.IntN(101), RNG: d.mu.random})
}

// fail makes all writes fail from now on; nil: they work again.
func (d *disk) fail(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mu.err = err
}

// failure returns the error of all writes, nil if they work.
func (d *disk) failure() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.mu.err
}
