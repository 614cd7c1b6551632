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

// Filter is a compiled expression.
type Filter struct {
	code      *gojq.Code
	timeMax   time.Duration
	memoryMax uint64 // bytes that the process may grow by
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
	return &Filter{code: code, timeMax: TimeMax, memoryMax: memoryMax}, nil
}

// Result is one value that an expression gave.
type Result struct {
	json   []byte
	text   *string     // not nil: the value is this string
	record *kgo.Record // not nil: the value is this record's whole envelope, and json is empty
}

// results evaluates the expression on input, which is r's envelope, until ctx ends. Values are written out here: one that
// holds another many times is small until then.
func (f *Filter) results(ctx context.Context, r *kgo.Record, input map[string]any) ([]Result, error) {
	var results []Result
	for iterator := f.code.RunWithContext(ctx, input); ; {
		value, more := iterator.Next()
		if !more {
			return results, nil
		}
		if err, failed := value.(error); failed {
			return nil, err
		}
		if len(results) == resultsMax {
			return nil, fmt.Errorf("the expression gave more than %d results", resultsMax)
		}
		result, err := resultOf(value, r, input)
		if err != nil {
			return nil, err
		}
		results = append(results, result)
	}
}

func resultOf(value any, r *kgo.Record, input map[string]any) (Result, error) {
	if same(value, input) {
		return Result{record: r}, nil
	}
	json, err := gojq.Marshal(value)
	result := Result{json: json}
	if text, ok := value.(string); ok {
		result.text = &text
	}
	return result, err
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
func (r Result) True() bool { return string(r.json) != "null" && string(r.json) != "false" }

// Append appends the result as one line of JSON without its newline; with raw, a string as it is.
func (r Result) Append(dst []byte, raw bool) []byte {
	switch {
	case r.record != nil:
		return envelope.Append(dst, r.record)
	case r.text != nil && raw:
		return append(dst, *r.text...)
	}
	return append(dst, r.json...)
}
