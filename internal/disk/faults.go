package disk

import (
	"io"
	"path"
	"path/filepath"
	"slices"
	"sync"
)

// Rule says which calls fail and how.
type Rule struct {
	Kinds   []Kind // empty: every kind
	Pattern string // path.Match of the last element of the name; "": every name. For a rename, the old or the new one.
	Nth     int    // fails the nth matching call, from 1; 0 fails each of them
	Err     error  // what the call fails with, wrapped in an fs.PathError; nil fails nothing

	// ShortBytes is how much of a failing write is written first.
	ShortBytes int64
	// Performed has the call take place all the same and then report Err, as when only the answer is lost.
	Performed bool
}

// Faults is a file system whose calls fail on command. A SyncData or Sync that fails on a crashable Mem drops the data
// that it should have made durable, as Linux does: a later sync that succeeds does not bring it back. Sizes and, after a
// failed SyncDir, names are not dropped, because file systems journal them: a later sync that succeeds has them.
// Its files are never Backed, so that no read goes past it.
type Faults struct {
	inner FS

	mu struct {
		sync.Mutex
		rules   []Rule
		matched []int // calls that each rule has matched
		calls   []Call
		failed  []Call
	}
}

// NewFaults returns inner with rules. Several rules are tried in order; the first that is due decides.
func NewFaults(inner FS, rules ...Rule) *Faults {
	f := &Faults{inner: inner}
	f.SetRules(rules...)
	return f
}

// SetRules replaces the rules and starts their counts afresh.
func (f *Faults) SetRules(rules ...Rule) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.rules = slices.Clone(rules)
	f.mu.matched = make([]int, len(rules))
}

// Calls returns all calls so far, failed ones included, in order.
func (f *Faults) Calls() []Call {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.mu.calls)
}

// Failed returns the calls that a rule made fail, in order.
func (f *Faults) Failed() []Call {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.mu.failed)
}

// due records the call and returns the rule that makes it fail, nil if none does.
func (f *Faults) due(call Call) *Rule {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.calls = append(f.mu.calls, call)
	var due *Rule
	for i, rule := range f.mu.rules {
		if !rule.matches(call) {
			continue
		}
		f.mu.matched[i]++
		if due == nil && rule.Err != nil && (rule.Nth == 0 || rule.Nth == f.mu.matched[i]) {
			due = &rule
		}
	}
	if due != nil {
		f.mu.failed = append(f.mu.failed, call)
	}
	return due
}

func (r Rule) matches(call Call) bool {
	if len(r.Kinds) > 0 && !slices.Contains(r.Kinds, call.Kind) {
		return false
	}
	return r.Pattern == "" || r.matchesName(call.Name) || call.Kind == OpRename && r.matchesName(call.NewName)
}

func (r Rule) matchesName(name string) bool {
	matched, err := path.Match(r.Pattern, path.Base(filepath.ToSlash(name)))
	return err == nil && matched
}

func (r *Rule) error(call Call) error { return pathError(call.Kind.String(), call.Name, r.Err) }

// run makes the call unless a rule is due.
func (f *Faults) run(call Call, perform func() error) error {
	rule := f.due(call)
	if rule == nil {
		return perform()
	}
	if rule.Performed {
		if err := perform(); err != nil {
			return err
		}
	}
	return rule.error(call)
}

// Create implements FS.
func (f *Faults) Create(name string) (File, error) {
	return f.opening(Call{Kind: OpCreate, Name: name}, f.inner.Create)
}

// Open implements FS.
func (f *Faults) Open(name string) (File, error) {
	return f.opening(Call{Kind: OpOpen, Name: name}, f.inner.Open)
}

// OpenWrite implements FS.
func (f *Faults) OpenWrite(name string) (File, error) {
	return f.opening(Call{Kind: OpOpenWrite, Name: name}, f.inner.OpenWrite)
}

func (f *Faults) opening(call Call, open func(string) (File, error)) (File, error) {
	var opened File
	err := f.run(call, func() (err error) {
		opened, err = open(call.Name)
		return err
	})
	if err != nil {
		if opened != nil {
			opened.Close()
		}
		return nil, err
	}
	return &faultyFile{faults: f, inner: opened}, nil
}

// Remove implements FS.
func (f *Faults) Remove(name string) error {
	return f.run(Call{Kind: OpRemove, Name: name}, func() error { return f.inner.Remove(name) })
}

// Rename implements FS.
func (f *Faults) Rename(oldName, newName string) error {
	return f.run(Call{Kind: OpRename, Name: oldName, NewName: newName},
		func() error { return f.inner.Rename(oldName, newName) })
}

// MkdirAll implements FS.
func (f *Faults) MkdirAll(dir string) error {
	return f.run(Call{Kind: OpMkdirAll, Name: dir}, func() error { return f.inner.MkdirAll(dir) })
}

// List implements FS.
func (f *Faults) List(dir string) (entries []Entry, err error) {
	err = f.run(Call{Kind: OpList, Name: dir}, func() (err error) {
		entries, err = f.inner.List(dir)
		return err
	})
	if err != nil {
		return nil, err
	}
	return entries, nil
}

// Stat implements FS.
func (f *Faults) Stat(name string) (entry Entry, err error) {
	err = f.run(Call{Kind: OpStat, Name: name}, func() (err error) {
		entry, err = f.inner.Stat(name)
		return err
	})
	if err != nil {
		return Entry{}, err
	}
	return entry, nil
}

// SyncDir implements FS.
func (f *Faults) SyncDir(dir string) error {
	return f.run(Call{Kind: OpSyncDir, Name: dir}, func() error { return f.inner.SyncDir(dir) })
}

// Lock implements FS.
func (f *Faults) Lock(name string) (held io.Closer, err error) {
	err = f.run(Call{Kind: OpLock, Name: name}, func() (err error) {
		held, err = f.inner.Lock(name)
		return err
	})
	if err != nil {
		if held != nil {
			held.Close()
		}
		return nil, err
	}
	return held, nil
}

// Usage implements FS.
func (f *Faults) Usage(dir string) (usage Usage, err error) {
	err = f.run(Call{Kind: OpUsage, Name: dir}, func() (err error) {
		usage, err = f.inner.Usage(dir)
		return err
	})
	if err != nil {
		return Usage{}, err
	}
	return usage, nil
}

type faultyFile struct {
	faults *Faults
	inner  File
}

func (f *faultyFile) Name() string { return f.inner.Name() }

func (f *faultyFile) call(kind Kind, off, size int64) Call {
	return Call{Kind: kind, Name: f.inner.Name(), Offset: off, Bytes: size}
}

func (f *faultyFile) ReadAt(p []byte, off int64) (n int, err error) {
	err = f.faults.run(f.call(OpReadAt, off, int64(len(p))), func() (err error) {
		n, err = f.inner.ReadAt(p, off)
		return err
	})
	return n, err
}

func (f *faultyFile) WriteAt(p []byte, off int64) (int, error) {
	call := f.call(OpWriteAt, off, int64(len(p)))
	rule := f.faults.due(call)
	if rule == nil {
		return f.inner.WriteAt(p, off)
	}
	written := min(rule.ShortBytes, int64(len(p)))
	if rule.Performed {
		written = int64(len(p))
	}
	if written > 0 {
		if n, err := f.inner.WriteAt(p[:written], off); err != nil {
			return n, err
		}
	}
	return int(written), rule.error(call)
}

func (f *faultyFile) Truncate(size int64) error {
	return f.faults.run(f.call(OpTruncate, size, 0), func() error { return f.inner.Truncate(size) })
}

func (f *faultyFile) Allocate(size int64) error {
	return f.faults.run(f.call(OpAllocate, 0, size), func() error { return f.inner.Allocate(size) })
}

func (f *faultyFile) SyncData() error {
	return f.syncResult(f.faults.run(f.call(OpSyncData, 0, 0), f.inner.SyncData))
}

func (f *faultyFile) Sync() error {
	return f.syncResult(f.faults.run(f.call(OpSync, 0, 0), f.inner.Sync))
}

// syncResult passes err on after it has done to the file what a failed sync does.
func (f *faultyFile) syncResult(err error) error {
	if m, ok := f.inner.(*memFile); ok && err != nil {
		m.content.failSync()
	}
	return err
}

func (f *faultyFile) Size() (size int64, err error) {
	err = f.faults.run(f.call(OpSize, 0, 0), func() (err error) {
		size, err = f.inner.Size()
		return err
	})
	return size, err
}

// Close closes the file even when it reports an error, as close(2) does.
func (f *faultyFile) Close() error {
	call := f.call(OpClose, 0, 0)
	rule := f.faults.due(call)
	if err := f.inner.Close(); err != nil || rule == nil {
		return err
	}
	return rule.error(call)
}
