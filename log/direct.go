package log

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/millrace/millrace/internal/disk"
)

const (
	block = disk.DirectBlock

	// A log that is written directly holds a ring of ringMin bytes, which grows up to ringMax while batches come faster
	// than they are written, as far as all rings of the process together stay within ringsMax beyond the minimum. From one
	// Retain to the next without a batch it shrinks again.
	ringMin  = 64 << 10
	ringMax  = 4 << 20
	ringsMax = 256 << 20

	// Room is reserved ahead of the batches by as much as the segment has already, within these bounds.
	reserveMin = 256 << 10
	reserveMax = 64 << 20

	// A write of at most smallWrite bytes that reaches new ground is followed by zerosAhead bytes of zeros in the same
	// call: the ones after it then find blocks that have been written before, and need no journal commit. Large writes
	// would pay for each byte twice, and gain a fraction of what they take anyway.
	smallWrite = 32 << 10
	zerosAhead = 128 << 10
)

// ringBytes is what the rings of all logs take beyond ringMin each.
var ringBytes atomic.Int64

// zeros are what is written ahead.
var zeros = sync.OnceValue(func() []byte { return disk.AlignedBuffer(zerosAhead) })

// directWrites gathers batches in a ring and writes them past the page cache, in whole blocks that are durable when
// the write returns: one write for all that came in during the one before it, and no fdatasync.
//
// Position p of the file has its place at p modulo the ring's size, so that blocks are aligned in both. The last block
// is padded with zeros, and written again by the next write. The file is longer than the valid end until seal.
//
// Room for a batch is reserved before write returns: a full disk is found out there, and not by sync.
type directWrites struct {
	file   disk.File       // for everything but the batches; the segment's
	direct disk.DirectFile // for the batches
	limit  int64           // nothing is prepared beyond this: the segment's largest size

	mu struct {
		sync.Mutex
		ring      []byte
		kept      int64 // the ring has all from here to end
		inFile    int64 // the file has all before this, durable
		end       int64 // the valid end
		written   int64 // blocks before this have been written, be it with zeros
		reserved  int64 // blocks before this exist
		writing   bool
		failed    error
		restedAt  int64 // the end at the last rest
		lastBlock []byte
		pieces    [4][]byte
	}
	written sync.Cond // writing has become false
}

// newDirectWrites goes on at position, the valid end, before which all is durable.
func newDirectWrites(file disk.File, direct disk.DirectFile, position, segmentBytes int64) (*directWrites, error) {
	d := &directWrites{file: file, direct: direct, limit: ceilBlock(segmentBytes)}
	d.written.L = &d.mu
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mu.ring = disk.AlignedBuffer(ringMin)
	d.mu.lastBlock = disk.AlignedBuffer(block)
	return d, d.goOnLocked(position)
}

// goOnLocked takes the valid end, before which all is durable, and the block around it from the file.
func (d *directWrites) goOnLocked(position int64) error {
	begin := floorBlock(position)
	part := d.mu.ring[begin%int64(len(d.mu.ring)):][:position-begin]
	if n, err := d.file.ReadAt(part, begin); n < len(part) {
		return fmt.Errorf("read %s at %d: %w", d.file.Name(), begin, err)
	}
	d.mu.kept, d.mu.inFile, d.mu.end = begin, position, position
	d.mu.written, d.mu.reserved = ceilBlock(position), ceilBlock(position)
	return nil
}

func floorBlock(position int64) int64 { return position &^ (block - 1) }

func ceilBlock(position int64) int64 { return floorBlock(position + block - 1) }

// write copies b into the ring. A full ring grows, or waits for the write under way, or is written out here.
func (d *directWrites) write(b []byte, position int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.reserveLocked(position + int64(len(b))); err != nil {
		return err
	}
	for len(b) > 0 {
		if err := d.makeRoomLocked(int64(len(b))); err != nil {
			return err
		}
		n := min(int64(len(b)), d.roomLocked())
		d.fillLocked(b[:n])
		b = b[n:]
	}
	return nil
}

// fillLocked puts b, for which there is room, behind the end.
func (d *directWrites) fillLocked(b []byte) {
	size := int64(len(d.mu.ring))
	n := copy(d.mu.ring[d.mu.end%size:], b)
	copy(d.mu.ring, b[n:])
	d.mu.end += int64(len(b))
	d.mu.kept = max(d.mu.kept, d.mu.end-size)
}

// roomLocked is how much fits in behind the end. The block that inFile lies in is needed for the next write.
func (d *directWrites) roomLocked() int64 {
	return int64(len(d.mu.ring)) - (d.mu.end - floorBlock(d.mu.inFile))
}

// makeRoomLocked makes room for want bytes, or as much as there can be.
func (d *directWrites) makeRoomLocked(want int64) error {
	for d.mu.failed == nil && d.roomLocked() < want {
		switch {
		case d.growLocked():
		case d.mu.writing:
			d.written.Wait()
		case d.mu.inFile < d.mu.end:
			d.writeOutLocked()
		default:
			return nil
		}
	}
	return d.mu.failed
}

// growLocked doubles the ring and says whether that was possible. A write under way goes on from the old one.
func (d *directWrites) growLocked() bool {
	size := int64(len(d.mu.ring))
	if size == ringMax {
		return false
	}
	if ringBytes.Add(size) > ringsMax {
		ringBytes.Add(-size)
		return false
	}
	old, end := d.mu.ring, d.mu.end
	d.mu.ring = disk.AlignedBuffer(int(2 * size))
	d.mu.end = d.mu.kept
	for at := d.mu.kept; at < end; {
		part := old[at%size:]
		part = part[:min(int64(len(part)), end-at)]
		d.fillLocked(part)
		at += int64(len(part))
	}
	return true
}

// reserveLocked makes sure that the blocks before end exist.
func (d *directWrites) reserveLocked(end int64) error {
	if end <= d.mu.reserved {
		return nil
	}
	need := ceilBlock(end)
	ahead := max(need, min(need+min(max(need, reserveMin), reserveMax), d.limit))
	err := d.file.Allocate(ahead)
	if outOfRoom(err) {
		ahead = need
		err = d.file.Allocate(ahead)
	}
	if err == nil {
		d.mu.reserved = ahead
	}
	return err
}

// sync writes all that is in the ring, after a write that is under way.
func (d *directWrites) sync() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for target := d.mu.end; d.mu.failed == nil && d.mu.inFile < target; {
		if d.mu.writing {
			d.written.Wait()
			continue
		}
		d.writeOutLocked()
	}
	return d.mu.failed
}

// writeOutLocked writes the blocks from inFile to end. Nobody else is writing; it lets go of mu meanwhile.
func (d *directWrites) writeOutLocked() {
	begin, end := floorBlock(d.mu.inFile), d.mu.end
	pieces, until := d.gatherLocked(begin, end)
	d.mu.writing = true
	d.mu.Unlock()
	err := d.direct.WriteBlocks(begin, pieces)
	d.mu.Lock()
	d.mu.writing = false
	clear(d.mu.pieces[:])
	if err != nil {
		d.mu.failed = err
	} else {
		d.mu.inFile, d.mu.written = end, max(d.mu.written, until)
	}
	d.written.Broadcast()
}

// gatherLocked returns what to write from begin on so that all before end is in the file, and where that ends.
func (d *directWrites) gatherLocked(begin, end int64) (pieces [][]byte, until int64) {
	size := int64(len(d.mu.ring))
	whole := floorBlock(end)
	pieces = d.mu.pieces[:0]
	for at := begin; at < whole; {
		part := d.mu.ring[at%size:]
		part = part[:min(int64(len(part)), whole-at)]
		pieces = append(pieces, part)
		at += int64(len(part))
	}
	if end > whole {
		// A copy: batches go on coming in behind it while it is written.
		n := copy(d.mu.lastBlock, d.mu.ring[whole%size:][:end-whole])
		clear(d.mu.lastBlock[n:])
		pieces = append(pieces, d.mu.lastBlock)
	}
	until = ceilBlock(end)
	if until > d.mu.written && until-begin <= smallWrite {
		if n := min(zerosAhead, min(d.mu.reserved, d.limit)-until); n > 0 {
			pieces = append(pieces, zeros()[:n])
			until += n
		}
	}
	return pieces, until
}

// cut forgets what a write that failed has left behind end.
func (d *directWrites) cut(end int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for d.mu.writing {
		d.written.Wait()
	}
	switch {
	case d.mu.failed != nil:
		return d.mu.failed
	case d.mu.inFile <= end:
		d.mu.end = end
		return nil
	}
	if err := d.file.Truncate(end); err != nil {
		return err
	}
	return d.goOnLocked(end)
}

// seal writes everything and cuts the file at the valid end.
func (d *directWrites) seal() error {
	if err := d.sync(); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	end := d.mu.end
	err := d.file.Truncate(end)
	if err == nil {
		err = d.file.SyncData()
	}
	d.mu.written, d.mu.reserved = ceilBlock(end), ceilBlock(end)
	return err
}

// close gives up the ring and the file that only it uses. Nothing may be written after it; reads go on, from the file.
func (d *directWrites) close() error {
	d.mu.Lock()
	for d.mu.writing {
		d.written.Wait()
	}
	d.giveUpRingLocked()
	d.mu.Unlock()
	return d.direct.Close()
}

func (d *directWrites) giveUpRingLocked() {
	if d.mu.ring != nil {
		ringBytes.Add(ringMin - int64(len(d.mu.ring)))
	}
	d.mu.ring, d.mu.kept = nil, d.mu.end
}

// rest gives back what the ring has grown by, if nothing was written since the last rest.
func (d *directWrites) rest() {
	d.mu.Lock()
	defer d.mu.Unlock()
	end := d.mu.end
	idle := d.mu.restedAt == end && d.mu.inFile == end && !d.mu.writing
	d.mu.restedAt = end
	size := int64(len(d.mu.ring))
	if !idle || size <= ringMin {
		return
	}
	old, begin := d.mu.ring, floorBlock(end)
	d.mu.ring = disk.AlignedBuffer(ringMin)
	ringBytes.Add(ringMin - size)
	d.mu.kept, d.mu.end = begin, begin
	d.fillLocked(old[begin%size:][:end-begin])
}

// readAt reads what was written, in the file or not yet.
func (d *directWrites) readAt(p []byte, offset int64) (n int, err error) {
	fromFile, readable := d.readRing(p, offset)
	if fromFile > 0 {
		if n, err = d.file.ReadAt(p[:fromFile], offset); n < fromFile {
			return n, err
		}
	}
	if readable < len(p) {
		return readable, io.EOF
	}
	return readable, nil
}

// readRing fills p with what the ring has of it. The first fromFile bytes are to come from the file; what follows the
// first readable ones lies beyond the valid end.
func (d *directWrites) readRing(p []byte, offset int64) (fromFile, readable int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.mu.ring == nil {
		return len(p), len(p)
	}
	to := max(offset, min(offset+int64(len(p)), d.mu.end))
	from := min(max(offset, d.mu.kept), to)
	for at := from; at < to; {
		at += int64(copy(p[at-offset:to-offset], d.mu.ring[at%int64(len(d.mu.ring)):]))
	}
	return int(from - offset), int(to - offset)
}

// inMemory says whether a read of [from, to) should go through the ring: the file does not have it all, or the ring has.
func (d *directWrites) inMemory(from, to int64) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return to > d.mu.inFile || from >= d.mu.kept
}

// directlyWritten is the file of a segment that is written directly: a read sees what is still in the ring.
type directlyWritten struct {
	disk.File
	writes *directWrites
}

func (f *directlyWritten) ReadAt(p []byte, offset int64) (int, error) {
	if offset < 0 {
		return f.File.ReadAt(p, offset)
	}
	return f.writes.readAt(p, offset)
}

// rangeFile is the file to read a range from: sendfile needs the plain one, and the newest bytes are faster in memory.
func rangeFile(file disk.File, from, to int64) disk.File {
	if f, ok := file.(*directlyWritten); ok && !f.writes.inMemory(from, to) {
		return f.File
	}
	return file
}

// openDurability makes the segment ready to be written, as the configuration says, from its end on. All in it is durable.
func (l *Log) openDurability(s *segment) (durability, error) {
	file, err := s.open()
	if err != nil {
		return nil, err
	}
	if !l.config.Load().Direct || l.directRefused.Load() {
		return newGroupCommit(file), nil
	}
	if earlier, ok := file.(*directlyWritten); ok {
		file = earlier.File
	}
	direct, err := disk.OpenDirect(l.fsys, s.path(logSuffix))
	if errors.Is(err, errors.ErrUnsupported) {
		l.directRefused.Store(true)
		l.tellDirectRefused(err)
		return newGroupCommit(file), nil
	}
	if err != nil {
		return nil, writeError("open for direct writes", err)
	}
	d, err := newDirectWrites(file, direct, s.size.Load(), l.config.Load().SegmentBytes)
	if err != nil {
		return nil, errors.Join(err, direct.Close())
	}
	s.setFile(&directlyWritten{File: file, writes: d})
	return d, nil
}
