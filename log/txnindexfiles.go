package log

import (
	"bytes"
	"errors"
	"io/fs"
	"slices"

	"github.com/millrace/millrace/internal/disk"
)

// noteAbortedLocked adds to the active segment's aborted transactions, in memory and in the file. That it fails there is of no
// concern: sealing the segment writes what is missing, and says so if it cannot.
func (l *Log) noteAbortedLocked(e abortedEntry) {
	active := &l.mu.active
	active.segment.aborted.add(e)
	l.transacted.Store(true)
	if err := l.writeAbortedLocked(); err != nil {
		l.logger.Debug("aborted transaction not saved yet", "base", active.segment.base, "error", err)
	}
}

// writeAbortedLocked appends to the active segment's .txnindex what it lacks.
func (l *Log) writeAbortedLocked() (err error) {
	active := &l.mu.active
	entries, _ := active.segment.aborted.get()
	if active.abortedFile == nil {
		if active.abortedFile, err = openOrCreate(l.fsys, active.segment.path(txnIndexSuffix)); err != nil {
			return err
		}
	}
	data := appendAbortedEntries(nil, entries[active.savedAborted:])
	if _, err := active.abortedFile.WriteAt(data, int64(active.savedAborted)*abortedEntrySize); err != nil {
		return err
	}
	active.savedAborted = len(entries)
	return nil
}

// sealAbortedLocked completes the active segment's .txnindex and makes it durable, its name too: a file that is not there would
// say that nothing was aborted, once there is a later snapshot of the producers. A segment without aborted transactions has none.
func (l *Log) sealAbortedLocked() error {
	active := &l.mu.active
	if entries, _ := active.segment.aborted.get(); len(entries) == 0 {
		return nil
	}
	if err := l.writeAbortedLocked(); err != nil {
		return writeError("write "+active.segment.path(txnIndexSuffix), err)
	}
	if err := sealFile(active.abortedFile, int64(active.savedAborted)*abortedEntrySize); err != nil {
		return err
	}
	return l.fsys.SyncDir(l.dir)
}

// settleAborted makes what is known of aborted transactions agree with the batches that were replayed after the snapshot.
func (r *recovery) settleAborted() error {
	list := segmentList(r.directory.segments)
	for i, s := range list {
		name := fileName(s.base, txnIndexSuffix)
		replayed := r.replay.from < r.end.offset && i >= list.find(r.replay.from)
		switch {
		case !replayed && !r.directory.has[name]:
			s.aborted.set(nil)
		case replayed:
			entries, err := r.abortedBefore(s)
			if err != nil {
				return err
			}
			entries = append(entries, r.replay.aborted[s.base]...)
			s.aborted.set(entries)
			if err := r.rewriteAborted(s, entries, i == len(list)-1); err != nil {
				return err
			}
		}
	}
	return nil
}

// abortedBefore returns the aborted transactions of the segment whose markers lie before the snapshot, if it has such.
func (r *recovery) abortedBefore(s *segment) ([]abortedEntry, error) {
	if s.base >= r.replay.from || !r.directory.has[fileName(s.base, txnIndexSuffix)] {
		return nil, nil
	}
	f := abortedFinder{fsys: r.options.FS, dir: r.options.Dir, directory: r.directory, end: r.replay.from, logger: r.options.Logger}
	entries, err := f.find(s)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(entries, func(e abortedEntry) bool { return e.LastOffset >= r.replay.from }), nil
}

// rewriteAborted replaces the .txnindex of a segment if it does not hold the entries. That of the active segment is written on
// when something is aborted, and when it is sealed; but without entries nobody would touch it any more.
func (r *recovery) rewriteAborted(s *segment, entries []abortedEntry, active bool) error {
	if active && len(entries) > 0 || !active && len(entries) == 0 && !r.directory.has[fileName(s.base, txnIndexSuffix)] {
		return nil
	}
	found, err := disk.ReadFile(r.options.FS, s.path(txnIndexSuffix))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	data := appendAbortedEntries(nil, entries)
	if bytes.Equal(found, data) {
		return nil
	}
	r.told.IndexesRebuilt++
	return replaceTxnIndex(r.options.FS, s, data)
}

// replaceTxnIndex makes data the .txnindex of a segment; without any there is no file.
func replaceTxnIndex(fsys disk.FS, s *segment, data []byte) error {
	name := s.path(txnIndexSuffix)
	var err error
	if len(data) > 0 {
		err = disk.WriteAtomic(fsys, name, data)
	} else {
		err = fsys.Remove(name)
	}
	if err != nil && !isAbsent(err) {
		return writeError("replace "+name, err)
	}
	return nil
}
