package streams_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams"
	"github.com/millrace/millrace/streams/serde"
	"github.com/millrace/millrace/windows"
)

// timing is what all windows of the models can be told.
type timing struct {
	graceMs, idleMs, aheadMs int64
	onClose                  bool
}

func drawTiming(r *rapid.T) timing {
	return timing{
		graceMs: rapid.SampledFrom([]int64{0, 1, 10, 50}).Draw(r, "grace"),
		idleMs:  rapid.SampledFrom([]int64{0, 0, 20}).Draw(r, "idle"),
		aheadMs: rapid.SampledFrom([]int64{0, 0, 50}).Draw(r, "max ahead"),
		onClose: rapid.Bool().Draw(r, "on close"),
	}
}

func (t timing) emission() windows.Emission {
	if t.onClose {
		return windows.OnClose
	}
	return windows.OnUpdate
}

func millis(n int64) time.Duration { return time.Duration(n) * time.Millisecond }

// moment is an event and what the clocks show behind it.
type moment struct {
	event
	streamMs int64 // -1: nothing was seen
	ahead    bool
	taken    bool // as far as all windows are concerned
}

// moments follows stream time through the events of one partition.
func (t timing) moments(events []event) (all []moment) {
	nowMs, streamMs, lastNowMs, lastStreamMs := modelStart.UnixMilli(), int64(-1), int64(0), int64(-1)
	for _, e := range events {
		one := moment{event: e}
		switch {
		case e.pause > 0:
			nowMs += e.pause.Milliseconds()
			if silentMs := nowMs - lastNowMs; t.idleMs > 0 && streamMs >= 0 && silentMs >= t.idleMs {
				streamMs = max(streamMs, lastStreamMs+silentMs)
			}
		case e.noKey || e.noValue:
		case t.aheadMs > 0 && e.ms > nowMs+t.aheadMs:
			one.ahead = true
		default:
			one.taken = true
			streamMs = max(streamMs, e.ms)
			lastNowMs, lastStreamMs = nowMs, streamMs
		}
		one.streamMs = streamMs
		all = append(all, one)
	}
	return all
}

// windowModel expects what windows of one size give, from all records of a partition.
type windowModel struct {
	timing
	sizeMs, everyMs int64
	moments         []moment
}

// takes says whether a record counts in the window that begins at startMs.
func (m *windowModel) takes(one moment, startMs int64) bool {
	return one.taken && startMs <= one.ms && one.ms < startMs+m.sizeMs && startMs+m.sizeMs > one.streamMs-m.graceMs
}

// value joins what a window has of a key after some moments; found is false if nothing.
func (m *windowModel) value(until int, key string, startMs int64) (text string, ms int64, found bool) {
	var values []string
	for _, one := range m.moments[:until+1] {
		if one.key == key && m.takes(one, startMs) {
			values, ms = append(values, one.value), max(ms, one.ms)
		}
	}
	return strings.Join(values, "+"), ms, len(values) > 0
}

func (m *windowModel) result(until int, key string, startMs int64) string {
	value, ms, _ := m.value(until, key, startMs)
	return result(windows.Key[string]{Key: key, Window: windows.Window{StartMs: startMs, EndMs: startMs + m.sizeMs}}, value, ms)
}

// expect returns all results and all late records.
func (m *windowModel) expect() (results, late []string) {
	beforeMs := int64(-1)
	for i, one := range m.moments {
		if m.onClose {
			results = append(results, m.closed(i, beforeMs)...)
		}
		beforeMs = one.streamMs
		if !one.taken && !one.ahead {
			continue
		}
		isLate := one.ahead
		for startMs := one.ms / m.everyMs * m.everyMs; one.taken && startMs >= 0 && startMs > one.ms-m.sizeMs; startMs -= m.everyMs {
			isLate = isLate || !m.takes(one, startMs)
		}
		for startMs := int64(0); !m.onClose && startMs <= one.ms; startMs += m.everyMs {
			if m.takes(one, startMs) {
				results = append(results, m.result(i, one.key, startMs))
			}
		}
		if isLate {
			late = append(late, result(one.key, one.value, one.ms))
		}
	}
	return results, late
}

// closed returns the results of the windows that stream time has closed since beforeMs.
func (m *windowModel) closed(i int, beforeMs int64) (results []string) {
	keys := map[string]bool{}
	for _, one := range m.moments[:i+1] {
		keys[one.key] = true
	}
	var sorted []string
	for key := range keys {
		sorted = append(sorted, key)
	}
	slices.Sort(sorted)
	closeMs := func(startMs int64) int64 { return startMs + m.sizeMs + m.graceMs }
	for startMs := int64(0); closeMs(startMs) <= m.moments[i].streamMs; startMs += m.everyMs {
		if closeMs(startMs) <= beforeMs {
			continue
		}
		for _, key := range sorted {
			if _, _, found := m.value(i, key, startMs); found {
				results = append(results, m.result(i, key, startMs))
			}
		}
	}
	return results
}

func TestWindowsGiveWhatANaiveModelGives(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		how := drawTiming(r)
		everyMs := rapid.Int64Range(1, 20).Draw(r, "every")
		sizeMs := everyMs
		if rapid.Bool().Draw(r, "hopping") {
			sizeMs += rapid.Int64Range(0, 30).Draw(r, "more")
		}
		keepMs := rapid.SampledFrom([]int64{0, 1, 200}).Draw(r, "retention")
		of := windows.Hopping(millis(sizeMs), millis(everyMs)).Grace(millis(how.graceMs)).Idle(millis(how.idleMs)).MaxAhead(millis(how.aheadMs))

		top := streams.NewTopology()
		w := streams.From(top, modelIn).GroupByKey().Window(of).Emit(how.emission())
		store := state.NewWindow("joined", serde.String, serde.String).WithRetention(millis(keepMs))
		streams.WindowsToStream(w.Reduce(store, func(all, value string) string { return all + "+" + value })).To(modelOut, byInnerKey())
		w.Late().To(modelLate, byKey())

		events := drawEvents(r, 60, true)
		d := runModel(t, r, top, events, how.idleMs > 0, "out", "late")
		gotResults, gotLate := perPartition(d, modelOut), perPartition(d, modelLate)
		for partition := range modelPartitions {
			m := &windowModel{timing: how, sizeMs: sizeMs, everyMs: everyMs, moments: how.moments(ofPartition(events, partition))}
			results, late := m.expect()
			compare(r, fmt.Sprintf("results of partition %d", partition), gotResults[partition], results)
			compare(r, fmt.Sprintf("late records of partition %d", partition), gotLate[partition], late)
		}
	})
}
