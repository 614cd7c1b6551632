package main

import (
	"encoding/csv"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"time"
)

// writeTable writes a table of weather stations with count rows: the same seed, the same bytes. One cell in twenty is missing.
func writeTable(w io.Writer, seed uint64, count int64) error {
	random := rand.New(rand.NewPCG(seed, 0))
	table := csv.NewWriter(w)
	if err := table.Write([]string{"station", "day", "temperature", "rainfall", "readings", "manned"}); err != nil {
		return err
	}
	maybe := func(cell string) string {
		if random.IntN(20) == 0 {
			return ""
		}
		return cell
	}
	first := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range count {
		row := []string{
			fmt.Sprintf("S-%02d", random.IntN(40)),
			maybe(first.AddDate(0, 0, int(i/40)).Format(time.DateOnly)),
			maybe(strconv.FormatFloat(10+8*random.NormFloat64(), 'f', 1, 64)),
			maybe(strconv.FormatFloat(random.ExpFloat64()*3, 'f', 2, 64)),
			maybe(strconv.Itoa(random.IntN(25))),
			maybe(strconv.FormatBool(random.IntN(3) == 0)),
		}
		if err := table.Write(row); err != nil {
			return err
		}
	}
	table.Flush()
	return table.Error()
}
