package log

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/millrace/millrace/internal/disk"
)

// directory is what a listing of a partition's directory says.
type directory struct {
	segments       []*segment // ascending
	snapshots      []int64    // of .producers files, ascending
	kafkaSnapshots []int64    // of .snapshot files, ascending
	torn           []string   // names of torn tails, ascending
	leftovers      []string   // names of what a crash left behind
	swaps          []*segment // cleaned segments that are about to take the place of others, ascending
	indexes        map[int64][]string
	has            map[string]bool
}

// listDirectory reads the directory. One that does not exist is empty.
func listDirectory(fsys disk.FS, dir string) (*directory, error) {
	entries, err := fsys.List(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list %s: %w", dir, err)
	}
	d := &directory{indexes: map[int64][]string{}, has: map[string]bool{}}
	for _, e := range entries {
		if e.IsDir {
			continue
		}
		d.add(fsys, dir, e)
	}
	if len(d.swaps) > 0 && !d.has[checkpointName] && !d.has[syncMarkName] {
		return nil, &CorruptError{Path: d.swaps[0].dataPath(), Err: errors.New(
			"a compaction by Kafka was interrupted here: start and stop Kafka on this directory once before copying it")}
	}
	for base, names := range d.indexes {
		if !slices.ContainsFunc(d.segments, func(s *segment) bool { return s.base == base }) {
			d.leftovers = append(d.leftovers, names...)
		}
	}
	slices.Sort(d.leftovers)
	return d, nil
}

func (d *directory) add(fsys disk.FS, dir string, e disk.Entry) {
	d.has[e.Name] = true
	for _, suffix := range []string{deletedSuffix, cleanedSuffix, tempSuffix} {
		if strings.HasSuffix(e.Name, suffix) {
			d.leftovers = append(d.leftovers, e.Name)
			return
		}
	}
	if base, ok := parseName(e.Name, logSuffix+swapSuffix); ok {
		s := newSegment(fsys, dir, base, e.Size)
		s.mu.swap = true
		d.swaps = append(d.swaps, s)
		return
	}
	if base, ok := parseName(e.Name, logSuffix); ok {
		d.segments = append(d.segments, newSegment(fsys, dir, base, e.Size))
		return
	}
	for _, suffix := range []string{indexSuffix, timeIndexSuffix, txnIndexSuffix} {
		if base, ok := parseName(e.Name, suffix); ok {
			d.indexes[base] = append(d.indexes[base], e.Name)
			return
		}
	}
	if offset, ok := parseName(e.Name, producersSuffix); ok {
		d.snapshots = append(d.snapshots, offset)
	} else if offset, ok := parseName(e.Name, kafkaSnapshotSuffix); ok {
		d.kafkaSnapshots = append(d.kafkaSnapshots, offset)
	} else if strings.HasSuffix(e.Name, tornSuffix) {
		d.torn = append(d.torn, e.Name)
	}
}

// dropBefore takes the segments that end at or before the log start out of the list: their deletion was interrupted.
func (d *directory) dropBefore(logStart int64) {
	for len(d.segments) > 1 && d.segments[1].base <= logStart {
		base := d.segments[0].base
		// The batches go last: without them the rest is a leftover by itself.
		d.leftovers = append(d.leftovers, d.indexes[base]...)
		d.leftovers = append(d.leftovers, fileName(base, logSuffix))
		d.segments = d.segments[1:]
	}
}

// dropSnapshotsAfter takes out the producer snapshots beyond the log end: they speak of batches that were cut off.
func (d *directory) dropSnapshotsAfter(logEnd int64) {
	keep := func(offsets []int64, suffix string) []int64 {
		return slices.DeleteFunc(offsets, func(offset int64) bool {
			if offset > logEnd {
				d.leftovers = append(d.leftovers, fileName(offset, suffix))
			}
			return offset > logEnd
		})
	}
	d.snapshots = keep(d.snapshots, producersSuffix)
	d.kafkaSnapshots = keep(d.kafkaSnapshots, kafkaSnapshotSuffix)
}
