package log

import (
	"errors"
	"fmt"
	"math"

	"github.com/millrace/millrace/internal/disk"
	"github.com/millrace/millrace/log/record"
)

// clean writes what is left of a group of segments into one, and puts it in their place. Where nothing goes, nothing changes.
func (c *compaction) clean(group []*segment) error {
	w := &cleanedWriter{fsys: c.log.fsys, dir: c.log.dir, pace: c.pace, room: c.options.Room, index: indexBuilder{
		base: group[0].base, intervalBytes: c.config.IndexIntervalBytes, indexes: newIndexes(nil, nil)}}
	bytesIn := segmentList(group).bytes()
	c.markers.aborted = nil
	changed, err := c.fill(w, group, max(0, math.MaxInt32-bytesIn))
	replaces := changed || len(group) > 1 && w.size > 0
	if err == nil && replaces {
		if err = w.finish(); err == nil {
			err = c.log.swap(group, cleaned{size: w.size, aborted: c.markers.aborted}, c.cuts)
		}
	} else if closeErr := w.close(); err == nil {
		err = closeErr
	}
	if err == nil && replaces {
		c.told.BytesIn += bytesIn
		c.told.BytesOut += w.size
		c.told.SegmentsMerged += len(group) - 1
		return nil
	}
	return errors.Join(err, w.remove())
}

// fill writes what is left of the group's batches. room is by how much they may grow.
func (c *compaction) fill(w *cleanedWriter, group []*segment, room int64) (changed bool, err error) {
	if err := w.create(); err != nil {
		return false, err
	}
	final := 0 // the last segment that has a batch: Kafka leaves some without
	for i, s := range group {
		if s.size.Load() > 0 {
			final = i
		}
	}
	for i, s := range group {
		err := c.reader.each(s, func(b record.Batch, last bool) (more bool, err error) {
			left, err := c.sieve(b, last && i == final, &room)
			if err != nil {
				return false, err
			}
			changed = changed || len(left) != len(b) || &left[0] != &b[0]
			return true, w.write(left)
		})
		if err != nil {
			return false, err
		}
	}
	return changed, nil
}

// cleanedWriter writes a segment and its indexes under names that the next Open removes.
type cleanedWriter struct {
	fsys     disk.FS
	dir      string
	pace     func(bytes int) error
	room     func(bytes int) error // nil: there is
	file     disk.File
	index    indexBuilder
	size     int64 // in the file and in gathered
	gathered []byte
}

const cleanedWriteBytes = 1 << 20

func (w *cleanedWriter) name(suffix string) string {
	return path(w.dir, w.index.base, suffix) + cleanedSuffix
}

// create makes the empty file, in place of one that an earlier pass left behind.
func (w *cleanedWriter) create() (err error) {
	if err := w.remove(); err != nil {
		return err
	}
	w.file, err = w.fsys.Create(w.name(logSuffix))
	if err != nil {
		return writeError("create "+w.name(logSuffix), err)
	}
	return nil
}

// write adds a batch; nil is none.
func (w *cleanedWriter) write(b record.Batch) error {
	if len(b) == 0 {
		return nil
	}
	w.index.add(b, w.size, int64(len(b)))
	w.size += int64(len(b))
	w.gathered = append(w.gathered, b...)
	if len(w.gathered) < cleanedWriteBytes {
		return nil
	}
	return w.flush()
}

func (w *cleanedWriter) flush() error {
	if w.room != nil {
		if err := w.room(len(w.gathered)); err != nil {
			return err
		}
	}
	if _, err := w.file.WriteAt(w.gathered, w.size-int64(len(w.gathered))); err != nil {
		return writeError(fmt.Sprintf("write %d bytes to %s", len(w.gathered), w.file.Name()), err)
	}
	written := len(w.gathered)
	w.gathered = w.gathered[:0]
	return w.pace(written)
}

// finish makes the batches and their indexes durable, under their temporary names.
func (w *cleanedWriter) finish() error {
	err := w.flush()
	if err == nil {
		if err = w.file.Sync(); err != nil {
			err = fmt.Errorf("sync %s: %w", w.file.Name(), err)
		}
	}
	if err = errors.Join(err, w.close()); err != nil {
		return err
	}
	x := w.index.indexes
	x.noteTime(w.index.base)
	if err := w.writeIndex(indexSuffix, appendOffsetEntries(nil, x.offsets.all())); err != nil {
		return err
	}
	return w.writeIndex(timeIndexSuffix, appendTimeEntries(nil, x.times.all()))
}

func (w *cleanedWriter) writeIndex(suffix string, data []byte) error {
	file, err := w.fsys.Create(w.name(suffix))
	if err != nil {
		return writeError("create "+w.name(suffix), err)
	}
	if len(data) > 0 {
		_, err = file.WriteAt(data, 0)
	}
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return writeError("write "+w.name(suffix), err)
	}
	return nil
}

func (w *cleanedWriter) close() error {
	if w.file == nil {
		return nil
	}
	err := w.file.Close()
	w.file = nil
	return err
}

// remove takes away whatever is there of it.
func (w *cleanedWriter) remove() error {
	errs := []error{w.close()}
	for _, suffix := range []string{logSuffix, indexSuffix, timeIndexSuffix} {
		if err := w.fsys.Remove(w.name(suffix)); err != nil && !isAbsent(err) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
