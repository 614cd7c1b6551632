package consumer

// failures counts the failures of a partition in a row. What is undone begins at an earlier offset, and its batches are cut elsewhere:
// that some before the failure can be processed again says nothing of what failed.
type failures struct {
	at    int64 // the furthest offset of one
	times int
}

// again counts a failure at an offset, and returns how many there were in a row.
func (f *failures) again(at int64) int {
	if f.times == 0 || at > f.at {
		*f = failures{at: at}
	}
	f.times++
	return f.times
}

// passed notes that everything below next is processed.
func (f *failures) passed(next int64) {
	if next > f.at {
		f.times = 0
	}
}
