// Package usage holds what a command line says about its own wrong input: one line that names
// the flag or the thing, and the nearest name that would have been right.
package usage

import (
	"fmt"
	"strings"
)

// ExitCode is what the program ends with after wrong usage.
const ExitCode = 2

// Error is wrong input on the command line, as opposed to a failure of what was asked for.
type Error struct{ message string }

func (e *Error) Error() string { return e.message }

// Errorf returns an *Error.
func Errorf(format string, args ...any) error {
	return &Error{message: fmt.Sprintf(format, args...)}
}

// Unknown returns the *Error for a word that names none of names: it tells the nearest name, or
// all of them when none is near.
// kind says what the word should have been ("command", "format").
func Unknown(kind, word string, names []string) error {
	return Errorf("unknown %s %q%s", kind, word, Hint(word, names))
}

// hintNames bounds how many names Hint lists when none is near.
const hintNames = 12

// Hint returns the end of a sentence about an unknown word: `, did you mean "x"?`, or the list of
// names, or nothing when the list would be long or empty.
func Hint(word string, names []string) string {
	if near := Nearest(word, names); near != "" {
		return fmt.Sprintf(", did you mean %q?", near)
	}
	if len(names) == 0 || len(names) > hintNames {
		return ""
	}
	return " (one of: " + strings.Join(names, ", ") + ")"
}
