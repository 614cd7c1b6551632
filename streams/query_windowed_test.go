package streams_test

import (
	"errors"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams"
	"github.com/millrace/millrace/streams/serde"
	"github.com/millrace/millrace/windows"
)

func TestQueriesReadWindowsAndSessions(t *testing.T) {
	perMinute := state.NewWindow("per-minute", serde.String, serde.Int64)
	visits := state.NewSession("visits", serde.String, serde.Int64)
	topology := streams.NewTopology()
	clicks := streams.From(topology, streams.NewTopic("clicks", serde.String, serde.String)).GroupByKey()
	clicks.Window(windows.Tumbling(time.Minute).Grace(time.Hour)).Count(perMinute)
	clicks.Sessions(windows.Sessions(10 * time.Second).Grace(time.Hour)).Count(visits)

	c := newCluster(t)
	c.topic("clicks", 2)
	noon := time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC)
	for _, at := range []time.Duration{time.Second, 2 * time.Second, 70 * time.Second} {
		c.send(&kgo.Record{Topic: "clicks", Partition: 1, Key: []byte("ann"), Value: []byte("x"), Timestamp: noon.Add(at)})
	}
	app := c.run(topology, streams.Config{})
	ctx := t.Context()
	c.eventually("both windows", func() bool {
		rows, err := streams.FetchWindows(ctx, app.App, perMinute, "ann", noon, noon.Add(time.Hour))
		return err == nil && len(rows) == 2 && rows[0].Value == 2 && rows[1].Value == 1 && rows[1].StartMs == noon.Add(time.Minute).UnixMilli()
	})
	if n, found, err := streams.FetchWindow(ctx, app.App, perMinute, "ann", noon); n != 2 || !found || err != nil {
		t.Errorf("the first window: %d, %v, %v", n, found, err)
	}
	if _, found, err := streams.FetchWindow(ctx, app.App, perMinute, "ann", noon.Add(-time.Minute)); found || err != nil {
		t.Errorf("a window before: %v, %v", found, err)
	}
	if rows, err := streams.FetchWindows(ctx, app.App, perMinute, "ann", noon, noon.Add(time.Minute)); len(rows) != 1 || err != nil {
		t.Errorf("windows of one minute: %v, %v", rows, err)
	}
	n := 0
	for row, err := range streams.RangeWindows(ctx, app.App, perMinute, nil, nil, noon.Add(time.Minute), noon.Add(time.Hour)) {
		if n++; err != nil || row.Key != "ann" || row.Value != 1 {
			t.Errorf("%+v, %v", row, err)
		}
	}
	if n != 1 {
		t.Errorf("%d windows of the second minute and after", n)
	}
	sessions, err := streams.FetchSessions(ctx, app.App, visits, "ann")
	if err != nil || len(sessions) != 2 || sessions[0].Value != 2 || sessions[0].EndMs != noon.Add(2*time.Second).UnixMilli() {
		t.Errorf("sessions %+v, %v", sessions, err)
	}
	n = 0
	for row, err := range streams.RangeSessions(ctx, app.App, visits, nil, nil) {
		if n++; err != nil || row.Key != "ann" {
			t.Errorf("%+v, %v", row, err)
		}
	}
	if n != 2 {
		t.Errorf("%d sessions in all", n)
	}
	app.mustStop()
	if _, err := streams.FetchSessions(ctx, app.App, visits, "ann"); !errors.Is(err, streams.ErrNotHere) {
		t.Errorf("after the end: %v", err)
	}
}
