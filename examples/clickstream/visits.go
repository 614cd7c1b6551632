package main

import (
	"context"
	"fmt"
	"iter"
	"math"

	"github.com/millrace/millrace/examples/internal/stage"
	"github.com/millrace/millrace/internal/clicks"
	"github.com/millrace/millrace/windows"
	"github.com/twmb/franz-go/pkg/kgo"
)

// outcome is what should come of the clicks, or what came.
type outcome struct {
	visits map[windows.Key[string]]Visit // those that are over
	late   map[int64]bool                // ids of clicks that came too late
	clicks int64                         // all of them
	open   int64                         // clicks of visits that are not over
}

// visitsOf is what the topology is held against: one loop over the clicks in the order in which they were stored. The time of
// a partition is that of the latest click it has seen; a visit is over when that is a gap and a grace behind its end.
func visitsOf(records iter.Seq2[*kgo.Record, error]) (outcome, error) {
	o := outcome{visits: map[windows.Key[string]]Visit{}, late: map[int64]bool{}}
	nowMs := map[int32]int64{}        // by partition
	open := map[string][]visiting{}   // by user
	partitionOf := map[string]int32{} // by user
	for r, err := range records {
		if err != nil {
			return o, err
		}
		_, c, err := clicked.Decode(r)
		if err != nil {
			return o, err
		}
		o.clicks++
		nowMs[r.Partition] = max(nowMs[r.Partition], c.TimeMs)
		partitionOf[c.User] = r.Partition
		kept, fits := visit(o.close(c.User, open[c.User], nowMs[r.Partition]), c)
		open[c.User] = kept
		if isOver(fits, nowMs[r.Partition]) {
			o.late[c.ID] = true
			continue
		}
		open[c.User] = append(kept, fits)
	}
	for user, visits := range open {
		for _, v := range o.close(user, visits, nowMs[partitionOf[user]]) {
			o.open += v.Clicks
		}
	}
	return o, nil
}

// visiting is a visit with the times of its first and last click.
type visiting struct {
	fromMs, toMs int64
	Visit
}

func isOver(v visiting, nowMs int64) bool {
	return v.toMs < nowMs-session.GapMs()-session.GraceMs()
}

// close moves the visits that are over into the outcome and returns the others.
func (o *outcome) close(user string, visits []visiting, nowMs int64) (open []visiting) {
	for _, v := range visits {
		if isOver(v, nowMs) {
			o.visits[windows.Key[string]{Key: user, Window: windows.Window{StartMs: v.fromMs, EndMs: v.toMs}}] = v.Visit
		} else {
			open = append(open, v)
		}
	}
	return open
}

// visit puts a click together with all visits that it is within a gap of; the others are returned as they are.
func visit(visits []visiting, c clicks.Click) (others []visiting, v visiting) {
	v = visiting{fromMs: c.TimeMs, toMs: c.TimeMs, Visit: addClick(c.User, c, Visit{})}
	for _, other := range visits {
		if other.toMs < c.TimeMs-session.GapMs() || other.fromMs > c.TimeMs+session.GapMs() {
			others = append(others, other)
			continue
		}
		v.fromMs, v.toMs = min(v.fromMs, other.fromMs), max(v.toMs, other.toMs)
		v.Visit = mergeVisits(c.User, other.Visit, v.Visit)
	}
	return others, v
}

// check reads both topics: every visit and every late click is there, once, and as the plain loop has it.
func check(ctx context.Context, s *stage.Stage, want outcome) error {
	counted, longest := int64(0), int64(math.MinInt64)
	for r, err := range s.All(ctx, visited.Name()) {
		if err != nil {
			return err
		}
		key, got, err := visited.Decode(r)
		if err != nil {
			return err
		}
		if expected, left := want.visits[key]; !left || got != expected {
			return fmt.Errorf("visit %+v is %+v, not %+v (or there twice: %v)", key, got, expected, !left)
		}
		delete(want.visits, key)
		counted += got.Clicks
		longest = max(longest, key.Window.EndMs-key.Window.StartMs)
	}
	late := int64(0)
	for r, err := range s.All(ctx, tooLate.Name()) {
		if err != nil {
			return err
		}
		_, c, err := tooLate.Decode(r)
		if err != nil || !want.late[c.ID] {
			return fmt.Errorf("click %d is not late, or there twice: %v", c.ID, err)
		}
		delete(want.late, c.ID)
		late++
	}
	if len(want.visits) > 0 || len(want.late) > 0 {
		return fmt.Errorf("%d visits and %d late clicks are missing", len(want.visits), len(want.late))
	}
	lost := want.clicks - counted - late - want.open
	if lost != 0 {
		return fmt.Errorf("%d clicks are in no visit", lost)
	}
	s.Verified("clicks=%d in-visits=%d late=%d open=%d lost=0 duplicated=0", want.clicks, counted, late, want.open)
	return nil
}
