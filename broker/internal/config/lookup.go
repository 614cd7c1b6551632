package config

import (
	"fmt"
	"strings"
)

var (
	brokerSettings = byName(brokerTable)
	topicSettings  = byName(topicTable)
)

func byName(table []Setting) map[string]*Setting {
	rows := make(map[string]*Setting, len(table))
	for i := range table {
		rows[table[i].Name] = &table[i]
	}
	return rows
}

// fieldName is a setting's name in camel case: log.segment.bytes is LogSegmentBytes.
func fieldName(name string) string {
	var field strings.Builder
	for part := range strings.SplitSeq(name, ".") {
		field.WriteString(strings.ToUpper(part[:1]) + part[1:])
	}
	return field.String()
}

// suggestion is "; did you mean ...?" with the nearest name of the tables, or empty if none is near.
func suggestion(name string, tables ...[]Setting) string {
	best, bestDistance := "", max(2, len(name)/3)+1
	for _, table := range tables {
		for i := range table {
			candidate := table[i].Name
			distance := editDistance(strings.ToLower(name), candidate)
			// Whoever leaves out a prefix (log., millrace.) means the setting all the same.
			if strings.HasSuffix(candidate, "."+name) {
				distance = 1
			}
			if distance < bestDistance {
				best, bestDistance = candidate, distance
			}
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// editDistance is the least number of characters inserted, deleted or replaced that turns a into b.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
