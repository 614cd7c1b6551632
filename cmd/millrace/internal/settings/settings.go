// Package settings gathers the broker's configuration from its sources: a file, the environment and
// the command line. It knows no setting by name; what is valid is the broker's to say.
package settings

import (
	"fmt"
	"maps"
	"strings"

	"github.com/millrace/millrace/cmd/millrace/internal/usage"
)

// Settings are Kafka-named keys with their values and where each came from.
type Settings struct {
	values  map[string]string
	sources map[string]Source
}

// Source is where a value came from.
type Source struct {
	Kind Kind
	Text string // as people read it: "a.yaml line 3", "environment variable KAFKA_LISTENERS", "-X a=b"
}

// Kind is a kind of source. A greater one wins.
type Kind int8

// The kinds of source. Unset is that of a key without a value.
const (
	Unset Kind = iota
	File
	Environment
	Flag
)

// Set stores a value; a later one wins.
func (s *Settings) Set(key, value string, source Source) {
	if s.values == nil {
		s.values, s.sources = map[string]string{}, map[string]Source{}
	}
	s.values[key], s.sources[key] = value, source
}

// Get returns the value of key and whether it is set.
func (s *Settings) Get(key string) (string, bool) {
	value, ok := s.values[key]
	return value, ok
}

// Value returns the value of key, "" if it is not set.
func (s *Settings) Value(key string) string { return s.values[key] }

// Source returns where key was set.
func (s *Settings) Source(key string) Source { return s.sources[key] }

// Sources returns where everything was set, in words.
func (s *Settings) Sources() map[string]string {
	texts := make(map[string]string, len(s.sources))
	for key, source := range s.sources {
		texts[key] = source.Text
	}
	return texts
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

// Explain adds to an error that quotes a key where that key was set: the first that it quotes, for what comes later may
// be a suggestion.
func (s *Settings) Explain(err error) error {
	first, at := "", len(err.Error())
	for key := range s.sources {
		if i := mention(err.Error(), key); i >= 0 && i < at {
			first, at = key, i
		}
	}
	if first == "" {
		return err
	}
	return fmt.Errorf("%w (from %s)", err, s.sources[first].Text)
}

// mention is where text first has key as a whole word, -1 if nowhere.
func mention(text, key string) int {
	inKey := func(c byte) bool {
		return c == '.' || c == '-' || c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
	}
	for at := 0; ; {
		i := strings.Index(text[at:], key)
		if i < 0 {
			return -1
		}
		from, to := at+i, at+i+len(key)
		before := from == 0 || !inKey(text[from-1])
		after := to == len(text) || !inKey(text[to]) || text[to] == '.' && (to+1 == len(text) || !inKey(text[to+1]))
		if before && after {
			return from
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
