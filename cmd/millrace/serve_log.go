package main

import (
	"io"
	"log/slog"
	"slices"

	"github.com/millrace/millrace/cmd/millrace/internal/usage"
)

var levelNames = []string{"debug", "info", "warn", "error"}

// levelValue is a flag value that names the nearest level when it is wrong.
type levelValue string

func (l *levelValue) String() string { return string(*l) }
func (l *levelValue) Type() string   { return "LEVEL" }

func (l *levelValue) Set(s string) error {
	if !slices.Contains(levelNames, s) {
		return usage.Unknown("level", s, levelNames)
	}
	*l = levelValue(s)
	return nil
}

func (l *levelValue) level() slog.Level {
	var level slog.Level
	if err := level.UnmarshalText([]byte(*l)); err != nil {
		panic("a level that Set has accepted: " + err.Error())
	}
	return level
}

// newLogHandler writes text for people at a terminal and JSON for programs.
func newLogHandler(w io.Writer, level slog.Leveler) slog.Handler {
	options := &slog.HandlerOptions{Level: level}
	if isTerminal(w) {
		return slog.NewTextHandler(w, options)
	}
	return slog.NewJSONHandler(w, options)
}
