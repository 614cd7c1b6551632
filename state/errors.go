package state

import (
	"errors"
	"fmt"
	"strings"

	"github.com/cockroachdb/pebble/v2"
)

var (
	// ErrLocked says that another process, or another DB of this one, has the directory.
	ErrLocked = errors.New("the state directory is in use")
	// ErrSpec says that a store was written with another kind or other codecs than it is asked for with.
	ErrSpec = errors.New("the store was written in another format")
	// ErrBroken says that the disk failed a DB, which takes nothing more: close it, open it again and replay the changelogs.
	ErrBroken = errors.New("the state is broken until it is opened again")
	// ErrDamaged says that the files of a directory cannot be read any more: remove it, and the changelogs restore it.
	ErrDamaged = errors.New("the state directory is damaged")
	// ErrClosed says that the DB was closed.
	ErrClosed = errors.New("the state is closed")
)

// failure is an error of the disk, with all that a reader needs to find it.
func failure(operation, dir string, err error) error {
	kind := ErrBroken
	if pebble.IsCorruptionError(err) {
		kind = ErrDamaged
	}
	hint := ""
	if kind == ErrDamaged {
		hint = "; remove the directory, and the changelogs restore it"
	}
	return fmt.Errorf("%s in state directory %s: %w: %w%s", operation, dir, kind, firstLine{err}, hint)
}

// firstLine is an error of Pebble without the lines that say where in Pebble it was noticed.
type firstLine struct{ error }

func (l firstLine) Error() string {
	line, _, _ := strings.Cut(l.error.Error(), "\n")
	return line
}

func (l firstLine) Unwrap() error { return l.error }

// openFailure is the error of an open that failed.
func openFailure(dir string, err error) error {
	text := err.Error()
	switch {
	case strings.Contains(text, "lock held by current process"), strings.Contains(text, "resource temporarily unavailable"):
		return fmt.Errorf("open state directory %s: %w: end the other process, or give this one a directory of its own: %w", dir, ErrLocked, err)
	case pebble.IsCorruptionError(err):
		return failure("open", dir, err)
	}
	return fmt.Errorf("open state directory %s: %w", dir, err)
}

func checkpointFailure(dir, target string, err error) error {
	return fmt.Errorf("copy state directory %s to %s: %w", dir, target, err)
}
