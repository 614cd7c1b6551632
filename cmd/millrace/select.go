package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/millrace/millrace/cmd/millrace/internal/grep"
	"github.com/millrace/millrace/cmd/millrace/internal/jq"
	"github.com/millrace/millrace/cmd/millrace/internal/usage"
	"github.com/spf13/pflag"
)

// selectFlags are the flags that say which records a command is about.
type selectFlags struct {
	grep     []string
	jq       string
	jqErrors string
}

func (f *selectFlags) addFlags(flags *pflag.FlagSet, command string) {
	flags.StringVar(&f.jq, "jq", "", "evaluate an expression of jq's language on the JSON object of each record")
	flags.StringVar(&f.jqErrors, "jq-errors", "fail", "a record on which --jq fails ends "+command+" (fail) or is counted and left out (skip)")
	flags.StringArrayVarP(&f.grep, "grep", "G", nil, "only records that match: k:RE, v:RE, h:NAME=RE, !... (repeatable, all must match)")
}

// recordFilter returns what the flags ask for.
func (f *selectFlags) recordFilter(command string, changed func(string) bool) (s recordFilter, err error) {
	for _, expression := range f.grep {
		term, err := grep.Parse(expression)
		if err != nil {
			return s, err
		}
		s.filter = append(s.filter, term)
	}
	switch {
	case f.jqErrors != "fail" && f.jqErrors != "skip":
		return s, usage.Errorf("%s: --jq-errors: %v", command, usage.Unknown("policy", f.jqErrors, []string{"fail", "skip"}))
	case !changed("jq") && changed("jq-errors"):
		return s, usage.Errorf("%s: --jq-errors needs --jq", command)
	case !changed("jq"):
		return s, nil
	}
	s.skips = f.jqErrors == "skip"
	s.jq, err = jq.Parse(f.jq)
	return s, err
}

// recordFilter decides which records are wanted.
type recordFilter struct {
	filter  grep.Filter
	jq      *jq.Filter // nil: none
	selects bool       // its results are not kept, only looked at
	skips   bool       // records on which it fails are left out
	skipped int
	first   error // why the first one was
}

// wants reports whether a record is wanted, and stores what --jq gave for it. A record on which it fails is an error, or left out
// and counted with --jq-errors skip.
func (s *recordFilter) wants(ctx context.Context, p *printable) (bool, error) {
	if !s.filter.Match(p.record) {
		return false, nil
	}
	if s.jq == nil {
		return true, nil
	}
	results, err := s.jq.Run(ctx, p.record)
	switch {
	case ctx.Err() != nil:
		return false, endOf(ctx)
	case err != nil:
		err = fmt.Errorf("topic %q partition %d offset %d: --jq: %w", p.record.Topic, p.record.Partition, p.record.Offset, err)
		if !s.skips || errors.Is(err, jq.ErrRunaway) {
			return false, err
		}
		if s.skipped++; s.skipped == 1 {
			s.first = err
		}
		return false, nil
	case s.selects:
		return slices.ContainsFunc(results, jq.Result.True), nil
	}
	p.results = results
	return len(results) > 0, nil
}

// tell writes how many records --jq failed on, with the first.
func (s *recordFilter) tell(stderr io.Writer) {
	if s.skipped > 0 {
		fmt.Fprintf(stderr, "millrace: %s left out, the first: %s\n", plural(s.skipped, "record"), oneLine(s.first))
	}
}
