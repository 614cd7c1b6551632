package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Kind is a setting's type. The numbers are those of DescribeConfigs (KIP-569).
type Kind int8

// The kinds of Kafka's ConfigDef that settings here have.
const (
	Boolean Kind = 1
	String  Kind = 2
	Int     Kind = 3
	Short   Kind = 4
	Long    Kind = 5
	Double  Kind = 6
	List    Kind = 7
)

// Setting is one row of a table.
type Setting struct {
	Name string
	Kind Kind
	// Default is the value as text. NoDefault says that there is none: Kafka shows null.
	Default   string
	NoDefault bool
	Doc       string
	// Synonyms are the broker settings that this one takes its value from when it is not set, strongest first.
	Synonyms []Synonym

	allowed allowed
}

// Synonym is a broker setting that stands for another one, perhaps in another unit.
type Synonym struct {
	Name string
	// Milliseconds in one unit of the named setting; 1 where no conversion is needed.
	Scale int64
}

const (
	minuteMs = 60 * 1000
	hourMs   = 60 * minuteMs
	maxInt   = math.MaxInt32
	// valueBytesMax is what the older versions of DescribeConfigs have room for.
	valueBytesMax = math.MaxInt16
	maxLong       = math.MaxInt64
)

// parse turns text into the Go value of the setting's kind: bool, string, int32 (Int and Short), int64, float64 or
// []string. The error names the setting, the text and what is expected.
func (s *Setting) parse(text string) (any, error) {
	if len(text) > valueBytesMax {
		return nil, fmt.Errorf("%s: a value of %d bytes, at most %d are possible", s.Name, len(text), valueBytesMax)
	}
	value, ok := s.Kind.parse(strings.TrimSpace(text))
	if !ok {
		return nil, fmt.Errorf("%s: %q is not %s%s", s.Name, text, s.Expectation(), s.withoutUnit(text))
	}
	if s.allowed.holds != nil && !s.allowed.holds(value) {
		return nil, fmt.Errorf("%s: %q is not %s", s.Name, text, s.Expectation())
	}
	return value, nil
}

// Expectation says in words which values the setting takes.
func (s *Setting) Expectation() string {
	if s.allowed.expectation == "" {
		return s.Kind.String()
	}
	switch s.Kind {
	case String, List:
		return s.allowed.expectation
	}
	return s.Kind.String() + " " + s.allowed.expectation
}

// canonical is text as DescribeConfigs shows it: numbers without signs and zeros that mean nothing, booleans in
// lower case, lists without blanks. text has been parsed before.
func (s *Setting) canonical(text string) string {
	value, err := s.parse(text)
	if err != nil {
		return text
	}
	switch v := value.(type) {
	case []string:
		return strings.Join(v, ",")
	default:
		return fmt.Sprint(v)
	}
}

func (k Kind) parse(text string) (any, bool) {
	switch k {
	case Boolean:
		switch strings.ToLower(text) {
		case "true":
			return true, true
		case "false":
			return false, true
		}
		return nil, false
	case Short:
		v, err := strconv.ParseInt(text, 10, 16)
		return int32(v), err == nil
	case Int:
		v, err := strconv.ParseInt(text, 10, 32)
		return int32(v), err == nil
	case Long:
		v, err := strconv.ParseInt(text, 10, 64)
		return v, err == nil
	case Double:
		v, err := strconv.ParseFloat(text, 64)
		return v, err == nil && !math.IsNaN(v) && !math.IsInf(v, 0)
	case List:
		return splitList(text), true
	}
	return text, true
}

// String is the kind in words, as an error message uses it.
func (k Kind) String() string {
	switch k {
	case Boolean:
		return "true or false"
	case Short:
		return "a whole number of 16 bits"
	case Int:
		return "a whole number of 32 bits"
	case Long:
		return "a whole number of 64 bits"
	case Double:
		return "a number"
	case List:
		return "a list separated by commas"
	}
	return "a string"
}

// splitList splits at commas and drops blanks and empty elements.
func splitList(text string) []string {
	list := []string{}
	for element := range strings.SplitSeq(text, ",") {
		if element = strings.TrimSpace(element); element != "" {
			list = append(list, element)
		}
	}
	return list
}
