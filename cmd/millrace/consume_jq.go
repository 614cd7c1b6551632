package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/millrace/millrace/cmd/millrace/internal/jq"
)

// evaluate runs --jq on a record and reports whether it is wanted. A record on which it fails is an
// error, or left out and counted with --jq-errors skip.
func (r *reading) evaluate(ctx context.Context, p *printable) (wanted bool, err error) {
	results, err := r.plan.jq.Run(ctx, p.record)
	switch {
	case ctx.Err() != nil:
		return false, endOf(ctx)
	case err != nil:
		err = fmt.Errorf("topic %q partition %d offset %d: --jq: %w", p.record.Topic, p.record.Partition, p.record.Offset, err)
		if r.plan.jqSkips && !errors.Is(err, jq.ErrRunaway) {
			r.jq.add(err)
			return false, nil
		}
		return false, err
	case r.plan.jqSelects:
		return slices.ContainsFunc(results, jq.Result.True), nil
	}
	p.results = results
	return len(results) > 0, nil
}

// jqFailures counts the records on which --jq failed.
type jqFailures struct {
	count int
	first error
}

func (f *jqFailures) add(err error) {
	if f.count++; f.count == 1 {
		f.first = err
	}
}

// tell writes how many there were, with the first.
func (f *jqFailures) tell(stderr io.Writer) {
	if f.count > 0 {
		fmt.Fprintf(stderr, "millrace: %s left out, the first: %s\n", plural(f.count, "record"), oneLine(f.first))
	}
}
