package config

import (
	"fmt"
	"slices"
	"strings"
)

// allowed is the range of a setting's values. The zero value allows everything that parses.
type allowed struct {
	expectation string // completes "is not ..."
	holds       func(value any) bool
}

func number(value any) float64 {
	switch v := value.(type) {
	case int32:
		return float64(v)
	case int64:
		return float64(v)
	case float64:
		return v
	}
	panic(fmt.Sprintf("config: a range on %T", value))
}

func atLeast(low float64) allowed {
	return allowed{
		expectation: fmt.Sprintf("of at least %v", low),
		holds:       func(value any) bool { return number(value) >= low },
	}
}

func between(low, high float64) allowed {
	return allowed{
		expectation: fmt.Sprintf("from %v to %v", low, high),
		holds:       func(value any) bool { return low <= number(value) && number(value) <= high },
	}
}

// unlimitedOr allows -1 for "no limit" and everything from low on.
func unlimitedOr(low float64) allowed {
	return allowed{
		expectation: fmt.Sprintf("of at least %v, or -1 for no limit", low),
		holds:       func(value any) bool { return number(value) == -1 || number(value) >= low },
	}
}

// unlimitedOrSome allows every negative number for "no limit", and everything from 1 on.
func unlimitedOrSome() allowed {
	return allowed{
		expectation: "of at least 1, or negative for no limit",
		holds:       func(value any) bool { return number(value) != 0 },
	}
}

func oneOf(values ...string) allowed {
	return allowed{
		expectation: "one of " + strings.Join(values, ", "),
		holds:       func(value any) bool { return slices.Contains(values, value.(string)) },
	}
}

// someOf allows a list of values, each at most once and at least one of them.
func someOf(values ...string) allowed {
	return allowed{
		expectation: "a list of " + strings.Join(values, ", "),
		holds: func(value any) bool {
			list := value.([]string)
			for i, element := range list {
				if !slices.Contains(values, element) || slices.Contains(list[:i], element) {
					return false
				}
			}
			return len(list) > 0
		},
	}
}

// gzipLevel allows what zlib does: 1 to 9, or -1 for its own choice.
func gzipLevel() allowed {
	return allowed{
		expectation: "from 1 to 9, or -1 for the default level",
		holds:       func(value any) bool { n := number(value); return n == -1 || 1 <= n && n <= 9 },
	}
}
