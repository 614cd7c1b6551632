// Package grep picks records by key, value and headers, for `consume -G`.
package grep

import (
	"regexp"
	"strings"

	"github.com/millrace/millrace/cmd/millrace/internal/usage"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Filter keeps the records that fulfil all of its terms; an empty one keeps everything.
type Filter []Term

// Match reports whether every term of f holds for r.
func (f Filter) Match(r *kgo.Record) bool {
	for _, term := range f {
		if term.test(r) == term.negated {
			return false
		}
	}
	return true
}

// Term is one condition.
type Term struct {
	negated bool
	test    func(*kgo.Record) bool
}

// Parse reads one term, an RE2 regular expression on one part of the record:
//
//	k:RE  v:RE       the key, the value; a null one matches nothing
//	h:NAME=RE        any header NAME, as written, whose value matches
//	h:NAME           any header NAME
//	!...             the opposite
//
// An error is a *usage.Error.
func Parse(s string) (Term, error) {
	expression, negated := strings.CutPrefix(s, "!")
	part, pattern, found := strings.Cut(expression, ":")
	if !found {
		return Term{}, usage.Errorf("-G: %q is no filter (use k:RE, v:RE, h:NAME=RE or !... for the opposite)", s)
	}
	term := Term{negated: negated}
	var err error
	switch part {
	case "k", "key":
		term.test, err = bytesTest(pattern, func(r *kgo.Record) []byte { return r.Key })
	case "v", "value":
		term.test, err = bytesTest(pattern, func(r *kgo.Record) []byte { return r.Value })
	case "h", "header":
		term.test, err = headerTest(pattern)
	default:
		return Term{}, usage.Errorf("-G: unknown part %q in %q (one of: k, v, h)", part, s)
	}
	if err != nil {
		return Term{}, usage.Errorf("-G: %q: %v", s, err)
	}
	return term, nil
}

func bytesTest(pattern string, part func(*kgo.Record) []byte) (func(*kgo.Record) bool, error) {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, err
	}
	return func(r *kgo.Record) bool {
		b := part(r)
		return b != nil && re.Match(b)
	}, nil
}

func headerTest(expression string) (func(*kgo.Record) bool, error) {
	name, pattern, found := strings.Cut(expression, "=")
	if name == "" {
		return nil, usage.Errorf("no header name")
	}
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, err
	}
	return func(r *kgo.Record) bool {
		for _, header := range r.Headers {
			if header.Key == name && (!found || header.Value != nil && re.Match(header.Value)) {
				return true
			}
		}
		return false
	}, nil
}
