package main

import (
	"fmt"
	"io"
	"time"

	"github.com/millrace/millrace/cmd/millrace/internal/output"
	"github.com/millrace/millrace/consumer"
)

// copyReport is what was or would be copied.
type copyReport struct {
	Source      string          `json:"source"`
	Destination string          `json:"destination"`
	Group       string          `json:"group"`
	ExactlyOnce bool            `json:"exactly_once"`
	Created     bool            `json:"created"`
	Status      string          `json:"status"`
	Partitions  []copyPartition `json:"partitions"`
}

// copyPartition is a partition's part: the offsets [From, To) of the source.
type copyPartition struct {
	Partition int32  `json:"partition"`
	From      int64  `json:"from"`
	To        *int64 `json:"to"` // null: no end
	Copied    int64  `json:"copied_records"`
	LeftOut   int64  `json:"left_out_records"`
}

// Tables returns one row per partition.
func (r *copyReport) Tables() []output.Table {
	table := output.Table{Headers: []string{"SOURCE", "DESTINATION", "PARTITION", "FROM", "TO", "COPIED", "LEFT-OUT", "STATUS"}}
	for _, p := range r.Partitions {
		to := "-"
		if p.To != nil {
			to = number(*p.To)
		}
		table.Rows = append(table.Rows, []string{
			r.Source, r.Destination, number(p.Partition), number(p.From), to, number(p.Copied), number(p.LeftOut), r.Status,
		})
	}
	return []output.Table{table}
}

func (s *copySetting) report(status string) *copyReport {
	return &copyReport{Source: s.plan.source, Destination: s.plan.destination, Group: s.plan.group, ExactlyOnce: s.plan.exactlyOnce, Created: s.missing, Status: status}
}

// preview is the report of --dry-run.
func (s *copySetting) preview() *copyReport {
	report := s.report("would be copied")
	for _, span := range s.remaining(nil) {
		p := copyPartition{Partition: span.Partition, From: span.From}
		if span.To >= 0 {
			p.To = &span.To
		}
		report.Partitions = append(report.Partitions, p)
	}
	return report
}

// progressEvery is how often a copy says how far it is.
const progressEvery = 5 * time.Second

// copyProgress says on stderr how far a copy is.
type copyProgress struct {
	stderr io.Writer
	began  time.Time
	told   time.Time
}

// tell says how many records were copied, if it is time to.
func (p *copyProgress) tell(copied, left int64, now time.Time) {
	if now.Sub(p.told) < progressEvery {
		return
	}
	p.told = now
	rate := float64(copied) / now.Sub(p.began).Seconds()
	rest := ""
	if left >= 0 {
		rest = fmt.Sprintf(", %d offsets to go", left)
	}
	fmt.Fprintf(p.stderr, "millrace: copied %d records, %.0f a second%s\n", copied, rate, rest)
}

// copyCounts are what became of the records of the partitions.
type copyCounts map[int32]copyPartition

// add counts what one commit was about.
func (c copyCounts) add(other copyCounts) {
	for partition, more := range other {
		sum := c[partition]
		sum.Copied += more.Copied
		sum.LeftOut += more.LeftOut
		c[partition] = sum
	}
}

func (c copyCounts) copied() (total int64) {
	for _, p := range c {
		total += p.Copied
	}
	return total
}

// final is the report of what was done.
func (s *copySetting) final(began []consumer.Span, committed consumer.Offsets, counts copyCounts) *copyReport {
	report := s.report("copied")
	for _, span := range began {
		p := counts[span.Partition]
		p.Partition, p.From = span.Partition, span.From
		to := span.From
		if offset := committed[consumer.TopicPartition{Topic: s.positions, Partition: span.Partition}]; offset.At >= 0 {
			to = max(to, offset.At)
		}
		p.To = &to
		report.Partitions = append(report.Partitions, p)
	}
	return report
}
