package usage

import "strings"

// Nearest returns the name that word most probably meant, or "" when none is close: at most a
// third of the word may differ, and a swap of two neighbours counts as one difference. The first
// of equally near names wins. A word that begins exactly one name means that name.
func Nearest(word string, names []string) string {
	lower := strings.ToLower(word)
	best, bestDistance := "", max(1, (len(lower)+2)/3)+1
	for _, name := range names {
		if d := distance(lower, strings.ToLower(name)); d < bestDistance {
			best, bestDistance = name, d
		}
	}
	if best != "" || len(lower) < 2 {
		return best
	}
	for _, name := range names {
		if !strings.HasPrefix(strings.ToLower(name), lower) {
			continue
		}
		if best != "" {
			return ""
		}
		best = name
	}
	return best
}

// distance is the optimal string alignment distance of a and b in bytes: insertions, deletions,
// replacements and swaps of neighbours.
func distance(a, b string) int {
	before, previous, current := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range previous {
		previous[j] = j
	}
	for i := 1; i <= len(a); i++ {
		current[0] = i
		for j := 1; j <= len(b); j++ {
			replace := previous[j-1]
			if a[i-1] != b[j-1] {
				replace++
			}
			current[j] = min(replace, previous[j]+1, current[j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				current[j] = min(current[j], before[j-2]+1)
			}
		}
		before, previous, current = previous, current, before
	}
	return previous[len(b)]
}
