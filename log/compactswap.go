package log

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/millrace/millrace/internal/disk"
)

// cleaned is what is known of a segment that was written to take the place of others.
type cleaned struct {
	size    int64          // bytes
	aborted []abortedEntry // whose markers lie in it
}

// swap puts the cleaned segment in the place of the group, whose files and indexes are open. Its names go from
// .cleaned, which Open removes, over .swap, with which Open takes it for all segments that its batches cover, to .log (Kafka's
// sequence, each step durable before the next):
//
//	<base>.log.cleaned -> <base>.log.swap    from here on it counts
//	the group's indexes, and its segments but the first, are removed
//	<base>.log.swap -> <base>.log            replaces the first
//
// cuts is how often the log had been cut when the pass began: what a cut has taken away supersedes nothing.
// Before the first rename is done, an error changes nothing. After it the log has failed, reads go on from the open files of
// the group, and the next Open finishes what was begun.
func (l *Log) swap(group []*segment, by cleaned, cuts int64) error {
	l.upkeep.Lock()
	defer l.upkeep.Unlock()
	if l.cuts.Load() != cuts || !l.has(group) {
		return ErrSuperseded
	}
	if err := l.beginChange(); err != nil {
		return err
	}
	if err := l.joinAborted(group); err != nil {
		return err
	}
	base := group[0].base
	name := path(l.dir, base, logSuffix)
	if err := l.fsys.Rename(name+cleanedSuffix, name+swapSuffix); err != nil {
		return l.undoSwap(name, err)
	}
	if err := l.finishSwap(group, name); err != nil {
		l.pin(group)
		return l.fail("replace segments by "+name+swapSuffix, err)
	}
	s := newSegment(l.fsys, l.dir, base, by.size)
	s.aborted.set(by.aborted)
	l.replace(group, s)
	l.trimAborted(s, by.aborted)
	return nil
}

// has says whether the group is still a run of the log's sealed segments.
func (l *Log) has(group []*segment) bool {
	list := *l.segments.Load()
	at := slices.Index(list, group[0])
	return at >= 0 && at+len(group) < len(list) && slices.Equal(list[at:at+len(group)], group)
}

// beginChange makes the log one that was not closed in order.
func (l *Log) beginChange() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.Err(); err != nil {
		return err
	}
	return l.changeLocked()
}

// joinAborted makes the first segment's .txnindex that of all. It only ever names more than a reader asks for, and of what lies in
// the other segments nothing: until they go nothing changes, and a crash after that loses nothing.
func (l *Log) joinAborted(group []*segment) error {
	var all []abortedEntry
	own := 0
	for i, s := range group {
		entries, err := l.abortedIn(s)
		if err != nil {
			return err
		}
		if all = append(all, entries...); i == 0 {
			own = len(all)
		}
	}
	if len(all) == own {
		return nil
	}
	return replaceTxnIndex(l.fsys, group[0], appendAbortedEntries(nil, all))
}

// trimAborted makes the .txnindex of a cleaned segment say no more than it has to. A reader who got hold of the batches that
// this pass has removed still finds their transactions: those go with the next one.
func (l *Log) trimAborted(s *segment, entries []abortedEntry) {
	name := s.path(txnIndexSuffix)
	found, err := disk.ReadFile(l.fsys, name)
	data := appendAbortedEntries(nil, entries)
	if isAbsent(err) && len(data) == 0 || err == nil && bytes.Equal(found, data) {
		return
	}
	if err := replaceTxnIndex(l.fsys, s, data); err != nil {
		l.logger.Warn("transaction index of a compacted segment not replaced", "path", name, "error", err)
	}
}

// undoSwap is called when the first rename has failed: whether it was done or not, neither name may be there afterwards.
func (l *Log) undoSwap(name string, cause error) error {
	for _, suffix := range []string{swapSuffix, cleanedSuffix} {
		if err := l.fsys.Remove(name + suffix); err != nil && !isAbsent(err) {
			return l.fail("undo the replacement of "+name, errors.Join(err, cause))
		}
	}
	if err := l.fsys.SyncDir(l.dir); err != nil {
		return l.fail("undo the replacement of "+name, errors.Join(err, cause))
	}
	return writeError("rename "+name+cleanedSuffix, cause)
}

func (l *Log) finishSwap(group []*segment, name string) error {
	if err := l.fsys.SyncDir(l.dir); err != nil {
		return err
	}
	if err := removeReplaced(l.fsys, group[0].base, group); err != nil {
		return err
	}
	if err := l.fsys.SyncDir(l.dir); err != nil {
		return err
	}
	// The indexes are hints: where they cannot be had they are made anew.
	for _, suffix := range []string{indexSuffix, timeIndexSuffix} {
		index := path(l.dir, group[0].base, suffix)
		if err := l.fsys.Rename(index+cleanedSuffix, index); err != nil {
			l.logger.Warn("index of a compacted segment not kept", "path", index, "error", err)
		}
	}
	if err := l.fsys.Rename(name+swapSuffix, name); err != nil {
		return err
	}
	return l.fsys.SyncDir(l.dir)
}

// removeReplaced removes the files of segments that the cleaned segment at base takes the place of, but for what it replaces
// by its own name.
func removeReplaced(fsys disk.FS, base int64, replaced []*segment) error {
	for _, s := range replaced {
		suffixes := []string{indexSuffix, timeIndexSuffix}
		if s.base != base {
			suffixes = append(suffixes, txnIndexSuffix, logSuffix)
		}
		for _, suffix := range suffixes {
			if err := fsys.Remove(s.path(suffix)); err != nil && !isAbsent(err) {
				return fmt.Errorf("remove %s: %w", s.path(suffix), err)
			}
		}
	}
	return nil
}

// replace puts the segment in the place of the group. Whoever reads one of the group reads on.
func (l *Log) replace(group []*segment, by *segment) {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := slices.Clone(*l.segments.Load())
	at := slices.Index(list, group[0])
	list = slices.Replace(list, at, at+len(group), by)
	l.segments.Store(&list)
	l.removeSnapshotsLocked()
	for _, s := range group {
		_ = s.retire() // read only, and held open by the compaction
	}
}

// pin keeps the files of the group open until Close: their names may be gone.
func (l *Log) pin(group []*segment) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range group {
		if s.acquire() {
			l.mu.pinned = append(l.mu.pinned, s)
		}
	}
}
