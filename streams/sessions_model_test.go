package streams_test

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams"
	"github.com/millrace/millrace/streams/serde"
	"github.com/millrace/millrace/streams/streamstest"
	"github.com/millrace/millrace/windows"
)

// sessionModel expects what sessions give. It keeps the records of each session and reads everything else from them.
type sessionModel struct {
	timing
	gapMs    int64
	sessions []sessionOf
}

type sessionOf struct {
	key     string
	records []moment
	closed  bool
}

func (s sessionOf) startMs() int64 { return slices.MinFunc(s.records, byTime).ms }
func (s sessionOf) endMs() int64   { return slices.MaxFunc(s.records, byTime).ms }

func byTime(a, b moment) int { return cmp.Compare(a.ms, b.ms) }

func (s sessionOf) name() windows.Key[string] {
	return windows.Key[string]{Key: s.key, Window: windows.Window{StartMs: s.startMs(), EndMs: s.endMs()}}
}

func (s sessionOf) result() string {
	var values []string
	for _, one := range s.records {
		values = append(values, one.value)
	}
	return result(s.name(), strings.Join(values, "+"), s.endMs())
}

func (m *sessionModel) expect(moments []moment) (results, late []string) {
	for _, one := range moments {
		results = append(results, m.close(one.streamMs)...)
		switch {
		case one.ahead:
			late = append(late, result(one.key, one.value, one.ms))
		case one.taken:
			updates, taken := m.add(one)
			if !taken {
				late = append(late, result(one.key, one.value, one.ms))
			}
			results = append(results, updates...)
		}
	}
	return results, late
}

// close marks the sessions that stream time has closed, and returns their results.
func (m *sessionModel) close(streamMs int64) (results []string) {
	slices.SortFunc(m.sessions, func(a, b sessionOf) int {
		return cmp.Or(cmp.Compare(a.endMs(), b.endMs()), cmp.Compare(a.key, b.key))
	})
	for i := range m.sessions {
		if s := &m.sessions[i]; !s.closed && s.endMs() < streamMs-m.gapMs-m.graceMs {
			s.closed = true
			if m.onClose {
				results = append(results, s.result())
			}
		}
	}
	return results
}

// add puts a record to the open sessions that it belongs to, which become one.
func (m *sessionModel) add(one moment) (results []string, taken bool) {
	var parts, others []sessionOf
	for _, s := range m.sessions {
		if s.key == one.key && !s.closed && one.ms >= s.startMs()-m.gapMs && one.ms <= s.endMs()+m.gapMs {
			parts = append(parts, s)
		} else {
			others = append(others, s)
		}
	}
	slices.SortFunc(parts, func(a, b sessionOf) int { return cmp.Compare(a.startMs(), b.startMs()) })
	whole := sessionOf{key: one.key}
	for _, s := range parts {
		whole.records = append(whole.records, s.records...)
	}
	whole.records = append(whole.records, one)
	if whole.endMs() < one.streamMs-m.gapMs-m.graceMs {
		return nil, false
	}
	m.sessions = append(others, whole)
	if m.onClose {
		return nil, true
	}
	for _, s := range parts {
		if s.name() != whole.name() {
			results = append(results, result(s.name(), "-", s.endMs()))
		}
	}
	return append(results, whole.result()), true
}

func sessionTopology(of windows.Session, how timing, keepMs int64) *streams.Topology {
	top := streams.NewTopology()
	w := streams.From(top, modelIn).GroupByKey().Sessions(of).Emit(how.emission())
	store := state.NewSession("joined", serde.String, serde.String).WithRetention(millis(keepMs))
	streams.WindowsToStream(w.Reduce(store, func(all, value string) string { return all + "+" + value })).To(modelOut, byInnerKey())
	w.Late().To(modelLate, byKey())
	return top
}

func TestSessionsGiveWhatANaiveModelGives(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		how := drawTiming(r)
		gapMs := rapid.Int64Range(1, 30).Draw(r, "gap")
		keepMs := rapid.SampledFrom([]int64{0, 1, 200}).Draw(r, "retention")
		of := windows.Sessions(millis(gapMs)).Grace(millis(how.graceMs)).Idle(millis(how.idleMs)).MaxAhead(millis(how.aheadMs))

		events := drawEvents(r, 60, true)
		d := runModel(t, r, sessionTopology(of, how, keepMs), events, how.idleMs > 0, "out", "late")
		gotResults, gotLate := perPartition(d, modelOut), perPartition(d, modelLate)
		for partition := range modelPartitions {
			m := &sessionModel{timing: how, gapMs: gapMs}
			results, late := m.expect(how.moments(ofPartition(events, partition)))
			compare(r, fmt.Sprintf("results of partition %d", partition), gotResults[partition], results)
			compare(r, fmt.Sprintf("late records of partition %d", partition), gotLate[partition], late)
		}
	})
}

// With enough grace the order in which records come does not matter: the sessions are what one sees in a sorted list.
func TestSessionsAreThoseOfTheSortedRecords(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		gapMs, disorderMs := rapid.Int64Range(1, 30).Draw(r, "gap"), rapid.Int64Range(0, 60).Draw(r, "disorder")
		of := windows.Sessions(millis(gapMs)).Grace(millis(disorderMs))
		events := drawEvents(r, disorderMs, false)
		for _, key := range []string{"a", "aa"} { // closes all others, in both partitions
			events = append(events, event{key: key, value: "end", ms: 1_000_000})
		}
		d := runModel(t, r, sessionTopology(of, timing{onClose: true}, 0), events, false, "out", "late")

		want := map[string][]windows.Window{}
		slices.SortStableFunc(events, func(a, b event) int { return cmp.Compare(a.ms, b.ms) })
		for _, e := range events {
			if all := want[e.key]; e.noKey || e.noValue || e.ms == 1_000_000 {
				continue
			} else if last := len(all) - 1; last >= 0 && e.ms <= all[last].EndMs+gapMs {
				all[last].EndMs = e.ms
			} else {
				want[e.key] = append(all, windows.Window{StartMs: e.ms, EndMs: e.ms})
			}
		}
		got := map[string][]windows.Window{}
		for _, one := range readKeys(d) {
			got[one.Key] = append(got[one.Key], one.Window)
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			r.Fatalf("got  %v\nwant %v", got, want)
		}
	})
}

func readKeys(d *streamstest.Driver) (keys []windows.Key[string]) {
	for _, r := range streamstest.Read(d, modelOut) {
		keys = append(keys, r.Key)
	}
	return keys
}
