// Package jq selects and transforms records with jq's language, for `consume --jq`. An expression sees
// the record's envelope, and neither files nor the environment.
package jq

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/itchyny/gojq"
	"github.com/millrace/millrace/cmd/millrace/internal/envelope"
	"github.com/millrace/millrace/cmd/millrace/internal/usage"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Bounds of one record's evaluation.
const (
	TimeMax    = time.Second
	resultsMax = 10_000
)

// Filter is a compiled expression. Safe for concurrent use.
type Filter struct {
	code    *gojq.Code
	timeMax time.Duration
}

// Parse compiles expression. An error is a *usage.Error that has the place of the mistake.
func Parse(expression string) (*Filter, error) {
	query, err := gojq.Parse(expression)
	var wrong *gojq.ParseError
	if errors.As(err, &wrong) {
		return nil, usage.Errorf("--jq: %v at byte %d of %q", err, wrong.Offset, expression)
	}
	if err != nil {
		return nil, usage.Errorf("--jq: %v in %q", err, expression)
	}
	code, err := gojq.Compile(query)
	if err != nil {
		return nil, usage.Errorf("--jq: %v in %q", err, expression)
	}
	return &Filter{code: code, timeMax: TimeMax}, nil
}

// Result is one value that an expression gave.
type Result struct {
	value  any
	record *kgo.Record // not nil: the value is this record's whole envelope
}

// Run evaluates the expression on r. It fails when that takes longer than TimeMax, gives more than
// 10,000 results, or is an error of the expression's; the end of ctx is ctx's error.
func (f *Filter) Run(ctx context.Context, r *kgo.Record) ([]Result, error) {
	bounded, cancel := context.WithTimeout(ctx, f.timeMax)
	defer cancel()
	input, err := fields(r)
	if err != nil {
		return nil, err
	}
	var results []Result
	for iterator := f.code.RunWithContext(bounded, input); ; {
		value, more := iterator.Next()
		if !more {
			return results, nil
		}
		if err, failed := value.(error); failed {
			switch {
			case ctx.Err() != nil:
				return nil, ctx.Err()
			case bounded.Err() != nil:
				return nil, fmt.Errorf("the expression did not end within %v", f.timeMax)
			}
			return nil, err
		}
		if len(results) == resultsMax {
			return nil, fmt.Errorf("the expression gave more than %d results", resultsMax)
		}
		result := Result{value: value}
		if same(value, input) {
			result.record = r
		}
		results = append(results, result)
	}
}

// fields returns the envelope of r as jq sees it.
func fields(r *kgo.Record) (map[string]any, error) {
	var input map[string]any
	if err := json.Unmarshal(envelope.Append(nil, r), &input); err != nil {
		return nil, err
	}
	// Numbers from JSON are floats, which do not hold every offset.
	input["partition"], input["offset"], input["timestamp"] = int(r.Partition), int(r.Offset), int(r.Timestamp.UnixMilli())
	return input, nil
}

// same reports whether value is input itself, and not a copy that was changed.
func same(value any, input map[string]any) bool {
	object, ok := value.(map[string]any)
	return ok && reflect.ValueOf(object).Pointer() == reflect.ValueOf(input).Pointer()
}

// True reports what jq's conditions make of a result: everything is true but null and false.
func (r Result) True() bool { return r.value != nil && r.value != false }

// Append appends the result as one line of JSON without its newline; with raw, a string as it is.
func (r Result) Append(dst []byte, raw bool) []byte {
	if r.record != nil {
		return envelope.Append(dst, r.record)
	}
	if text, ok := r.value.(string); ok && raw {
		return append(dst, text...)
	}
	text, err := gojq.Marshal(r.value)
	if err != nil {
		panic(fmt.Sprintf("jq: a result that is no JSON: %v", err)) // gojq makes only values of JSON
	}
	return append(dst, text...)
}
