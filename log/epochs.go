package log

import (
	"bytes"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// UndefinedEpoch and UndefinedOffset are the answer where there is none (KIP-101).
const (
	UndefinedEpoch  int32 = -1
	UndefinedOffset int64 = -1
)

// epochStart says that the leader epoch begins at an offset.
type epochStart struct {
	epoch       int32
	startOffset int64
}

// epochs are the leader epochs of a log, ascending in both columns. Every method returns a new value and leaves the
// old one as it was, so that readers can hold on to it.
type epochs []epochStart

func (e epochs) latest() int32 {
	if len(e) == 0 {
		return UndefinedEpoch
	}
	return e[len(e)-1].epoch
}

// assign adds an epoch that begins at offset. One that is not newer than the latest changes nothing.
func (e epochs) assign(epoch int32, offset int64) epochs {
	if epoch <= e.latest() {
		return e
	}
	// An epoch without a batch ends where it begins.
	kept := e.truncateEnd(offset)
	return append(slices.Clone(kept), epochStart{epoch, offset})
}

// truncateEnd forgets the epochs that begin at or after end.
func (e epochs) truncateEnd(end int64) epochs {
	n := sort.Search(len(e), func(i int) bool { return e[i].startOffset >= end })
	return e[:n:n]
}

// truncateStart forgets the epochs that end at or before start; the one that start lies in begins there.
func (e epochs) truncateStart(start int64) epochs {
	n := sort.Search(len(e), func(i int) bool { return e[i].startOffset > start })
	if n == 0 || n == 1 && e[0].startOffset == start {
		return e
	}
	kept := slices.Clone(e[n-1:])
	kept[0].startOffset = start
	return kept
}

// endOffset answers OffsetForLeaderEpoch (KIP-101, KIP-320; Kafka's LeaderEpochFileCache.endOffsetFor): the largest
// epoch that is known and not above the one asked for, and the offset after its last one.
func (e epochs) endOffset(epoch int32, logEnd int64) (found int32, end int64) {
	if epoch == UndefinedEpoch || epoch > e.latest() {
		return UndefinedEpoch, UndefinedOffset
	}
	if epoch == e.latest() {
		return epoch, logEnd
	}
	next := sort.Search(len(e), func(i int) bool { return e[i].epoch > epoch })
	if next == 0 {
		// Older than all that is known: it has no record here.
		return epoch, e[0].startOffset
	}
	return e[next-1].epoch, e[next].startOffset
}

// at is the epoch that the offset was written in.
func (e epochs) at(offset int64) int32 {
	n := sort.Search(len(e), func(i int) bool { return e[i].startOffset > offset })
	if n == 0 {
		return UndefinedEpoch
	}
	return e[n-1].epoch
}

// encode returns the content of a leader-epoch-checkpoint file, in Kafka's format: a line with the version 0, one with
// the number of entries, one "epoch startOffset" each.
func (e epochs) encode() []byte {
	var dst bytes.Buffer
	fmt.Fprintf(&dst, "0\n%d\n", len(e))
	for _, entry := range e {
		fmt.Fprintf(&dst, "%d %d\n", entry.epoch, entry.startOffset)
	}
	return dst.Bytes()
}

// decodeEpochs is the inverse of encode.
func decodeEpochs(data []byte) (epochs, error) {
	lines := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
	if len(lines) < 2 {
		return nil, fmt.Errorf("leader epoch checkpoint: %d lines", len(lines))
	}
	if lines[0] != "0" {
		return nil, fmt.Errorf("leader epoch checkpoint: version %q", lines[0])
	}
	if count, err := strconv.Atoi(lines[1]); err != nil || count != len(lines)-2 {
		return nil, fmt.Errorf("leader epoch checkpoint: %q entries announced, %d lines follow", lines[1], len(lines)-2)
	}
	var e epochs
	for i, line := range lines[2:] {
		left, right, _ := strings.Cut(line, " ")
		epoch, err := strconv.ParseInt(left, 10, 32)
		start, startErr := strconv.ParseInt(right, 10, 64)
		if err != nil || startErr != nil || epoch < 0 || start < 0 {
			return nil, fmt.Errorf("leader epoch checkpoint: entry %d is %q", i, line)
		}
		if len(e) > 0 && (int32(epoch) <= e.latest() || start <= e[len(e)-1].startOffset) {
			return nil, fmt.Errorf("leader epoch checkpoint: entry %d, %q, does not ascend", i, line)
		}
		e = append(e, epochStart{int32(epoch), start})
	}
	return e, nil
}
