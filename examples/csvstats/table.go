package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"os"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
)

// table is a file as one loop over it finds it.
type table struct {
	path    string
	heading []string
	rows    int64
	columns map[string]Column
}

// describeAtOnce is what the first pass is held against.
func describeAtOnce(path string) (table, error) {
	t := table{path: path, columns: map[string]Column{}}
	for row, err := range rowsOf(path) {
		if err != nil {
			return t, err
		}
		if t.heading == nil {
			t.heading = row
			continue
		}
		t.rows++
		for i, cell := range row {
			t.columns[t.heading[i]] = addCell("", cell, t.columns[t.heading[i]])
		}
	}
	if t.rows == 0 {
		return t, fmt.Errorf("%s has no rows", path)
	}
	return t, nil
}

// rowsOf reads a file row by row, the heading first.
func rowsOf(path string) iter.Seq2[[]string, error] {
	return func(yield func([]string, error) bool) {
		f, err := os.Open(path)
		if err != nil {
			yield(nil, err)
			return
		}
		defer f.Close()
		for reader := csv.NewReader(f); ; {
			row, err := reader.Read()
			if errors.Is(err, io.EOF) || !yield(row, err) || err != nil {
				return
			}
		}
	}
}

// records are the rows below the heading.
func records(path string) iter.Seq2[*kgo.Record, error] {
	return func(yield func(*kgo.Record, error) bool) {
		number := int64(-1)
		for row, err := range rowsOf(path) {
			if err != nil {
				yield(nil, err)
				return
			}
			if number++; number > 0 && !yield(rows.Record(number, row)) {
				return
			}
		}
	}
}

func (t table) cells() int64 { return t.rows * int64(len(t.heading)) }

func (t table) missing() (sum int64) {
	for _, c := range t.columns {
		sum += c.Missing
	}
	return sum
}

// compare fails unless the columns are those of the table. Sums may differ in the last digits: the stream adds in another
// order.
func (t table) compare(got map[string]Column) error {
	for _, name := range t.heading {
		g, w := got[name], t.columns[name]
		if math.Abs(g.Sum-w.Sum) > 1e-9*max(1, math.Abs(w.Sum)) {
			return fmt.Errorf("column %s has the sum %v, not %v", name, g.Sum, w.Sum)
		}
		if g.Sum = w.Sum; g != w {
			return fmt.Errorf("column %s is %+v, not %+v", name, g, w)
		}
	}
	return nil
}

// compareFilled fails unless each row of the table is there, once and filled.
func (t table) compareFilled(records iter.Seq2[*kgo.Record, error], columns map[string]Column) error {
	got := map[int64][]string{}
	for r, err := range records {
		if err != nil {
			return err
		}
		number, row, err := filled.Decode(r)
		if err != nil {
			return err
		}
		if got[number] != nil {
			return fmt.Errorf("row %d is there twice", number)
		}
		got[number] = row
	}
	number := int64(-1)
	for row, err := range rowsOf(t.path) {
		if err != nil {
			return err
		}
		if number++; number == 0 {
			continue
		}
		if want := fillRow(t.heading, columns, row); !slices.Equal(got[number], want) {
			return fmt.Errorf("row %d is %q, not %q", number, got[number], want)
		}
	}
	if int64(len(got)) != t.rows {
		return fmt.Errorf("%d rows, not %d", len(got), t.rows)
	}
	return nil
}
