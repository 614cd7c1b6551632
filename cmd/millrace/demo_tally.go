package main

import (
	"cmp"
	"encoding/json"
	"slices"
	"sync"

	"github.com/millrace/millrace/internal/clicks"
	"github.com/millrace/millrace/streams/serde"
	"github.com/millrace/millrace/windows"
	"github.com/twmb/franz-go/pkg/kgo"
)

// demoTally is what has come out: the last count of each page and window, and which clicks were late. Safe for concurrent use.
type demoTally struct {
	mu struct {
		sync.Mutex
		counts     map[int64]map[string]int64 // by the window's beginning in ms, and page
		late       map[int64]bool             // by the click's id
		out        int64
		duplicated int64 // counts and late clicks that were there already
		newestMs   int64 // the last window
	}
}

func newDemoTally() *demoTally {
	t := &demoTally{}
	t.mu.counts, t.mu.late = map[int64]map[string]int64{}, map[int64]bool{}
	return t
}

// windowKeys decodes the keys of counts.
var windowKeys = serde.Windowed(serde.String)

// take takes a record of a topic that the demo's topology writes.
func (t *demoTally) take(r *kgo.Record) error {
	if r.Topic == demoLate.Name() {
		var c clicks.Click
		if err := json.Unmarshal(r.Value, &c); err != nil {
			return err
		}
		t.takeLate(c.ID)
		return nil
	}
	key, err := windowKeys.Decode(r.Key)
	if err != nil {
		return err
	}
	count, err := serde.Int64.Decode(r.Value)
	if err != nil {
		return err
	}
	t.takeCount(key, count)
	return nil
}

func (t *demoTally) takeLate(id int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mu.late[id] {
		t.mu.duplicated++
	}
	t.mu.late[id] = true
}

func (t *demoTally) takeCount(key windows.Key[string], count int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	window := t.mu.counts[key.Window.StartMs]
	if window == nil {
		window = map[string]int64{}
		t.mu.counts[key.Window.StartMs] = window
	}
	if count <= window[key.Key] {
		t.mu.duplicated++
	}
	window[key.Key] = count
	t.mu.out++
	t.mu.newestMs = max(t.mu.newestMs, key.Window.StartMs)
}

// settled returns how many clicks have led to something: a count, or that they are late.
func (t *demoTally) settled() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.mu.out + int64(len(t.mu.late))
}

// late returns how many clicks were late.
func (t *demoTally) late() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return int64(len(t.mu.late))
}

// pageCount is a page with its clicks in a window.
type pageCount struct {
	page  string
	count int64
}

// newest returns the beginning of the last window, and its n most popular pages.
func (t *demoTally) newest(n int) (startMs int64, top []pageCount) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for page, count := range t.mu.counts[t.mu.newestMs] {
		top = append(top, pageCount{page, count})
	}
	slices.SortFunc(top, func(a, b pageCount) int {
		return cmp.Or(cmp.Compare(b.count, a.count), cmp.Compare(a.page, b.page))
	})
	return t.mu.newestMs, top[:min(n, len(top))]
}
