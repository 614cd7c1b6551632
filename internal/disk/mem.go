package disk

import (
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
)

// Mem is a file system in memory. Relative and absolute names start at the same root, which exists.
//
// One made by NewMem forgets nothing and costs little more than the bytes. One made by NewCrashable also remembers what
// is not synced, so that CrashCopy can lose it.
type Mem struct {
	names struct {
		sync.RWMutex
		root   *node
		locked map[string]bool
	}

	budgetBytes atomic.Int64 // negative: unlimited
	usedBytes   atomic.Int64

	crashes *crashes // nil unless crashable
}

// NewMem returns an empty file system with unlimited room.
func NewMem() *Mem {
	m := &Mem{}
	m.names.root = newDirectory()
	m.names.locked = map[string]bool{}
	m.budgetBytes.Store(-1)
	return m
}

// SetBudget limits the room to budgetBytes, counted in whole blocks of 4 KiB per file; negative is unlimited. Writes
// beyond it store what fits and fail with syscall.ENOSPC. A hole counts as if it had been written.
func (m *Mem) SetBudget(budgetBytes int64) { m.budgetBytes.Store(budgetBytes) }

// UsedBytes is the room that files take, counted as SetBudget does.
func (m *Mem) UsedBytes() int64 { return m.usedBytes.Load() }

// node is a file or a directory. It lives as long as a name or an open file points to it.
type node struct {
	children map[string]*node // nil for a file; guarded by Mem.names
	names    *nameHistory     // directories of a crashable Mem; guarded by Mem.names
	file     *content         // nil for a directory
}

func newDirectory() *node { return &node{children: map[string]*node{}} }

func (n *node) isDir() bool { return n.children != nil }

// Create implements FS.
func (m *Mem) Create(name string) (File, error) {
	defer m.crashes.operation(Call{Kind: OpCreate, Name: name})()
	m.names.Lock()
	defer m.names.Unlock()
	parent, base, err := m.parentLocked(name)
	if err != nil {
		return nil, pathError("open", name, err)
	}
	if parent.children[base] != nil || base == "" {
		return nil, pathError("open", name, syscall.EEXIST)
	}
	created := &node{file: m.newContent()}
	m.linkLocked(parent, base, created)
	return created.file.open(name, true), nil
}

// Open implements FS.
func (m *Mem) Open(name string) (File, error) { return m.open(name, false) }

// OpenWrite implements FS.
func (m *Mem) OpenWrite(name string) (File, error) { return m.open(name, true) }

func (m *Mem) open(name string, writable bool) (File, error) {
	m.names.RLock()
	defer m.names.RUnlock()
	n, err := m.findLocked(name)
	if err != nil {
		return nil, pathError("open", name, err)
	}
	if n.isDir() {
		return nil, pathError("open", name, syscall.EISDIR)
	}
	return n.file.open(name, writable), nil
}

// Remove implements FS.
func (m *Mem) Remove(name string) error {
	defer m.crashes.operation(Call{Kind: OpRemove, Name: name})()
	m.names.Lock()
	defer m.names.Unlock()
	parent, base, err := m.parentLocked(name)
	if err != nil {
		return pathError("remove", name, err)
	}
	n := parent.children[base]
	switch {
	case base == "":
		return pathError("remove", name, syscall.EBUSY)
	case n == nil:
		return pathError("remove", name, syscall.ENOENT)
	case len(n.children) > 0:
		return pathError("remove", name, syscall.ENOTEMPTY)
	}
	m.unlinkLocked(parent, base)
	n.unlinked()
	return nil
}

// Rename implements FS.
func (m *Mem) Rename(oldName, newName string) error {
	defer m.crashes.operation(Call{Kind: OpRename, Name: oldName, NewName: newName})()
	m.names.Lock()
	defer m.names.Unlock()
	err := m.renameLocked(oldName, newName)
	if err != nil {
		return pathError("rename", oldName, err)
	}
	return nil
}

func (m *Mem) renameLocked(oldName, newName string) error {
	oldParent, oldBase, err := m.parentLocked(oldName)
	if err != nil {
		return err
	}
	newParent, newBase, err := m.parentLocked(newName)
	if err != nil {
		return err
	}
	moved, replaced := oldParent.children[oldBase], newParent.children[newBase]
	switch {
	case oldBase == "" || newBase == "":
		return syscall.EBUSY
	case moved == nil:
		return syscall.ENOENT
	case moved == replaced:
		return nil
	case moved.isDir() && strings.HasPrefix(clean(newName)+"/", clean(oldName)+"/"):
		return syscall.EINVAL
	case replaced != nil && replaced.isDir() && !moved.isDir():
		return syscall.EISDIR
	case replaced != nil && !replaced.isDir() && moved.isDir():
		return syscall.ENOTDIR
	case replaced != nil && len(replaced.children) > 0:
		return syscall.ENOTEMPTY
	}
	m.moveLocked(oldParent, oldBase, newParent, newBase)
	if replaced != nil {
		replaced.unlinked()
	}
	return nil
}

// MkdirAll implements FS.
func (m *Mem) MkdirAll(dir string) error {
	defer m.crashes.operation(Call{Kind: OpMkdirAll, Name: dir})()
	m.names.Lock()
	defer m.names.Unlock()
	n := m.names.root
	for _, base := range elements(dir) {
		child := n.children[base]
		if child == nil {
			child = newDirectory()
			m.linkLocked(n, base, child)
		}
		if !child.isDir() {
			return pathError("mkdir", dir, syscall.ENOTDIR)
		}
		n = child
	}
	return nil
}

// List implements FS.
func (m *Mem) List(dir string) ([]Entry, error) {
	m.names.RLock()
	defer m.names.RUnlock()
	n, err := m.findLocked(dir)
	if err == nil && !n.isDir() {
		err = syscall.ENOTDIR
	}
	if err != nil {
		return nil, pathError("open", dir, err)
	}
	entries := make([]Entry, 0, len(n.children))
	for name, child := range n.children {
		entries = append(entries, child.entry(name))
	}
	slices.SortFunc(entries, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	return entries, nil
}

// Stat implements FS.
func (m *Mem) Stat(name string) (Entry, error) {
	m.names.RLock()
	defer m.names.RUnlock()
	n, err := m.findLocked(name)
	if err != nil {
		return Entry{}, pathError("stat", name, err)
	}
	return n.entry(path.Base(clean(name))), nil
}

func (n *node) entry(name string) Entry {
	if n.isDir() {
		return Entry{Name: name, IsDir: true}
	}
	return Entry{Name: name, Size: n.file.length()}
}

// SyncDir implements FS.
func (m *Mem) SyncDir(dir string) error {
	defer m.crashes.operation(Call{Kind: OpSyncDir, Name: dir})()
	m.names.Lock()
	defer m.names.Unlock()
	n, err := m.findLocked(dir)
	if err == nil && !n.isDir() {
		err = syscall.ENOTDIR
	}
	if err != nil {
		return pathError("sync", dir, err)
	}
	n.names.sync()
	return nil
}

// Lock implements FS. A crash releases it.
func (m *Mem) Lock(name string) (io.Closer, error) {
	f, err := m.OpenWrite(name)
	if err != nil {
		f, err = m.Create(name)
	}
	if err != nil {
		return nil, pathError("lock", name, err)
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	m.names.Lock()
	defer m.names.Unlock()
	key := clean(name)
	if m.names.locked[key] {
		return nil, pathError("lock", name, ErrLocked)
	}
	m.names.locked[key] = true
	return &memLock{m: m, key: key}, nil
}

type memLock struct {
	m   *Mem
	key string
}

func (l *memLock) Close() error {
	l.m.names.Lock()
	defer l.m.names.Unlock()
	delete(l.m.names.locked, l.key)
	return nil
}

// unlimitedBytes is what Usage calls unlimited.
const unlimitedBytes = 1 << 50

// Usage implements FS.
func (m *Mem) Usage(dir string) (Usage, error) {
	m.names.RLock()
	defer m.names.RUnlock()
	if _, err := m.findLocked(dir); err != nil {
		return Usage{}, pathError("statfs", dir, err)
	}
	used, budget := m.usedBytes.Load(), m.budgetBytes.Load()
	if budget < 0 {
		budget = unlimitedBytes
	}
	return Usage{TotalBytes: budget, FreeBytes: max(0, budget-used)}, nil
}

func (m *Mem) findLocked(name string) (*node, error) {
	n := m.names.root
	for _, base := range elements(name) {
		if !n.isDir() {
			return nil, syscall.ENOTDIR
		}
		if n = n.children[base]; n == nil {
			return nil, syscall.ENOENT
		}
	}
	return n, nil
}

// parentLocked finds the directory that holds name and the last element of name, "" for the root.
func (m *Mem) parentLocked(name string) (*node, string, error) {
	dir, base := path.Split(clean(name))
	parent, err := m.findLocked(dir)
	if err == nil && !parent.isDir() {
		err = syscall.ENOTDIR
	}
	return parent, base, err
}

// The three changes of a name. Each is one entry of its directory's history.

func (m *Mem) linkLocked(parent *node, base string, n *node) {
	m.crashes.track(parent).changed(nameChange{added: base, node: n})
	if m.crashes != nil && n.isDir() {
		n.names = newNameHistory(m.crashes, nil)
	}
	parent.children[base] = n
}

func (m *Mem) unlinkLocked(parent *node, base string) {
	m.crashes.track(parent).changed(nameChange{removed: base})
	delete(parent.children, base)
}

func (m *Mem) moveLocked(oldParent *node, oldBase string, newParent *node, newBase string) {
	n := oldParent.children[oldBase]
	if oldParent == newParent {
		m.crashes.track(oldParent).changed(nameChange{removed: oldBase, added: newBase, node: n})
	} else {
		m.crashes.track(newParent).changed(nameChange{added: newBase, node: n})
		m.crashes.track(oldParent).changed(nameChange{removed: oldBase})
	}
	delete(oldParent.children, oldBase)
	newParent.children[newBase] = n
}

// unlinked gives the file's room back once nobody has it open.
func (n *node) unlinked() {
	if n.file != nil {
		n.file.unlink()
	}
}

func clean(name string) string { return path.Clean("/" + filepath.ToSlash(name)) }

func elements(name string) []string {
	trimmed := strings.Trim(clean(name), "/")
	if trimmed == "" {
		return nil
	}
	return strings.Split(trimmed, "/")
}

func pathError(op, name string, err error) error {
	return &fs.PathError{Op: op, Path: name, Err: err}
}
