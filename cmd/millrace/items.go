package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/millrace/millrace/cmd/millrace/internal/output"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kerr"
)

// itemResult is what became of one of the things that a command was asked to change.
type itemResult struct {
	Name   string  `json:"name"`
	Status string  `json:"status"`
	Error  *string `json:"error"`
}

// itemResults is what a changing command prints: a row per item.
type itemResults struct {
	kind    string
	Results []itemResult `json:"results"`
}

// Tables returns one row per item.
func (r *itemResults) Tables() []output.Table {
	table := output.Table{Headers: []string{strings.ToUpper(r.kind), "STATUS"}}
	for _, result := range r.Results {
		table.Rows = append(table.Rows, []string{result.Name, result.Status})
	}
	return []output.Table{table}
}

// add stores what became of name: status, or err.
func (r *itemResults) add(name, status string, err error) {
	result := itemResult{Name: name, Status: status}
	if err != nil {
		text := oneLine(err)
		result.Status, result.Error = "failed", &text
	}
	r.Results = append(r.Results, result)
}

// print writes the results to stdout, each failure also as a line on stderr, and returns
// errReported if there was one.
func (r *itemResults) print(cmd *cobra.Command, options *output.Options) error {
	if err := options.Print(cmd.OutOrStdout(), r); err != nil {
		return err
	}
	var failures failureLines
	for _, result := range r.Results {
		switch {
		case result.Error == nil:
		case strings.HasPrefix(*result.Error, "unknown "+r.kind): // it has the name
			failures.add(cmd.ErrOrStderr(), errors.New(*result.Error))
		default:
			failures.add(cmd.ErrOrStderr(), fmt.Errorf("%s %q: %s", r.kind, result.Name, *result.Error))
		}
	}
	return failures.err()
}

// failureLines counts failures of single items, each of which is a line on stderr.
type failureLines struct{ count int }

func (f *failureLines) add(stderr io.Writer, err error) {
	f.count++
	fmt.Fprintln(stderr, "millrace: "+oneLine(err))
}

// err returns errReported if anything failed.
func (f *failureLines) err() error {
	if f.count > 0 {
		return errReported
	}
	return nil
}

// brokerError makes one line of an error code and what the broker said with it, which may be empty.
func brokerError(err error, message string) error {
	var code *kerr.Error
	if err == nil || !errors.As(err, &code) {
		return err
	}
	if message == "" {
		message = strings.TrimSuffix(strings.TrimSpace(code.Description), ".")
	}
	return fmt.Errorf("%s (%s)", message, code.Message)
}

// unique returns names in order without repeats.
func unique(names []string) []string {
	var out []string
	for _, name := range names {
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}
