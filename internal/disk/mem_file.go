package disk

import (
	"fmt"
	"io"
	"io/fs"
	"sync"
	"sync/atomic"
	"syscall"
)

const (
	blockBytes = 4096 // what a file's room is counted in, and what a crash keeps or loses
	chunkBytes = 256 << 10
)

// content is the bytes of one file. They lie in chunks, so that a growing file is never copied as a whole; the last
// chunk grows by doubling, so that a small file stays small. A nil chunk is a hole.
type content struct {
	m *Mem

	mu struct {
		sync.RWMutex
		chunks       [][]byte // all of chunkBytes but the last, which may be shorter; bytes beyond size are zero
		size         int64
		reservedSize int64 // of Allocate
		openFiles    int
		chargedBytes int64 // to the budget of m
		unlinked     bool
		history      *contentHistory // nil unless crashable and not synced
	}
}

func (m *Mem) newContent() *content { return &content{m: m} }

func (c *content) open(name string, writable bool) *memFile {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.openFiles++
	return &memFile{content: c, name: name, writable: writable}
}

func (c *content) length() int64 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.mu.size
}

func (c *content) unlink() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.unlinked = true
	c.releaseLocked()
}

// releaseLocked gives the room back when neither a name nor an open file is left. A crashable file keeps its bytes,
// because a crash may bring its name back.
func (c *content) releaseLocked() {
	if !c.mu.unlinked || c.mu.openFiles > 0 {
		return
	}
	c.m.usedBytes.Add(-c.mu.chargedBytes)
	c.mu.chargedBytes = 0
	if c.m.crashes == nil {
		c.mu.chunks, c.mu.size = nil, 0
	}
}

func wholeBlocks(size int64) int64 { return (size + blockBytes - 1) / blockBytes * blockBytes }

// reserveLocked charges the budget for a file of size bytes. It returns how many of them there is room for.
// The caller settles afterwards.
func (c *content) reserveLocked(size int64) int64 {
	for {
		want := wholeBlocks(size) - c.mu.chargedBytes
		if want <= 0 {
			return size
		}
		used, budget := c.m.usedBytes.Load(), c.m.budgetBytes.Load()
		got := want
		if budget >= 0 {
			got = min(want, max(0, budget-used)/blockBytes*blockBytes)
		}
		if c.m.usedBytes.CompareAndSwap(used, used+got) {
			c.mu.chargedBytes += got
			return min(size, c.mu.chargedBytes)
		}
	}
}

// settleLocked charges exactly what the file takes now.
func (c *content) settleLocked() {
	charge := wholeBlocks(max(c.mu.size, c.mu.reservedSize))
	if charge != c.mu.chargedBytes {
		c.m.usedBytes.Add(charge - c.mu.chargedBytes)
		c.mu.chargedBytes = charge
	}
}

func (c *content) readAt(p []byte, off int64) (int, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if off >= c.mu.size {
		if len(p) == 0 {
			return 0, nil
		}
		return 0, io.EOF
	}
	n := int(min(int64(len(p)), c.mu.size-off))
	c.copyOutLocked(p[:n], off)
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// copyOutLocked fills p from off, with zeros where nothing is stored.
func (c *content) copyOutLocked(p []byte, off int64) {
	for len(p) > 0 {
		index, within := int(off/chunkBytes), int(off%chunkBytes)
		n := min(len(p), chunkBytes-within)
		stored := 0
		if index < len(c.mu.chunks) && within < len(c.mu.chunks[index]) {
			stored = copy(p[:n], c.mu.chunks[index][within:])
		}
		clear(p[stored:n])
		p, off = p[n:], off+int64(n)
	}
}

func (c *content) writeAt(p []byte, off int64) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	end := off + int64(len(p))
	room := c.reserveLocked(end)
	fits := min(int64(len(p)), max(0, room-off))
	c.storeLocked(p[:fits], off)
	c.settleLocked()
	if fits < int64(len(p)) {
		return int(fits), syscall.ENOSPC
	}
	return len(p), nil
}

func (c *content) storeLocked(p []byte, off int64) {
	if len(p) == 0 {
		return
	}
	end := off + int64(len(p))
	c.changesLocked(off, end)
	c.copyInLocked(p, off)
	c.mu.size = max(c.mu.size, end)
	c.changedLocked(off, end)
}

func (c *content) copyInLocked(p []byte, off int64) {
	for len(p) > 0 {
		index, within := int(off/chunkBytes), int(off%chunkBytes)
		n := copy(c.chunkLocked(index, within+min(len(p), chunkBytes-within))[within:], p)
		p, off = p[n:], off+int64(n)
	}
}

// chunkLocked returns chunk index, grown to at least size bytes.
func (c *content) chunkLocked(index, size int) []byte {
	for len(c.mu.chunks) <= index {
		c.mu.chunks = append(c.mu.chunks, nil)
	}
	chunk := c.mu.chunks[index]
	if len(chunk) >= size {
		return chunk
	}
	grown := max(blockBytes, len(chunk)*2)
	for grown < size {
		grown *= 2
	}
	chunk = append(make([]byte, 0, grown), chunk...)[:grown]
	c.mu.chunks[index] = chunk
	return chunk
}

func (c *content) truncate(size int64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.settleLocked()
	switch {
	case size < c.mu.size:
		to := c.mu.size
		c.changesLocked(size, to)
		c.zeroLocked(size)
		c.mu.size = size
		c.mu.reservedSize = min(c.mu.reservedSize, size) // as ftruncate frees what fallocate reserved
		c.changedLocked(size, to)
	case size > c.mu.size:
		if c.reserveLocked(size) < size {
			return syscall.ENOSPC
		}
		c.changesLocked(size, size)
		c.mu.size = size
		c.changedLocked(size, size)
	}
	return nil
}

// zeroLocked drops what is stored from the offset from on.
func (c *content) zeroLocked(from int64) {
	index, within := int(from/chunkBytes), int(from%chunkBytes)
	if index >= len(c.mu.chunks) {
		return
	}
	if within < len(c.mu.chunks[index]) {
		clear(c.mu.chunks[index][within:])
	}
	clear(c.mu.chunks[index+1:])
	c.mu.chunks = c.mu.chunks[:index+1]
}

func (c *content) allocate(size int64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.settleLocked()
	if c.reserveLocked(size) < size {
		return syscall.ENOSPC
	}
	c.mu.reservedSize = max(c.mu.reservedSize, size)
	return nil
}

// memFile is one opening of a content.
type memFile struct {
	content  *content
	name     string
	writable bool
	closed   atomic.Bool
}

func (f *memFile) Name() string { return f.name }

func (f *memFile) Size() (int64, error) {
	if f.closed.Load() {
		return 0, pathError("stat", f.name, fs.ErrClosed)
	}
	return f.content.length(), nil
}

func (f *memFile) ReadAt(p []byte, off int64) (int, error) {
	if f.closed.Load() {
		return 0, pathError("read", f.name, fs.ErrClosed)
	}
	if off < 0 {
		return 0, pathError("readat", f.name, fmt.Errorf("negative offset %d", off))
	}
	return f.content.readAt(p, off)
}

func (f *memFile) WriteAt(p []byte, off int64) (int, error) {
	if err := f.checkWrite("write", off); err != nil {
		return 0, err
	}
	defer f.operation(OpWriteAt, off, int64(len(p)))()
	n, err := f.content.writeAt(p, off)
	if err != nil {
		return n, pathError("write", f.name, err)
	}
	return n, nil
}

func (f *memFile) Truncate(size int64) error {
	if err := f.checkWrite("truncate", size); err != nil {
		return err
	}
	defer f.operation(OpTruncate, size, 0)()
	if err := f.content.truncate(size); err != nil {
		return pathError("truncate", f.name, err)
	}
	return nil
}

func (f *memFile) Allocate(size int64) error {
	if err := f.checkWrite("allocate", size); err != nil {
		return err
	}
	defer f.operation(OpAllocate, 0, size)()
	if err := f.content.allocate(size); err != nil {
		return pathError("allocate", f.name, err)
	}
	return nil
}

func (f *memFile) SyncData() error { return f.sync(OpSyncData) }

func (f *memFile) Sync() error { return f.sync(OpSync) }

func (f *memFile) sync(kind Kind) error {
	if f.closed.Load() {
		return pathError("sync", f.name, fs.ErrClosed)
	}
	defer f.operation(kind, 0, 0)()
	f.content.sync()
	return nil
}

func (f *memFile) Close() error {
	if f.closed.Swap(true) {
		return pathError("close", f.name, fs.ErrClosed)
	}
	f.content.mu.Lock()
	defer f.content.mu.Unlock()
	f.content.mu.openFiles--
	f.content.releaseLocked()
	return nil
}

// checkWrite refuses what a closed or read-only file cannot do. n is an offset or a size.
func (f *memFile) checkWrite(op string, n int64) error {
	switch {
	case f.closed.Load():
		return pathError(op, f.name, fs.ErrClosed)
	case !f.writable:
		return pathError(op, f.name, syscall.EBADF)
	case n < 0:
		return pathError(op, f.name, syscall.EINVAL)
	}
	return nil
}

func (f *memFile) operation(kind Kind, off, size int64) func() {
	return f.content.m.crashes.operation(Call{Kind: kind, Name: f.name, Offset: off, Bytes: size})
}
