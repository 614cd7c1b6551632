package main

import (
	"cmp"
	"fmt"
	"strconv"
	"time"
)

// Column is what is known of a column from the cells that were seen.
type Column struct {
	Cells   int64   `json:"cells"`
	Missing int64   `json:"missing"`
	Type    string  `json:"type"` // integer, number, boolean, date or text; "" before the first cell
	Numbers int64   `json:"numbers"`
	Sum     float64 `json:"sum"` // of the numbers
	Min     float64 `json:"min"`
	Max     float64 `json:"max"`
}

// addCell adds a cell to its column.
func addCell(_, cell string, c Column) Column {
	c.Cells++
	if cell == "" {
		c.Missing++
		return c
	}
	c.Type = wider(c.Type, typeOf(cell))
	if x, err := strconv.ParseFloat(cell, 64); err == nil {
		if c.Numbers == 0 || x < c.Min {
			c.Min = x
		}
		if c.Numbers == 0 || x > c.Max {
			c.Max = x
		}
		c.Numbers++
		c.Sum += x
	}
	return c
}

func typeOf(cell string) string {
	if _, err := strconv.ParseInt(cell, 10, 64); err == nil {
		return "integer"
	}
	if _, err := strconv.ParseFloat(cell, 64); err == nil {
		return "number"
	}
	if cell == "true" || cell == "false" {
		return "boolean"
	}
	if _, err := time.Parse(time.DateOnly, cell); err == nil {
		return "date"
	}
	return "text"
}

// wider returns the type that has the cells of both.
func wider(a, b string) string {
	switch {
	case a == b || a == "" || b == "":
		return cmp.Or(a, b)
	case (a == "integer" || a == "number") && (b == "integer" || b == "number"):
		return "number"
	default:
		return "text"
	}
}

func (c Column) isNumeric() bool { return c.Type == "integer" || c.Type == "number" }

// Mean returns the mean of the numbers.
func (c Column) Mean() float64 { return c.Sum / float64(c.Numbers) }

// Filled returns what a missing cell of the column is taken to be: the mean where there is one.
func (c Column) Filled() string {
	if !c.isNumeric() {
		return "unknown"
	}
	return strconv.FormatFloat(c.Mean(), 'f', 2, 64)
}

// String describes the column in a line.
func (c Column) String() string {
	text := fmt.Sprintf("%-8s %7d cells, %6d missing", c.Type, c.Cells, c.Missing)
	if c.isNumeric() {
		text += fmt.Sprintf(", mean %8.2f, %6.1f to %6.1f", c.Mean(), c.Min, c.Max)
	}
	return text
}
