package config

import (
	"fmt"
	"math"
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

// namesOf are the names of the table's settings.
func namesOf(table []Setting) []string {
	names := make([]string, len(table))
	for i := range table {
		names[i] = table[i].Name
	}
	return names
}

// fieldName is a setting's name in camel case: log.segment.bytes is LogSegmentBytes.
func fieldName(name string) string {
	var field strings.Builder
	for part := range strings.SplitSeq(name, ".") {
		field.WriteString(strings.ToUpper(part[:1]) + part[1:])
	}
	return field.String()
}

// suggestion is "; did you mean ...?" with the nearest of the names, or empty if none is near.
func suggestion(name string, names []string) string {
	best, distance := nearest(name, names)
	if distance > max(2, len(name)/3) {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// nearest is the first of the names that are nearest to name, and how far it is from that. Whoever leaves out what a
// name begins with (log., millrace.) means it all the same.
func nearest(name string, names []string) (best string, distance int) {
	name = strings.ToLower(name)
	distance = math.MaxInt
	for _, candidate := range names {
		d := editDistance(name, candidate)
		if _, short, found := strings.Cut(candidate, "."); found {
			d = min(d, 1+editDistance(name, short))
		}
		if strings.HasSuffix(candidate, "."+name) {
			d = strings.Count(candidate, ".") - strings.Count(name, ".")
		}
		if d < distance {
			best, distance = candidate, d
		}
	}
	return best, distance
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
