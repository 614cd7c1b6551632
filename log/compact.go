package log

import (
	"errors"
	"fmt"
	"math"

	"github.com/millrace/millrace/log/record"
)

// CompactOptions go with one pass of compaction.
type CompactOptions struct {
	NowMs    int64
	Before   int64 // no offset at or above it is touched: the last stable offset
	MapBytes int64 // memory for the keys of a pass; what does not fit is left to the next pass

	// Pace is called after so many bytes were read or written, and may wait. An error from it ends the pass. nil: full speed.
	Pace func(bytes int) error
	// Room is asked before so many bytes are written, beside the segments that they replace. An error from it ends the pass.
	// nil: there is room.
	Room func(bytes int) error
}

// Compaction tells what a pass did.
type Compaction struct {
	From, To       int64 // the dirty offsets whose keys were looked at; To is where the next pass begins
	Keys           int   // different keys among them
	BytesIn        int64 // size of the segments that were replaced
	BytesOut       int64 // and of those that took their place
	RecordsIn      int64 // in the segments that were written anew
	RecordsOut     int64
	SegmentsMerged int // how many segments there are less
}

// compactDecompressedMax bounds what one compressed batch may become.
const compactDecompressedMax = 256 << 20

// Compact removes from the sealed segments below Before what a later record with the same key has superseded, records of aborted
// transactions, and tombstones and spent markers whose delete horizon has passed; small segments become one. It ends before the
// first open transaction. Offsets stay as they are, so the log has gaps, in batches and
// between them. A pass that runs out of memory for keys stops there, and the next one goes on.
//
// Appends and reads go on meanwhile, and Ranges stay readable. Whatever interrupts it, the log is whole: segments are replaced
// one group at a time, and an interrupted replacement is finished or dropped by the next Open. A *CorruptError says where
// something cannot be read; then the pass ends there. Other errors: ErrFull, ErrFailed, ErrClosed, that of Pace, and
// ErrSuperseded when retention or Truncate changed the segments meanwhile.
//
// One pass at a time; Close waits for it.
func (l *Log) Compact(o CompactOptions) (Compaction, error) {
	l.compacting.Lock()
	defer l.compacting.Unlock()
	c, err := l.newCompaction(o)
	if err != nil || len(c.sources) == 0 {
		return Compaction{}, err
	}
	defer c.release()
	if err := c.run(); err != nil {
		return c.told, fmt.Errorf("compact %s: %w", l.dir, err)
	}
	return c.told, nil
}

// ErrSuperseded: the segments that were compacted are not those of the log any more. Nothing is lost; try again.
var ErrSuperseded = errors.New("segments were deleted or cut while they were compacted")

// compaction is one pass.
type compaction struct {
	log     *Log
	options CompactOptions
	config  *Config
	cuts    int64 // how often the log had been cut at the beginning

	sources  segmentList     // sealed, ascending from the log's first; held open
	dirty    int64           // the keys at and above it are looked at
	end      int64           // and below it
	lastEver int64           // the last offset of the log; its record stays, so that readers come to the end
	newest   map[int64]int64 // last offset of each known producer: its batch stays
	epochs   map[int64]int16 // of each known producer without a batch in it: its marker stays

	reader   batchReader
	rewriter record.Rewriter
	keys     *keyMap
	outcomes *outcomes // nil: no transaction was met
	markers  markers
	dueMs    int64 // the first delete horizon that lies ahead, -1: none
	told     Compaction
}

// newCompaction decides which segments the pass is about, and holds them.
func (l *Log) newCompaction(o CompactOptions) (*compaction, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.Err(); err != nil {
		return nil, err
	}
	c := &compaction{log: l, options: o, config: l.config.Load(), cuts: l.cuts.Load(), dueMs: -1,
		newest: map[int64]int64{}, epochs: map[int64]int16{}, markers: markers{begun: newProducers()}}
	c.lastEver = l.logEnd.Load() - 1
	for id, e := range l.mu.producers.entries {
		if newest := e.newest(); newest != nil {
			c.newest[id] = newest.lastOffset
		} else {
			c.epochs[id] = e.epoch
		}
	}
	list := *l.segments.Load()
	bound, err := l.cleanableEnd(list, c.config, o.NowMs, o.Before)
	if err != nil {
		return nil, err
	}
	c.dirty = l.firstDirty()
	c.end = c.dirty
	if bound < c.dirty {
		return c, nil
	}
	for i, s := range list[:len(list)-1] {
		if list[i+1].base > bound {
			break
		}
		s.acquire() // it is in the list, and mu is held
		c.sources = append(c.sources, s)
		c.end = max(c.end, list[i+1].base)
	}
	c.reader.pace = c.pace
	return c, nil
}

func (c *compaction) release() {
	for _, s := range c.sources {
		_ = s.release() // read only
	}
}

// pace accounts for bytes that were read or written, and ends the pass when the log cannot go on.
func (c *compaction) pace(bytes int) error {
	if c.log.closing.Load() {
		return ErrClosed
	}
	if err := c.log.Err(); err != nil {
		return err
	}
	if c.options.Pace == nil {
		return nil
	}
	return c.options.Pace(bytes)
}

func (c *compaction) run() error {
	// Files and indexes, before any name changes: what lies under the old names later is not these segments'.
	for _, s := range c.sources {
		if _, err := s.open(); err != nil {
			return err
		}
		if _, _, err := s.load(); err != nil {
			return err
		}
	}
	upTo := c.end
	if err := c.readKeys(); err != nil {
		return err
	}
	c.told.From, c.told.To, c.told.Keys = c.dirty, c.end, c.keys.used // To may still go back
	groups := c.groups(upTo)
	if len(groups) == 0 {
		return nil
	}
	if err := c.announce(upTo); err != nil {
		return err
	}
	for _, group := range groups {
		if err := c.clean(group); err != nil {
			return err
		}
	}
	c.told.To = c.end
	return c.finish()
}

// readKeys notes the last offset of each key in [dirty, end). If there are too many keys, end moves back.
func (c *compaction) readKeys() error {
	c.keys = newKeyMap(c.options.MapBytes, c.end-c.dirty)
	from := max(c.sources.find(c.dirty), 0)
	for i, s := range c.sources[from:] {
		if s.base >= c.end {
			break
		}
		full := false
		err := c.reader.each(s, func(b record.Batch, _ bool) (more bool, err error) {
			if b.LastOffset() < c.dirty || b.IsControl() || b.Count() == 0 {
				return true, nil
			}
			if b.IsTransactional() && c.outcomes == nil {
				if c.outcomes, err = readOutcomes(c.sources[from+i:], b.BaseOffset(), c.end); err != nil {
					return false, err
				}
				c.end = min(c.end, c.outcomes.open)
			}
			if b.BaseOffset() >= c.end {
				return false, nil
			}
			full, err = c.readKeysOf(b)
			return !full, err
		})
		if err != nil || full {
			return err
		}
	}
	return nil
}

// readKeysOf notes the keys of one batch; full is true if one did not fit.
func (c *compaction) readKeysOf(b record.Batch) (full bool, err error) {
	if c.outcomes.voids(b) {
		return false, nil
	}
	_, err = c.rewriter.Sieve(b, compactDecompressedMax, func(r *record.Reader) bool {
		if key := r.Record().Key; !full && key != nil && r.Offset() >= c.dirty && !c.keys.put(key, r.Offset()) {
			full = true
			c.end = r.Offset()
		}
		return false
	})
	return full, err
}

// groups are the segments below end, in runs that fit into one segment. Each but the last ends where the next begins.
func (c *compaction) groups(upTo int64) (groups [][]*segment) {
	var bytes, offsets, times int64
	for i, s := range c.sources {
		if s.base >= c.end {
			break
		}
		next := upTo
		if i+1 < len(c.sources) {
			next = c.sources[i+1].base
		}
		x := s.indexes.Load()
		bytes += s.size.Load()
		offsets += int64(x.offsets.len()+1) * offsetEntrySize
		times += int64(x.times.len()+2) * timeEntrySize
		if n := len(groups); n > 0 && bytes <= c.config.SegmentBytes && offsets <= c.config.SegmentIndexBytes &&
			times <= c.config.SegmentIndexBytes && next-1-groups[n-1][0].base <= math.MaxInt32 {
			groups[n-1] = append(groups[n-1], s)
			continue
		}
		groups = append(groups, []*segment{s})
		bytes = s.size.Load()
		offsets = int64(x.offsets.len()+1) * offsetEntrySize
		times = int64(x.times.len()+2) * timeEntrySize
	}
	return groups
}

// announce makes it durable that offsets below upTo may be missing, before any is.
func (c *compaction) announce(upTo int64) error {
	c.log.upkeep.Lock()
	defer c.log.upkeep.Unlock()
	state := *c.log.cleaner.Load()
	state.sparse = max(state.sparse, upTo)
	return c.log.saveCleaner(state)
}

// finish notes how far the log is clean.
func (c *compaction) finish() error {
	c.log.upkeep.Lock()
	defer c.log.upkeep.Unlock()
	if c.log.cuts.Load() != c.cuts {
		return ErrSuperseded
	}
	state := *c.log.cleaner.Load()
	state.dirty, state.dueMs = c.end, c.dueMs
	return c.log.saveCleaner(state)
}
