// Package whence is the language of `consume -o`: where in each partition to begin and where to
// stop.
//
//	start  end  N  +N  -N          begin there and follow; +N counts from the start, -N from the end
//	@TIME                          begin at the first record of that time or later
//	A:B                            from A up to but not including B; either may be any of the above
//	:B  A:end                      from the start; up to the end as it is now
//
// A TIME is "now", -1h30m or -2d ago, 2026-11-21, 2026-11-21T08:00:00Z, or seconds, milliseconds or
// nanoseconds since 1970 by their number of digits (10, 13, 19). After an @TIME the second @ may be left out.
package whence

import (
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/cmd/millrace/internal/usage"
)

// Bound is one place in a partition, known once the partition's offsets are.
type Bound struct {
	kind kind
	n    int64 // an offset, a distance in records, or milliseconds since 1970
}

type kind int8

const (
	start kind = iota
	end
	offset
	afterStart
	beforeEnd
	atTime
)

// Start is the first offset of a partition.
var Start = Bound{kind: start}

// Range is half-open: [From, To). With Bounded false there is no To: reading goes on forever.
type Range struct {
	From, To Bound
	Bounded  bool
}

// Time returns the milliseconds since 1970 whose offset Resolve needs, and whether it needs one.
func (b Bound) Time() (ms int64, ok bool) { return b.n, b.kind == atTime }

// Resolve returns the offset that b means in a partition that holds [first, next). timeOffset is the
// first offset at or after Time, next if there is none; it is used only where Time says so.
// A plain offset is returned as it is, everything else lies within [first, next].
func (b Bound) Resolve(first, next, timeOffset int64) int64 {
	switch b.kind {
	case end:
		return next
	case offset:
		return b.n
	case afterStart:
		return min(next, first+min(b.n, next-first))
	case beforeEnd:
		return max(first, next-min(b.n, next-first))
	case atTime:
		return min(next, max(first, timeOffset))
	}
	return first
}

const (
	syntax     = "start, end, N, +N, -N, A:B, :end, @TIME or @T1:T2"
	timeSyntax = "now, -1h, -2d, 2006-01-02, 2006-01-02T15:04:05Z, or digits since 1970"
)

// Parse reads s; now is what relative times count from. An error is a *usage.Error.
func Parse(s string, now time.Time) (Range, error) {
	if from, ok := parseBound(s, now); ok {
		return Range{From: from}, nil
	}
	// A time may hold colons itself, so every colon is tried.
	for i := range len(s) {
		if s[i] != ':' {
			continue
		}
		if r, ok := parseRange(s[:i], s[i+1:], now); ok {
			return r, nil
		}
	}
	if strings.HasPrefix(s, "@") {
		return Range{}, usage.Errorf("-o: %q is no time (%s)", s, timeSyntax)
	}
	if near := usage.Nearest(s, []string{"start", "end", ":end"}); near != "" {
		return Range{}, usage.Errorf("-o: unknown offset %q, did you mean %q?", s, near)
	}
	return Range{}, usage.Errorf("-o: unknown offset %q (use %s)", s, syntax)
}

// ParseBound reads one place, not a range, as given to flag; now is what relative times count from.
// An error is a *usage.Error.
func ParseBound(flag, s string, now time.Time) (Bound, error) {
	if bound, ok := parseBound(s, now); ok {
		return bound, nil
	}
	if strings.HasPrefix(s, "@") {
		return Bound{}, usage.Errorf("%s: %q is no time (%s)", flag, s, timeSyntax)
	}
	return Bound{}, usage.Errorf("%s: unknown offset %q (use start, end, N, +N, -N or @TIME)", flag, s)
}

// Distance returns the N of +N and, negative, of -N, and whether b is one of them.
func (b Bound) Distance() (n int64, ok bool) {
	if b.kind == beforeEnd {
		return -b.n, true
	}
	return b.n, b.kind == afterStart
}

// Offset returns the plain offset that b is, and whether it is one.
func (b Bound) Offset() (n int64, ok bool) { return b.n, b.kind == offset }

func parseRange(left, right string, now time.Time) (Range, bool) {
	r := Range{From: Start, Bounded: right != ""}
	ok := true
	if left != "" {
		r.From, ok = parseBound(left, now)
	}
	if !ok || left == "" && right == "" {
		return r, false
	}
	if right == "" {
		return r, true
	}
	if r.From.kind == atTime {
		if r.To, ok = parseTime(strings.TrimPrefix(right, "@"), now); ok {
			return r, true
		}
	}
	r.To, ok = parseBound(right, now)
	return r, ok
}

func parseBound(s string, now time.Time) (Bound, bool) {
	switch s {
	case "start", "beginning", "oldest", "earliest":
		return Start, true
	case "end", "newest", "latest":
		return Bound{kind: end}, true
	case "":
		return Bound{}, false
	}
	switch digits := s[1:]; s[0] {
	case '@':
		return parseTime(digits, now)
	case '+':
		n, ok := parseCount(digits)
		return Bound{kind: afterStart, n: n}, ok
	case '-':
		n, ok := parseCount(digits)
		return Bound{kind: beforeEnd, n: n}, ok
	}
	n, ok := parseCount(s)
	return Bound{kind: offset, n: n}, ok
}

func parseCount(digits string) (int64, bool) {
	n, err := strconv.ParseUint(digits, 10, 63)
	return int64(n), err == nil
}

func parseTime(s string, now time.Time) (Bound, bool) {
	t, ok := parseInstant(s, now)
	return Bound{kind: atTime, n: t.UnixMilli()}, ok
}

func parseInstant(s string, now time.Time) (time.Time, bool) {
	if s == "now" {
		return now, true
	}
	if ago, found := strings.CutPrefix(s, "-"); found {
		d, ok := parseDuration(ago)
		return now.Add(-d), ok
	}
	if n, ok := parseCount(s); ok {
		switch len(s) {
		case 10:
			return time.Unix(n, 0), true
		case 13:
			return time.UnixMilli(n), true
		case 19:
			return time.Unix(0, n), true
		}
		return time.Time{}, false
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", time.DateTime, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// parseDuration is time.ParseDuration with days in front: 2d, 1d12h.
func parseDuration(s string) (time.Duration, bool) {
	var days time.Duration
	if before, after, found := strings.Cut(s, "d"); found {
		n, err := strconv.ParseUint(before, 10, 16)
		if err != nil {
			return 0, false
		}
		days = time.Duration(n) * 24 * time.Hour
		if after == "" {
			return days, true
		}
		s = after
	}
	d, err := time.ParseDuration(s)
	return days + d, err == nil && d >= 0
}
