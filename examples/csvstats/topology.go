package main

import (
	"context"
	"iter"
	"slices"

	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams"
	"github.com/millrace/millrace/streams/serde"
)

var (
	rows    = streams.NewTopic("rows", serde.Int64, serde.JSON[[]string]()) // by the row's number
	cells   = streams.NewTopic("cells", serde.String, serde.String)         // between the two halves, by the column's name
	columns = streams.NewTopic("columns", serde.String, serde.JSON[Column]())
	filled  = streams.NewTopic("rows-filled", serde.Int64, serde.JSON[[]string]())
	store   = state.NewKV("columns", serde.String, serde.JSON[Column]())
)

// describing takes rows apart into cells, and puts those of a column together.
func describing(heading []string) *streams.Topology {
	apart := func(_ int64, row []string) iter.Seq2[string, string] {
		return func(yield func(string, string) bool) {
			for i, cell := range row {
				if !yield(heading[i], cell) {
					return
				}
			}
		}
	}
	t := streams.NewTopology()
	byColumn := streams.FlatMap(streams.From(t, rows), apart).Repartition(cells)
	streams.Aggregate(byColumn.GroupByKey(), store, func() Column { return Column{} }, addCell).
		ToStream().To(columns)
	return t
}

// columnsOf asks the running application.
func columnsOf(ctx context.Context, app *streams.App) (map[string]Column, error) {
	found := map[string]Column{}
	for row, err := range streams.Range(ctx, app, store, nil, nil) {
		if err != nil {
			return nil, err
		}
		found[row.Key] = row.Value
	}
	return found, nil
}

func cellsOf(columns map[string]Column) (sum int64) {
	for _, c := range columns {
		sum += c.Cells
	}
	return sum
}

// filling puts what is known of a column into its gaps.
func filling(heading []string, known map[string]Column) *streams.Topology {
	t := streams.NewTopology()
	streams.MapValues(streams.From(t, rows), func(row []string) []string { return fillRow(heading, known, row) }).To(filled)
	return t
}

func fillRow(heading []string, known map[string]Column, row []string) []string {
	full := slices.Clone(row)
	for i, cell := range full {
		if cell == "" {
			full[i] = known[heading[i]].Filled()
		}
	}
	return full
}
