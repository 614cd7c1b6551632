package log

import (
	"errors"
	"fmt"
	"io"

	"github.com/millrace/millrace/internal/disk"
	"github.com/millrace/millrace/log/record"
)

// segmentInspection walks one segment.
type segmentInspection struct {
	*inspection
	segment *segment
	path    string
	file    disk.File
	size    int64
	last    bool
	unsure  bool // the batch before is corrupt: how far its offsets went is not known
	buffer  []byte
	reader  record.Reader

	indexes  indexInspection
	txnIndex txnIndexInspection
}

func (i *inspection) inspectSegment(s *segment, first, last bool) error {
	path := s.dataPath()
	file, err := i.options.FS.Open(path)
	if vanished(err) && path != s.path(logSuffix) { // the compaction was finished meanwhile
		path = s.path(logSuffix)
		file, err = i.options.FS.Open(path)
	}
	if i.lastVanished = vanished(err); i.lastVanished {
		return i.find(Note, path, -1, "deleted while the directory was read", noRemedy)
	}
	if err != nil {
		return err
	}
	defer file.Close()
	size, err := file.Size()
	if err != nil {
		return err
	}
	if err := i.inspectJoint(s, path, first); err != nil {
		return err
	}
	w := segmentInspection{inspection: i, segment: s, path: path, file: file, size: size, last: last}
	if err := w.openIndexes(); err != nil {
		return err
	}
	if i.visit.Segment != nil {
		info := SegmentInfo{Name: fileName(s.base, logSuffix), BaseOffset: s.base, Bytes: size,
			IndexEntries: w.indexes.offsetCount(), TimeIndexEntries: w.indexes.timeCount(),
			TxnIndexEntries: known(w.txnIndex.known, len(w.txnIndex.entries))}
		if err := i.visit.Segment(info); err != nil {
			return err
		}
	}
	position, err := w.walk(0)
	if err != nil {
		return err
	}
	return w.closeIndexes(position)
}

// inspectJoint compares the segment's base offset with the end of the one before.
func (i *inspection) inspectJoint(s *segment, path string, first bool) error {
	before := i.next
	i.next = s.base
	switch {
	case first || s.base == before:
		return nil
	case s.base < before:
		return i.find(Damage, path, -1, fmt.Sprintf("the segment begins at offset %d, the one before ends at %d", s.base, before), restoreRemedy)
	}
	if deleted, err := i.deletedBelow(s.base); err != nil || deleted {
		return err
	}
	if missing, err := i.mayBeMissing(s.base); err != nil || missing {
		return err
	}
	return i.find(Damage, path, -1,
		fmt.Sprintf("offsets [%d, %d) are missing before this segment", before, s.base), restoreRemedy+"; a compacted topic needs --compacted")
}

// walk visits the batches from position on and returns where they end.
func (w *segmentInspection) walk(position int64) (end int64, err error) {
	for position < w.size {
		b, err := w.read(position)
		if unreadable, ok := errors.AsType[*readError](err); ok {
			return position, unreadable
		}
		if err != nil {
			resumed, err := w.broken(position, err)
			if err != nil || resumed < 0 {
				return position, err
			}
			position = resumed
			continue
		}
		if err := w.batch(b, position); err != nil {
			return position, err
		}
		position += int64(len(b))
	}
	return position, nil
}

// read returns the whole batch at position, valid until the next read. A readError is a failure of the file.
func (w *segmentInspection) read(position int64) (record.Batch, error) {
	head, err := w.readAt(position, min(record.HeaderSize, w.size-position))
	if err != nil {
		return nil, err
	}
	size, err := record.Size(head)
	if err != nil {
		return nil, err
	}
	if int64(size) > w.size-position {
		return nil, fmt.Errorf("%w: %d bytes of %d", record.ErrShort, w.size-position, size)
	}
	raw, err := w.readAt(position, int64(size))
	return record.Batch(raw), err
}

func (w *segmentInspection) readAt(position, count int64) ([]byte, error) {
	if int64(cap(w.buffer)) < count {
		w.buffer = make([]byte, max(count, min(scanBuffer, w.size)))
	}
	raw := w.buffer[:count]
	if n, err := w.file.ReadAt(raw, position); int64(n) < count {
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, &readError{fmt.Errorf("read %s at %d: %w", w.path, position, err)}
	}
	return raw, nil
}

// broken tells of bytes that are no batch and returns where the batches go on by the index, -1 if nowhere.
func (w *segmentInspection) broken(position int64, wrong error) (resumed int64, err error) {
	if w.afterFloor(position) {
		return -1, w.find(Note, w.path, position, fmt.Sprintf("%d bytes after the last whole batch: %v", w.size-position, wrong),
			"nothing: never made durable, the broker is writing here or the next start cuts it off")
	}
	for _, entry := range w.indexes.offsets {
		if int64(entry.position) <= position || int64(entry.position) >= w.size {
			continue
		}
		b, err := w.read(int64(entry.position))
		if err != nil || b.CheckCRC() != nil || b.LastOffset() != w.segment.base+int64(entry.relative) {
			continue
		}
		lost := fmt.Sprintf("%v; bytes [%d, %d) with offsets [%d, %d) are unreadable", wrong, position, entry.position, w.next, b.BaseOffset())
		w.next = b.BaseOffset()
		w.indexes.skipTo(int64(entry.position))
		return int64(entry.position), w.find(Damage, w.path, position, lost, restoreRemedy)
	}
	return -1, w.find(Damage, w.path, position,
		fmt.Sprintf("%v; the last %d bytes, from offset %d on, are unreadable", wrong, w.size-position, w.next), restoreRemedy)
}

// afterFloor says whether the position lies beyond all that is known to have been durable.
func (w *segmentInspection) afterFloor(position int64) bool {
	if !w.last {
		return false
	}
	if !w.checkpointKnown && !w.markKnown {
		return true // Kafka does not say; it cuts whatever does not fit at the end
	}
	return w.floor.segment < w.segment.base || w.floor.segment == w.segment.base && position >= w.floor.position
}

// batch looks at one framed batch.
func (w *segmentInspection) batch(b record.Batch, position int64) error {
	info := batchInfo(b, position)
	crc := b.CheckCRC()
	info.CRCOK = crc == nil
	if crc != nil && w.afterFloor(position) {
		if err := w.find(Note, w.path, position, crc.Error(),
			"nothing: never made durable, the broker is writing here or the next start cuts it off"); err != nil {
			return err
		}
	} else if crc != nil {
		problem := fmt.Sprintf("batch that says offsets [%d, %d]: %v", b.BaseOffset(), b.LastOffset(), crc)
		w.unsure, w.indexes.torn = true, true // neither its offsets nor its length can be believed
		if err := w.find(Damage, w.path, position, problem, restoreRemedy); err != nil {
			return err
		}
	}
	if crc == nil {
		if err := w.sound(b, position, &info); err != nil {
			return err
		}
	}
	w.indexes.batch(b, position)
	if w.visit.Batch == nil {
		return nil
	}
	return w.visit.Batch(info, b)
}

// sound looks at a batch whose CRC matches.
func (w *segmentInspection) sound(b record.Batch, position int64, info *BatchInfo) error {
	next, unsure := w.next, w.unsure
	w.next, w.unsure = b.NextOffset(), false // of this batch, wrong or not: one finding for one wrong offset
	w.summary.Batches++
	w.summary.Records += int64(b.Count())
	w.summary.Bytes += int64(len(b))
	w.seen = w.seen.assign(b.PartitionLeaderEpoch(), b.BaseOffset())
	complain := func(format string, args ...any) error {
		problem := fmt.Sprintf("batch of offsets [%d, %d]: ", b.BaseOffset(), b.LastOffset()) + fmt.Sprintf(format, args...)
		return w.find(Damage, w.path, position, problem, restoreRemedy)
	}
	switch base := b.BaseOffset(); {
	case b.LastOffsetDelta() < 0:
		return complain("last offset delta %d", b.LastOffsetDelta())
	case base < next:
		if err := complain("offset %d was to follow", next); err != nil {
			return err
		}
	case base > next && !unsure:
		if missing, err := w.mayBeMissing(base); err != nil {
			return err
		} else if missing {
			break
		}
		if err := complain("offsets [%d, %d) are missing before it (normal in a compacted topic: --compacted)", next, base); err != nil {
			return err
		}
	}
	if epoch := b.PartitionLeaderEpoch(); epoch < w.latestEpoch {
		if err := complain("leader epoch %d after %d", epoch, w.latestEpoch); err != nil {
			return err
		}
	} else {
		w.latestEpoch = epoch
	}
	if err := w.transaction(b); err != nil {
		return complain("%v", err)
	}
	if !w.options.Records {
		return nil
	}
	if err := w.records(b); err != nil {
		info.RecordsProblem = err.Error()
		return complain("%v", err)
	}
	return nil
}

// records walks the records. After compaction their offset deltas may have gaps, but they never go back.
func (w *segmentInspection) records(b record.Batch) error {
	if err := w.reader.Reset(b, w.options.MaxRecordBytes); err != nil {
		return err
	}
	previous := int32(-1)
	for w.reader.Next() {
		delta := w.reader.Record().OffsetDelta
		if delta <= previous || delta > b.LastOffsetDelta() {
			return fmt.Errorf("offset delta %d after %d, the last is %d", delta, previous, b.LastOffsetDelta())
		}
		previous = delta
	}
	return w.reader.Err()
}

func batchInfo(b record.Batch, position int64) BatchInfo {
	info := BatchInfo{
		Position: position, Bytes: len(b), BaseOffset: b.BaseOffset(), LastOffset: b.LastOffset(), Count: b.Count(),
		Codec: b.Codec().String(), LeaderEpoch: b.PartitionLeaderEpoch(),
		ProducerID: b.ProducerID(), ProducerEpoch: b.ProducerEpoch(), BaseSequence: b.BaseSequence(), LastSequence: b.LastSequence(),
		TimestampType: b.TimestampType().String(), BaseTimestamp: b.BaseTimestampMs(), MaxTimestamp: b.MaxTimestampMs(),
		Transactional: b.IsTransactional(), CRC: b.CRC(), CoordinatorEpoch: noCoordinatorEpoch,
	}
	if b.IsControl() {
		info.Control = "unreadable"
		if kind, err := b.ControlType(); err == nil {
			info.Control = kind.String()
		}
		if marker, err := b.ParseEndTxnMarker(); err == nil {
			info.CoordinatorEpoch = marker.CoordinatorEpoch
		}
	}
	return info
}
