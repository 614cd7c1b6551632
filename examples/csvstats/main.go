// Command csvstats describes the columns of a table in CSV and fills its gaps: how many cells, how many missing, their type,
// mean, least and greatest. It needs one row at a time, however large the file is.
//
//	go run ./examples/csvstats
//	go run ./examples/csvstats -file measurements.csv
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/millrace/millrace/examples/internal/stage"
	"github.com/millrace/millrace/streams"
)

func main() { stage.Main(example) }

var file string

var example = stage.Example{
	Name:  "csvstats",
	About: "Describe the columns of a CSV file and fill its gaps with their means, as two streams.",
	Count: 20_000,
	Flags: func(flags *flag.FlagSet) {
		flags.StringVar(&file, "file", "", "the table, with a heading; empty: one that is made up, with -count rows")
	},
	Run: run,
}

func run(ctx context.Context, s *stage.Stage) error {
	path, err := source(s)
	if err != nil {
		return err
	}
	want, err := describeAtOnce(path)
	if err != nil {
		return err
	}
	if err := s.CreateTopics(ctx, 4, rows.Name(), columns.Name(), filled.Name()); err != nil {
		return err
	}
	if err := s.Produce(ctx, records(path)); err != nil {
		return err
	}
	found, err := describe(ctx, s, want)
	if err != nil {
		return err
	}
	if err := fill(ctx, s, want, found); err != nil {
		return err
	}
	s.Verified("rows=%d columns=%d cells=%d filled=%d lost=0 duplicated=0", want.rows, len(want.heading), want.cells(), want.missing())
	return nil
}

// source returns the file, which it makes up if there is none.
func source(s *stage.Stage) (string, error) {
	if file != "" {
		return file, nil
	}
	path := filepath.Join(s.Dir, "weather.csv")
	f, err := os.Create(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if err := writeTable(f, s.Seed, s.Count); err != nil {
		return "", fmt.Errorf("write %s: %w", path, err)
	}
	return path, f.Close()
}

// describe is the first pass: it returns the columns once all cells are in.
func describe(ctx context.Context, s *stage.Stage, want table) (found map[string]Column, err error) {
	app, err := streams.New(describing(want.heading), streams.Config{App: "csvstats", Brokers: s.Brokers, StateDir: s.StateDir()})
	if err != nil {
		return nil, err
	}
	err = stage.While(ctx, app.Run, func(ctx context.Context) error {
		if err := s.Await(ctx, columns.Name(), want.cells()); err != nil {
			return err
		}
		return stage.Until(ctx, func() (bool, error) {
			found, err = columnsOf(ctx, app)
			return cellsOf(found) == want.cells(), err
		})
	})
	if err != nil {
		return nil, err
	}
	for _, name := range want.heading {
		s.Say("%-12s %v", name, found[name])
	}
	return found, want.compare(found)
}

// fill is the second pass, over the same rows.
func fill(ctx context.Context, s *stage.Stage, want table, found map[string]Column) error {
	app, err := streams.New(filling(want.heading, found), streams.Config{App: "csvstats-fill", Brokers: s.Brokers, StateDir: s.StateDir()})
	if err != nil {
		return err
	}
	if err := stage.While(ctx, app.Run, func(ctx context.Context) error { return s.Await(ctx, filled.Name(), want.rows) }); err != nil {
		return err
	}
	return want.compareFilled(s.All(ctx, filled.Name()), found)
}
