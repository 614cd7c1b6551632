package windows

import "math"

// add is a + b, held at the ends of int64.
func add(a, b int64) int64 {
	sum := a + b
	switch {
	case b > 0 && sum < a:
		return math.MaxInt64
	case b < 0 && sum > a:
		return math.MinInt64
	}
	return sum
}

// subtract is a - b for b >= 0, held at the lower end of int64.
func subtract(a, b int64) int64 {
	difference := a - b
	if difference > a {
		return math.MinInt64
	}
	return difference
}
