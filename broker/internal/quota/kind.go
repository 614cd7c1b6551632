package quota

import (
	"errors"
	"fmt"
	"math"
)

// ErrInvalid means that somebody asks for a quota that cannot be.
var ErrInvalid = errors.New("invalid quota")

// Kind is what a quota limits.
type Kind uint8

// The kinds of quotas.
const (
	Produce    Kind = iota // bytes of produce requests per second
	Fetch                  // bytes of fetched records per second
	Request                // time in request handlers, in percent of one processor
	Mutation               // partitions created and deleted per second
	Connection             // connections accepted per second

	// KindCount is how many kinds there are.
	KindCount = iota
)

// kinds are the names of Kinds and what their values may be.
var kinds = [KindCount]struct {
	key   string
	whole float64 // the largest value, which is whole; 0: any number
	of    family
}{
	Produce:    {"producer_byte_rate", math.MaxInt64, ofClients},
	Fetch:      {"consumer_byte_rate", math.MaxInt64, ofClients},
	Request:    {"request_percentage", 0, ofClients},
	Mutation:   {"controller_mutation_rate", 0, ofClients},
	Connection: {"connection_creation_rate", math.MaxInt32, ofAddresses},
}

// family is the sort of entities that a kind is for.
type family uint8

const (
	ofClients   family = iota // users and client ids
	ofAddresses               // IP addresses
)

// String returns Kafka's name of the quota.
func (k Kind) String() string { return kinds[k].key }

// KindOf returns the kind of that name. ok is false if there is none.
func KindOf(key string) (kind Kind, ok bool) {
	for kind := range kinds {
		if kinds[kind].key == key {
			return Kind(kind), true
		}
	}
	return 0, false
}

// Values are an entity's quotas by kind; 0 is none.
type Values [KindCount]float64

// CheckValue returns the kind of key if an entity may have this value of it, else an ErrInvalid. As with Kafka, a
// quota of nothing at all is refused.
func CheckValue(e Entity, key string, value float64) (Kind, error) {
	kind, ok := KindOf(key)
	switch {
	case !ok:
		return 0, fmt.Errorf("%w: unknown quota %q", ErrInvalid, key)
	case kinds[kind].of != e.family():
		return 0, fmt.Errorf("%w: %s is not a quota of %v", ErrInvalid, key, e)
	case !(value > 0) || math.IsInf(value, 1):
		return 0, fmt.Errorf("%w: %s is %v, it must be greater than 0", ErrInvalid, key, value)
	}
	if most := kinds[kind].whole; most > 0 {
		if value > most {
			return 0, fmt.Errorf("%w: %s is %v, it must be at most %.0f", ErrInvalid, key, value, most)
		}
		if math.Abs(value-math.Round(value)) > wholeEpsilon || math.Round(value) == 0 {
			return 0, fmt.Errorf("%w: %s is %v, it must be a whole number", ErrInvalid, key, value)
		}
	}
	return kind, nil
}

// wholeEpsilon is how far a value may be from a whole number and still count as one, as with Kafka.
const wholeEpsilon = 1e-6
