package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// timeUnitsMs and sizeUnitsBytes are the units that people write behind numbers. Kafka's settings have them in their
// names instead.
var (
	timeUnitsMs = map[string]float64{
		"ms": 1, "s": 1000, "sec": 1000, "m": minuteMs, "min": minuteMs, "h": hourMs, "d": 24 * hourMs, "w": 7 * 24 * hourMs,
	}
	sizeUnitsBytes = map[string]float64{
		"b": 1, "k": 1 << 10, "kb": 1 << 10, "kib": 1 << 10, "m": 1 << 20, "mb": 1 << 20, "mib": 1 << 20,
		"g": 1 << 30, "gb": 1 << 30, "gib": 1 << 30, "t": 1 << 40, "tb": 1 << 40, "tib": 1 << 40,
	}
)

// withoutUnit says how to write a number that came with a unit ("7d", "1 GB") or with separators; empty if text is
// no such number.
func (s *Setting) withoutUnit(text string) string {
	if s.Kind != Int && s.Kind != Long && s.Kind != Short {
		return ""
	}
	text = strings.ToLower(strings.NewReplacer("_", "", ",", "", " ", "").Replace(text))
	digits := strings.TrimRight(text, "abcdefghijklmnopqrstuvwxyz")
	value, err := strconv.ParseFloat(digits, 64)
	if err != nil {
		return ""
	}
	if unit := text[len(digits):]; unit != "" {
		scale, ok := s.scaleOf(unit)
		if !ok {
			return ""
		}
		value *= scale
	}
	if value != math.Trunc(value) || math.Abs(value) > 1<<53 {
		return ""
	}
	return fmt.Sprintf(": write it without a unit, %d", int64(value))
}

// scaleOf is how many of the setting's own units one of the named unit is.
func (s *Setting) scaleOf(unit string) (float64, bool) {
	own := s.Name[strings.LastIndexByte(s.Name, '.')+1:]
	if own == "bytes" {
		scale, ok := sizeUnitsBytes[unit]
		return scale, ok
	}
	ownMs, ok := map[string]float64{"ms": 1, "minutes": minuteMs, "hours": hourMs}[own]
	if !ok {
		return 0, false
	}
	scale, ok := timeUnitsMs[unit]
	return scale / ownMs, ok
}
