package log

import (
	"sync"

	"github.com/millrace/millrace/internal/disk"
)

// durability is how the bytes of the active segment reach its file and become durable. write and cut are called by the
// writer, sync at any time, by one goroutine at a time.
//
// The valid end of a segment is the log's to know and not the file's size: an implementation may keep the file longer.
type durability interface {
	// write puts b at position, which is the valid end, and may keep no reference to it. After an error, some of b may be there.
	write(b []byte, position int64) error
	// cut makes the file what it was when the valid end was at end.
	cut(end int64) error
	// sync makes all that write has returned for before the call durable. After an error nothing is known of it.
	sync() error
	// seal is sync, and makes the valid end the size of the file, durably. More may be written afterwards.
	seal() error
	// close lets go of what is not the segment's own. sync may still be called, with nothing left to do.
	close() error
}

// groupCommit writes to the page cache, one call per batch straight from the caller's buffer, and syncs with fdatasync:
// as many batches as came in meanwhile share the next one.
type groupCommit struct {
	file disk.File
	mu   struct {
		sync.Mutex
		failed error // the first sync that failed
	}
}

func newGroupCommit(file disk.File) *groupCommit { return &groupCommit{file: file} }

func (g *groupCommit) write(b []byte, position int64) error {
	_, err := g.file.WriteAt(b, position)
	return err
}

func (g *groupCommit) cut(end int64) error { return g.file.Truncate(end) }

// sync lets no two run at once, and none after one that failed: a roll may come while a Sync is under way, and the
// system tells of a page that it could not write only once for an open file. Whoever asks second would be told that
// all is well.
func (g *groupCommit) sync() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.mu.failed == nil {
		g.mu.failed = g.file.SyncData()
	}
	return g.mu.failed
}

func (g *groupCommit) seal() error { return g.sync() }

func (g *groupCommit) close() error { return nil }

// Sync makes everything durable that was appended before the call and returns the offset up to which the log now is.
// After an error the log has failed (ErrFailed) and durable is where it was: a sync that failed is never tried again,
// because the system may have dropped the very pages that it could not write.
func (l *Log) Sync() (durable int64, err error) {
	l.syncing.Lock()
	defer l.syncing.Unlock()

	l.mu.Lock()
	if err := l.Err(); err != nil {
		l.mu.Unlock()
		return l.durable.Load(), err
	}
	reached := l.endLocked()
	if reached.offset <= l.durable.Load() {
		l.mu.Unlock()
		return l.durable.Load(), nil
	}
	s, d := l.mu.active.segment, l.mu.active.durability
	held := s.acquire()
	l.mu.Unlock()
	if !held {
		return l.durable.Load(), ErrClosed
	}

	err = d.sync()
	releaseErr := s.release()
	if err != nil {
		return l.durable.Load(), l.fail("sync "+s.path(logSuffix), err)
	}
	if releaseErr != nil {
		l.logger.Warn("segment not closed", "path", s.path(logSuffix), "error", releaseErr)
	}
	s.boundaries.add(reached.offset, reached.position)
	l.advanceDurable(reached)
	return l.durable.Load(), nil
}

// endLocked is the log's end.
func (l *Log) endLocked() place {
	s := l.mu.active.segment
	return place{offset: l.logEnd.Load(), segment: s.base, position: s.size.Load()}
}

// advanceDurable tells readers, and the next recovery, that all below reached is durable.
func (l *Log) advanceDurable(reached place) {
	for {
		durable := l.durable.Load()
		if reached.offset < durable {
			return
		}
		if l.durable.CompareAndSwap(durable, reached.offset) {
			break
		}
	}
	if err := l.marks.advance(reached, l.logStart.Load()); err != nil {
		// The batches are durable all the same; a recovery will merely know less about them.
		l.logger.Warn("sync mark not written", "dir", l.dir, "error", err)
	}
	l.assertOrder()
}
