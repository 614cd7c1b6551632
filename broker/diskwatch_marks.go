package broker

import (
	"github.com/millrace/millrace/broker/internal/config"
	"github.com/millrace/millrace/internal/disk"
)

// diskState says what the room that is left on the data directory's disk allows. The numbers are those of the metric.
type diskState int32

const (
	diskOK       diskState = iota
	diskLow                // clients are served, the operator is warned, and retention runs
	diskReadOnly           // clients' records are refused; what is left is for the broker's own small writes
)

func (s diskState) String() string { return [...]string{"ok", "low", "read-only"}[s] }

// diskMarks are the amounts of free room at which the state changes.
type diskMarks struct{ low, full diskMark }

// diskMark is an amount of room: so many bytes, or so much of the disk if that is less. 0 in either is none at all.
type diskMark struct {
	bytes   int64
	percent float64
}

func diskMarksOf(settings *config.Broker) diskMarks {
	return diskMarks{
		low:  diskMark{settings.MillraceDiskLowBytes, settings.MillraceDiskLowPercent},
		full: diskMark{settings.MillraceDiskFullBytes, settings.MillraceDiskFullPercent},
	}
}

func (m diskMark) of(totalBytes int64) int64 {
	return min(m.bytes, int64(float64(totalBytes)/100*m.percent))
}

// resumeBytes is how much must be free for a state to end that began below a mark: a quarter more, so that a disk which
// fills and is tidied up again and again does not change its state each time.
func resumeBytes(mark int64) int64 { return mark + mark/4 }

// next is the state that follows, by what is free now.
func (m diskMarks) next(state diskState, usage disk.Usage) diskState {
	full := m.full.of(usage.TotalBytes)
	low := max(m.low.of(usage.TotalBytes), full)
	if state >= diskLow {
		low = resumeBytes(low)
	}
	if state == diskReadOnly {
		full = resumeBytes(full)
	}
	switch {
	case usage.FreeBytes < full:
		return diskReadOnly
	case usage.FreeBytes < low:
		return diskLow
	}
	return diskOK
}

// headroom is how far the state's next mark is, 0 if there is none further down.
func (m diskMarks) headroom(state diskState, usage disk.Usage) int64 {
	mark := m.full.of(usage.TotalBytes)
	if state == diskOK {
		mark = max(mark, m.low.of(usage.TotalBytes))
	}
	return max(0, usage.FreeBytes-mark)
}
