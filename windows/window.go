package windows

import (
	"fmt"
	"time"
)

// Window is a span of event time in milliseconds since 1970. A tumbling or hopping window holds [StartMs, EndMs); a session
// holds [StartMs, EndMs], the timestamps of its first and its last record.
type Window struct {
	StartMs int64 `json:"startMs"`
	EndMs   int64 `json:"endMs"`
}

// Start returns StartMs as a time in UTC.
func (w Window) Start() time.Time { return time.UnixMilli(w.StartMs).UTC() }

// End returns EndMs as a time in UTC.
func (w Window) End() time.Time { return time.UnixMilli(w.EndMs).UTC() }

// String returns both ends in RFC 3339 with milliseconds, as 2026-01-02T10:00:00.000Z/2026-01-02T10:05:00.000Z.
func (w Window) String() string {
	const layout = "2006-01-02T15:04:05.000Z07:00"
	return fmt.Sprintf("%s/%s", w.Start().Format(layout), w.End().Format(layout))
}

// Merge returns the smallest window that holds both.
func Merge(a, b Window) Window {
	return Window{StartMs: min(a.StartMs, b.StartMs), EndMs: max(a.EndMs, b.EndMs)}
}

// Key is the key of a windowed table: a record's key in one window.
type Key[K any] struct {
	Key    K      `json:"key"`
	Window Window `json:"window"`
}

// String returns the key and its window, as page@2026-01-02T10:00:00.000Z/2026-01-02T10:05:00.000Z.
func (k Key[K]) String() string { return fmt.Sprintf("%v@%s", k.Key, k.Window) }
