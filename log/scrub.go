package log

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/millrace/millrace/internal/disk"
	"github.com/millrace/millrace/log/record"
)

// OffsetRange is the offsets [From, To).
type OffsetRange struct{ From, To int64 }

// Scrubbed is what Scrub has found out about one segment.
type Scrubbed struct {
	Segment OffsetRange // the offsets that the segment may have; empty: there was no sealed segment
	Next    int64       // where to go on
	Done    bool        // there is no sealed segment from Next on
	// Findings is what is wrong, damage first, at most scrubFindingsMax. Damaged is the offsets that cannot be read for it, ascending,
	// between batch boundaries.
	Findings []Finding
	Damaged  []OffsetRange
}

// scrubFindingsMax bounds what is told of one segment.
const scrubFindingsMax = 20

// Scrub reads the sealed segment that has the offset from, or the first one after it, and holds every batch against its
// CRC, the order of offsets, the size that the segment must have, and its indexes. The bytes come from the disk, not from
// the page cache, where the file system has that to offer, and push nothing out of it.
//
// pace is called before each read with the bytes that it will take, at most scrubWindow; an error from it ends the scrub and is returned.
// Nothing is locked or kept open for the log meanwhile: a segment that is deleted or replaced under way is given up within
// one read, and nothing is said of it. An error is about reading; what is wrong with the content is a Finding.
func (l *Log) Scrub(from int64, pace func(bytes int) error) (Scrubbed, error) {
	if l.closed.Load() {
		return Scrubbed{}, ErrClosed
	}
	list := *l.segments.Load()
	i := max(0, list.find(from))
	if i == len(list)-1 {
		return Scrubbed{Next: from, Done: true}, nil
	}
	s := &scrub{log: l, segment: list[i], end: list[i+1].base, pace: pace}
	found := Scrubbed{Segment: OffsetRange{s.segment.base, s.end}, Next: s.end, Done: i+1 == len(list)-1}
	err := s.run()
	if err == nil && len(s.damaged) > 0 {
		// What is read twice and differs is a failure of the way here, and not of the disk.
		s = &scrub{log: l, segment: list[i], end: list[i+1].base, pace: pace}
		err = s.run()
	}
	if s.replaced() {
		return found, nil
	}
	if err != nil {
		return found, fmt.Errorf("scrub %s: %w", s.segment.path(logSuffix), err)
	}
	damageFirst(s.findings)
	found.Findings, found.Damaged = s.findings, s.damaged
	return found, nil
}

// errSegmentGone ends the scrub of a segment that is no longer part of the log.
var errSegmentGone = errors.New("segment is gone")

// scrub is the state of the scrub of one segment.
type scrub struct {
	log     *Log
	segment *segment
	end     int64 // base offset of the next segment
	pace    func(bytes int) error

	findings []Finding
	damaged  []OffsetRange
	sound    int64 // after the last sound batch
	broken   bool  // there is damage behind it
}

func (s *scrub) run() error {
	s.sound = s.segment.base
	known := s.segment.size.Load()
	i := &inspection{
		options:     InspectOptions{FS: scrubFS{s.log.fsys, s}, Dir: s.log.dir, Compacted: true},
		visit:       Visitor{Finding: s.finding, Batch: s.batch},
		latestEpoch: UndefinedEpoch,
	}
	if err := i.inspectSegment(newSegment(s.log.fsys, s.log.dir, s.segment.base, known), true, false); err != nil {
		return err
	}
	if i.lastVanished {
		s.vanished()
		return nil
	}
	entry, err := s.log.fsys.Stat(s.segment.path(logSuffix))
	if err == nil && entry.Size != known {
		problem := fmt.Sprintf("the file has %d bytes, the segment %d", entry.Size, known)
		err = i.find(Damage, s.segment.path(logSuffix), min(entry.Size, known), problem, restoreRemedy)
	}
	if s.sound > s.end {
		err = errors.Join(err, i.find(Damage, s.segment.path(logSuffix), known,
			fmt.Sprintf("the segment ends at offset %d, the next one begins at %d", s.sound, s.end), restoreRemedy))
	}
	s.closeRange(s.end)
	return err
}

// gone says whether the segment is no longer part of the log: it was deleted, cut or replaced, or the whole log was.
func (s *scrub) gone() bool {
	if s.log.closed.Load() {
		return true
	}
	list := *s.log.segments.Load()
	i := list.find(s.segment.base)
	return i < 0 || list[i] != s.segment
}

// replaced is gone once a change that may be under way is done: meanwhile the files are not those of the list. After one that has
// failed half-way they stay so until the next Open.
func (s *scrub) replaced() bool {
	s.log.upkeep.Lock()
	defer s.log.upkeep.Unlock()
	return s.gone() || s.log.Err() != nil
}

// vanished is told of a file that is not there. If the broker has deleted it, nobody looks at what is found.
func (s *scrub) vanished() {
	s.findings = []Finding{{Severity: Damage, Path: s.segment.path(logSuffix), Position: -1, Problem: "the file is missing", Remedy: restoreRemedy}}
	s.broken = true
	s.closeRange(s.end)
}

func (s *scrub) finding(f Finding) error {
	s.broken = s.broken || f.Severity == Damage
	if len(s.findings) < scrubFindingsMax {
		s.findings = append(s.findings, f)
	}
	return nil
}

func (s *scrub) batch(b BatchInfo, _ record.Batch) error {
	if b.CRCOK {
		s.closeRange(b.BaseOffset)
		s.sound = b.LastOffset + 1
	}
	return nil
}

// closeRange ends the damaged offsets, if there are any, before the offset to.
func (s *scrub) closeRange(to int64) {
	if s.broken && to > s.sound {
		s.damaged = append(s.damaged, OffsetRange{s.sound, to})
	}
	s.broken = false
}

// scrubFS is the file system as a scrub reads it.
type scrubFS struct {
	disk.FS
	scrub *scrub
}

// Open reads data files past the cache and at the pace of the scrub. Indexes are small and read as ever.
func (f scrubFS) Open(name string) (disk.File, error) {
	if !strings.HasSuffix(name, logSuffix) {
		return f.FS.Open(name)
	}
	file, err := disk.OpenUncached(f.FS, name)
	if err != nil {
		return nil, err
	}
	return &scrubFile{File: file, scrub: f.scrub}, nil
}

// scrubWindow is how much is read at once.
const scrubWindow = 256 << 10

// scrubFile reads a file window by window.
type scrubFile struct {
	disk.File
	scrub  *scrub
	window []byte // aligned
	from   int64  // position of window[0]
	length int    // valid bytes of window
}

func (f *scrubFile) ReadAt(p []byte, offset int64) (n int, err error) {
	for n < len(p) {
		at := offset + int64(n)
		if at < f.from || at >= f.from+int64(f.length) {
			if err := f.fill(at); err != nil {
				return n, err
			}
		}
		n += copy(p[n:], f.window[at-f.from:f.length])
	}
	return n, nil
}

// fill reads the window that has the position. io.EOF: the file ends before it.
func (f *scrubFile) fill(at int64) error {
	if f.scrub.gone() {
		return errSegmentGone
	}
	if f.window == nil {
		f.window = disk.AlignedBuffer(scrubWindow)
	}
	from := at / disk.DirectBlock * disk.DirectBlock
	if err := f.scrub.pace(int(min(scrubWindow, max(0, f.scrub.segment.size.Load()-from)))); err != nil {
		return err
	}
	n, err := f.File.ReadAt(f.window, from)
	f.from, f.length = from, n
	if at < from+int64(n) {
		return nil
	}
	if err == nil {
		err = io.ErrUnexpectedEOF
	}
	return err
}
