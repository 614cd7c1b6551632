package partition

import (
	"errors"
	"fmt"
)

var (
	// ErrOffline means that the partition's log was damaged when it was opened. Nothing can be read or written.
	ErrOffline = errors.New("partition is offline")
	// ErrFailed means that a sync of the partition's log failed: nothing more is acknowledged until the broker has
	// restarted and recovered the log. What was committed before can be read.
	ErrFailed = errors.New("partition has failed")
	// ErrClosed means that the partition was closed: its topic was deleted or the broker stops.
	ErrClosed = errors.New("partition is closed")
	// ErrDamaged means that the records asked for are damaged on disk. All others of the partition can be read.
	ErrDamaged = errors.New("records are damaged on disk")
	// ErrTimestamp means that a record's time is too far from the broker's for the topic.
	ErrTimestamp = errors.New("timestamp out of range")
	// ErrNoKey means that a compacted topic was sent a record without a key.
	ErrNoKey = errors.New("compacted topic takes no record without a key")
	// ErrPolicy means that the topic's cleanup policy does not allow its records to be deleted.
	ErrPolicy = errors.New("cleanup.policy does not include delete")
	// ErrOffsetRange means that records were to be deleted up to an offset that is not committed.
	ErrOffsetRange = errors.New("offset is beyond the high watermark")
)

// TooLargeError means that a batch is larger than the topic takes.
type TooLargeError struct {
	Size    int  // bytes
	Limit   int  // bytes
	Segment bool // the limit is segment.bytes, not max.message.bytes
}

func (e *TooLargeError) Error() string {
	setting := "max.message.bytes"
	if e.Segment {
		setting = "segment.bytes"
	}
	return fmt.Sprintf("record batch of %d bytes is larger than %s=%d", e.Size, setting, e.Limit)
}

// RejectedError means that a batch is refused on account of some of its records (KIP-467).
type RejectedError struct {
	Records []RejectedRecord // in the batch's order, at most rejectedMax
	Err     error            // the first one's error, or the first that is an ErrTimestamp, which counts for more
}

// RejectedRecord is a record that a topic does not take.
type RejectedRecord struct {
	Index int32 // its position in the batch
	Err   error
}

// rejectedMax bounds how many records an error names.
const rejectedMax = 1000

// add takes note of a record's error, if there is one.
func (e *RejectedError) add(index int32, err error) {
	if err == nil {
		return
	}
	if len(e.Records) < rejectedMax {
		e.Records = append(e.Records, RejectedRecord{index, err})
	}
	if e.Err == nil || errors.Is(err, ErrTimestamp) && !errors.Is(e.Err, ErrTimestamp) {
		e.Err = err
	}
}

func (e *RejectedError) Error() string {
	return fmt.Sprintf("%d records were refused, the first at position %d: %v", len(e.Records), e.Records[0].Index, e.Records[0].Err)
}

// Unwrap returns what is wrong with the batch.
func (e *RejectedError) Unwrap() error { return e.Err }
