package jq

import (
	"context"
	"errors"
	"fmt"
	"runtime/metrics"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Bounds of one record's evaluation.
const (
	TimeMax    = time.Second
	resultsMax = 10_000
	memoryMax  = 512 << 20
	lookEvery  = 10 * time.Millisecond
)

// ErrRunaway is of an expression that nothing but the end of the process ends: the process should end.
var ErrRunaway = errors.New("ask for less at once")

// Run evaluates the expression on r. It fails when that takes longer than TimeMax, gives more than
// 10,000 results, or is an error of the expression's; the end of ctx is ctx's error. When it takes more
// than 512 MiB, or does not end when told to, the error is ErrRunaway and the evaluation goes on, since
// a single step of it, such as sorting an array, cannot be interrupted.
func (f *Filter) Run(ctx context.Context, r *kgo.Record) ([]Result, error) {
	input, err := fields(r)
	if err != nil {
		return nil, err
	}
	bounded, cancel := context.WithTimeout(ctx, f.timeMax)
	defer cancel()
	type outcome struct {
		results []Result
		err     error
	}
	begin, before := time.Now(), memoryBytes()
	ended := make(chan outcome, 1)
	go func() {
		results, err := f.results(bounded, r, input)
		ended <- outcome{results, err}
	}()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		select {
		case o := <-ended:
			switch {
			case ctx.Err() != nil:
				return nil, ctx.Err()
			case o.err != nil && bounded.Err() != nil:
				return nil, fmt.Errorf("the expression did not end within %v", f.timeMax)
			}
			return o.results, o.err
		case <-look.C:
			switch over := time.Since(begin) > 2*f.timeMax; {
			case over && ctx.Err() != nil:
				return nil, ctx.Err()
			case over:
				return nil, fmt.Errorf("the expression did not end within %v, %w", f.timeMax, ErrRunaway)
			case memoryBytes() > before+f.memoryMax:
				return nil, fmt.Errorf("the expression took more than %d MiB of memory, %w", f.memoryMax>>20, ErrRunaway)
			}
		}
	}
}

// memoryBytes is what the process has of the system's memory, apart from what it gave back.
func memoryBytes() uint64 {
	samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(samples)
	return samples[0].Value.Uint64() - samples[1].Value.Uint64()
}
