package log

import (
	"errors"
	"fmt"
	"syscall"
)

// What callers tell apart. Every error of this package wraps at most one of them.
var (
	// ErrOutOfRange: the offset lies before the log start or beyond the log end.
	ErrOutOfRange = errors.New("offset out of range")
	// ErrOutOfOrderSequence: the batch does not continue its producer's sequence (KIP-98). Nothing was appended.
	ErrOutOfOrderSequence = errors.New("out of order sequence")
	// ErrInvalidProducerEpoch: a newer instance of the producer has written. Nothing was appended.
	ErrInvalidProducerEpoch = errors.New("producer epoch is older than the newest")
	// ErrInvalidTxnState: the producer has a transaction open here, and the batch is not one of it. Nothing was appended.
	ErrInvalidTxnState = errors.New("batch outside the producer's open transaction")
	// ErrCoordinatorFenced: a newer transaction coordinator has ended a transaction of the producer. Nothing was appended.
	ErrCoordinatorFenced = errors.New("transaction coordinator epoch is older than the newest")
	// ErrFull: the file system has no room. Nothing was appended, the log goes on.
	ErrFull = errors.New("no room left on the file system")
	// ErrFailed: an earlier write or sync left the log in a state that only a new Open can find out. Reads go on.
	ErrFailed = errors.New("log failed")
	// ErrClosed: the log was closed.
	ErrClosed = errors.New("log closed")
	// ErrNewerFormat: a file in the directory was written by a newer version of this program. Nothing was changed.
	ErrNewerFormat = errors.New("written by a newer version")
)

// CorruptError says that bytes which must be intact are not. Nothing on disk was changed on account of it.
type CorruptError struct {
	Path     string // the file, or the directory if a file is missing
	Position int64  // in the file
	Err      error  // what is wrong there
}

// Error names the place, what is wrong, and what to do.
func (e *CorruptError) Error() string {
	return fmt.Sprintf("%s is damaged at byte %d: %v; nothing was changed: restore the partition's directory from a copy, "+
		"or look at it with `millrace log verify`", e.Path, e.Position, e.Err)
}

// Unwrap returns what is wrong at the place.
func (e *CorruptError) Unwrap() error { return e.Err }

// outOfRoom tells a full disk from a broken one.
func outOfRoom(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// writeError is err as the caller of Append gets it: ErrFull for want of room, else err itself with the operation.
func writeError(operation string, err error) error {
	if outOfRoom(err) {
		return fmt.Errorf("%s: %w: %w", operation, ErrFull, err)
	}
	return fmt.Errorf("%s: %w", operation, err)
}
