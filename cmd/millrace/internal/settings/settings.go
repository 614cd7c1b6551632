// Package settings gathers the broker's configuration from its sources: a file, the environment and
// the command line. It knows no setting by name; what is valid is the broker's to say.
package settings

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/millrace/millrace/cmd/millrace/internal/usage"
)

// Settings are Kafka-named keys with their values and where each came from.
type Settings struct {
	values  map[string]string
	sources map[string]string
}

// Set stores a value; a later one wins. source is for error messages ("file a.yaml").
func (s *Settings) Set(key, value, source string) {
	if s.values == nil {
		s.values, s.sources = map[string]string{}, map[string]string{}
	}
	s.values[key], s.sources[key] = value, source
}

// Get returns the value of key and whether it is set.
func (s *Settings) Get(key string) (string, bool) {
	value, ok := s.values[key]
	return value, ok
}

// Delete forgets key.
func (s *Settings) Delete(key string) { delete(s.values, key); delete(s.sources, key) }

// Values returns a copy of everything set.
func (s *Settings) Values() map[string]string {
	if s.values == nil {
		return map[string]string{}
	}
	return maps.Clone(s.values)
}

// Explain adds to an error that quotes a key where that key was set.
func (s *Settings) Explain(err error) error {
	// The longest first: a key may be part of another.
	keys := slices.SortedFunc(maps.Keys(s.sources), func(a, b string) int { return len(b) - len(a) })
	for _, key := range keys {
		if mentions(err.Error(), key) {
			return fmt.Errorf("%w (from %s)", err, s.sources[key])
		}
	}
	return err
}

// mentions reports whether text has key as a whole word.
func mentions(text, key string) bool {
	inKey := func(c byte) bool {
		return c == '.' || c == '-' || c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
	}
	for at := 0; ; {
		i := strings.Index(text[at:], key)
		if i < 0 {
			return false
		}
		from, to := at+i, at+i+len(key)
		before := from == 0 || !inKey(text[from-1])
		after := to == len(text) || !inKey(text[to]) || text[to] == '.' && (to+1 == len(text) || !inKey(text[to+1]))
		if before && after {
			return true
		}
		at = from + 1
	}
}

// ParsePair splits key=value as given to the flag. An error is a *usage.Error.
func ParsePair(flag, pair string) (key, value string, err error) {
	key, value, found := strings.Cut(pair, "=")
	if key = strings.TrimSpace(key); !found || key == "" {
		return "", "", usage.Errorf("%s: %q is not key=value", flag, pair)
	}
	return key, strings.TrimSpace(value), nil
}
