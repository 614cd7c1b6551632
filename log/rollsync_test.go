package log

import (
	"errors"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/millrace/millrace/internal/disk"
)

// onceDisk fails as Linux does: the system tells of a page that it could not write to one of the syncs of an open file,
// and not to the next.
type onceDisk struct {
	disk.FS
	armed   atomic.Bool
	entered chan struct{} // closed when the failing sync is under way
	leave   chan struct{} // closed to let it return
}

type onceFile struct {
	disk.File
	disk *onceDisk
}

func (d *onceDisk) Create(name string) (disk.File, error) {
	file, err := d.FS.Create(name)
	return &onceFile{file, d}, err
}

func (d *onceDisk) OpenWrite(name string) (disk.File, error) {
	file, err := d.FS.OpenWrite(name)
	return &onceFile{file, d}, err
}

func (f *onceFile) SyncData() error {
	if !f.disk.armed.Swap(false) {
		return f.File.SyncData()
	}
	close(f.disk.entered)
	<-f.disk.leave
	return syscall.EIO
}

// TestRollBesideFailingSyncPromisesNothing: the sync of a roll succeeds although the bytes are lost, because a Sync that
// is not back yet has been told. A roll waits for it, and neither moves the end of what is durable.
func TestRollBesideFailingSyncPromisesNothing(t *testing.T) {
	files := &onceDisk{FS: disk.NewMem(), entered: make(chan struct{}), leave: make(chan struct{})}
	l, _, err := Open(Options{FS: files, Dir: "/p", Config: DefaultConfig(), NowMs: 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append(batchOf(t, 1, nil, "x"), AppendOptions{NowMs: 1}); err != nil {
		t.Fatal(err)
	}
	files.armed.Store(true)
	synced, rolled := make(chan error, 1), make(chan error, 1)
	go func() { _, err := l.Sync(); synced <- err }()
	<-files.entered
	go func() { rolled <- l.Roll(2) }()
	for range 10_000 { // a roll that does not wait gets the time to go through
		runtime.Gosched()
	}
	close(files.leave)
	if err := <-synced; !errors.Is(err, ErrFailed) {
		t.Errorf("sync: %v", err)
	}
	if err := <-rolled; err == nil {
		t.Error("the roll succeeded over bytes that were not written")
	}
	mark, _, err := readSyncMark(files.FS, "/p/"+syncMarkName)
	if err != nil {
		t.Fatal(err)
	}
	if l.DurableOffset() != 0 || mark.durable.offset != 0 {
		t.Errorf("durable %d, the mark says %d; the sync of those bytes failed", l.DurableOffset(), mark.durable.offset)
	}
}
