package partition

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/millrace/millrace/log"
)

// Scrub reads the sealed segment that has the offset from, or the next one, from the disk (log.Scrub). Offsets that
// turn out to be damaged are refused by Read from then on, until the partition is opened again or a later Scrub finds
// them sound; all others are served as before. fresh is those of them that were not known.
func (p *Partition) Scrub(from int64, pace func(bytes int) error) (found log.Scrubbed, fresh []log.OffsetRange, err error) {
	if err := p.readable(); err != nil {
		return log.Scrubbed{Done: true}, nil, err
	}
	if found, err = p.log.Scrub(from, pace); err != nil {
		return found, nil, p.errorf("scrub", err)
	}
	return found, p.noteDamage(found), nil
}

// noteDamage takes over what a scrub says of a segment, and drops what lies before the log start.
func (p *Partition) noteDamage(found log.Scrubbed) (fresh []log.OffsetRange) {
	p.mu.Lock()
	defer p.mu.Unlock()
	known := p.damaged.Load()
	if known == nil && len(found.Damaged) == 0 {
		return nil
	}
	var now []log.OffsetRange
	if known != nil {
		for _, r := range *known {
			if outside := r.To <= found.Segment.From || r.From >= found.Segment.To; outside && r.To > p.mu.logStart {
				now = append(now, r)
			}
		}
	}
	for _, r := range found.Damaged {
		now = append(now, r)
		if known == nil || !slices.Contains(*known, r) {
			fresh = append(fresh, r)
		}
	}
	slices.SortFunc(now, func(a, b log.OffsetRange) int { return cmp.Compare(a.From, b.From) })
	p.damaged.Store(&now)
	return fresh
}

// soundEnd is how far a read from the offset from may go towards end: up to the first damaged record. ErrDamaged: that
// is where it begins.
func (p *Partition) soundEnd(from, end int64) (int64, error) {
	damaged := p.damaged.Load()
	if damaged == nil {
		return end, nil
	}
	for _, r := range *damaged {
		switch {
		case r.To <= from:
		case r.From <= from:
			return end, p.errorf("read", fmt.Errorf("%w: offsets [%d, %d)", ErrDamaged, r.From, r.To))
		default:
			return min(end, r.From), nil
		}
	}
	return end, nil
}
