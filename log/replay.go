package log

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"

	"github.com/millrace/millrace/internal/disk"
	"github.com/millrace/millrace/log/record"
)

// replay is the producers at the end of a log, and how they were found.
type replay struct {
	producers *producers
	from      int64                    // all before it is from a snapshot, 0: there was none
	aborted   map[int64][]abortedEntry // what was aborted by a marker at or beyond from, by base offset of the segment
}

// loadProducers returns the producer state at the end of the segments: the newest snapshot at or before it that can be
// read, and the batches since.
func loadProducers(fsys disk.FS, dir string, d *directory, end, nowMs int64, logger *slog.Logger) (replay, error) {
	p, from, err := newestSnapshot(fsys, dir, d, end, nowMs, logger)
	if err != nil {
		return replay{}, err
	}
	found := replay{producers: p, from: from, aborted: map[int64][]abortedEntry{}}
	list := segmentList(d.segments)
	// A segment that begins at the end has nothing but a torn tail.
	for i := max(list.find(from), 0); i < len(list) && from < end && list[i].base < end; i++ {
		s := list[i]
		file, err := s.open()
		if err != nil {
			return replay{}, err
		}
		err = walkNoted(file, s.size.Load(), func(b record.Batch) bool {
			if b.BaseOffset() >= from {
				if aborted, ok := p.apply(b, nowMs); ok {
					found.aborted[s.base] = append(found.aborted[s.base], aborted)
				}
			}
			return b.NextOffset() < end
		})
		if err != nil {
			return replay{}, err
		}
	}
	return found, nil
}

// newestSnapshot returns the producers of the newest intact snapshot at or before end and its offset, or none and 0.
func newestSnapshot(fsys disk.FS, dir string, d *directory, end, nowMs int64, logger *slog.Logger) (*producers, int64, error) {
	offsets := slices.Concat(d.snapshots, d.kafkaSnapshots)
	slices.Sort(offsets)
	for _, offset := range slices.Backward(slices.Compact(offsets)) {
		if offset > end {
			continue
		}
		for _, suffix := range []string{producersSuffix, kafkaSnapshotSuffix} {
			name := path(dir, offset, suffix)
			data, err := disk.ReadFile(fsys, name)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return nil, 0, err
			}
			var p *producers
			if suffix == producersSuffix {
				p, err = decodeProducers(data)
			} else {
				p, err = decodeKafkaProducers(data, nowMs)
			}
			if err == nil && p.unstable.lastOpen() >= offset {
				err = fmt.Errorf("%w: a transaction begins at offset %d", errSnapshot, p.unstable.lastOpen())
			}
			if errors.Is(err, ErrNewerFormat) {
				return nil, 0, fmt.Errorf("%s: %w", name, err)
			}
			if err == nil {
				return p, offset, nil
			}
			logger.Warn("producer snapshot passed over", "path", name, "error", err)
		}
	}
	return newProducers(), 0, nil
}
