package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/millrace/millrace/consumer"
	"github.com/millrace/millrace/internal/clicks"
	"github.com/twmb/franz-go/pkg/kgo"
)

// demoVerdict says how the results compare with a plain loop over the clicks.
type demoVerdict struct {
	in, out, late    int64
	windows, cells   int // a cell is a page in a window
	lost, duplicated int64
	examples         []string // of what is wrong
}

// demoExamplesMax bounds how many differences are told.
const demoExamplesMax = 10

// audit reads everything again, once nothing changes any more, and compares.
func (d *demo) audit(ctx context.Context) (demoVerdict, error) {
	want, in := newDemoTally(), int64(0)
	timeMs := map[int32]int64{} // of each partition
	err := d.read(ctx, consumer.AtStableEnd(), func(r *kgo.Record) error {
		var c clicks.Click
		if err := json.Unmarshal(r.Value, &c); err != nil {
			return err
		}
		in++
		timeMs[r.Partition] = max(timeMs[r.Partition], c.TimeMs)
		want.expect(c, timeMs[r.Partition])
		return nil
	}, demoClicks.Name())
	if err != nil {
		return demoVerdict{}, err
	}
	got := newDemoTally()
	if err := d.read(ctx, consumer.AtStableEnd(), got.take, demoViews.Name(), demoLate.Name()); err != nil {
		return demoVerdict{}, err
	}
	verdict := got.compare(want)
	verdict.in = in
	return verdict, nil
}

// expect counts a click as the topology has to: its window is closed when the time of its partition, which is that of the
// latest click in there, is a grace past the window's end.
func (t *demoTally) expect(c clicks.Click, timeMs int64) {
	startMs := c.TimeMs - c.TimeMs%demoWindow.SizeMs()
	if startMs+demoWindow.SizeMs()+demoWindow.GraceMs() <= timeMs {
		t.mu.late[c.ID] = true
		return
	}
	if t.mu.counts[startMs] == nil {
		t.mu.counts[startMs] = map[string]int64{}
	}
	t.mu.counts[startMs][c.Page]++
}

// compare holds the tally against what it has to be.
func (t *demoTally) compare(want *demoTally) (v demoVerdict) {
	v = demoVerdict{out: t.mu.out, late: int64(len(t.mu.late)), windows: len(t.mu.counts), duplicated: t.mu.duplicated}
	differ := func(lost, duplicated int64, format string, args ...any) {
		v.lost += max(0, lost)
		v.duplicated += max(0, duplicated)
		if len(v.examples) < demoExamplesMax {
			v.examples = append(v.examples, fmt.Sprintf(format, args...))
		}
	}
	for startMs, pages := range want.mu.counts {
		for page, count := range pages {
			if got := t.mu.counts[startMs][page]; got != count {
				differ(count-got, got-count, "%s in the window from %d on was counted %d times, not %d", page, startMs, got, count)
			}
		}
	}
	for startMs, pages := range t.mu.counts {
		v.cells += len(pages)
		for page, count := range pages {
			if want.mu.counts[startMs][page] == 0 {
				differ(0, count, "%s in the window from %d on was counted %d times, but is not there", page, startMs, count)
			}
		}
	}
	for id := range want.mu.late {
		if !t.mu.late[id] {
			differ(1, 0, "click %d is late, and was not put out as such", id)
		}
	}
	for id := range t.mu.late {
		if !want.mu.late[id] {
			differ(0, 1, "click %d was put out as late, and is not", id)
		}
	}
	return v
}

// isExact reports whether every click is in the results exactly once.
func (v demoVerdict) isExact() bool {
	return v.lost == 0 && v.duplicated == 0 && len(v.examples) == 0 && v.in == v.out+v.late
}
