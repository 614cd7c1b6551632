package broker

import (
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/broker/internal/partition"
	"github.com/millrace/millrace/log/record"
)

// registryOf returns a registry of a broker's figures.
func registryOf(b *Broker) *prometheus.Registry {
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(newCollector(b))
	return registry
}

// valueOf returns the value of the series of a family with those labels (name, value, ...), -1 if there is none.
func valueOf(t *testing.T, registry *prometheus.Registry, name string, labels ...string) float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.Metric {
			if f.GetName() == name && hasLabels(m, labels) {
				return m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
	}
	return -1
}

func hasLabels(m *dto.Metric, labels []string) bool {
	for i := 0; i < len(labels); i += 2 {
		found := false
		for _, l := range m.Label {
			found = found || l.GetName() == labels[i] && l.GetValue() == labels[i+1]
		}
		if !found {
			return false
		}
	}
	return true
}

// appendInternal appends what a client could not, and waits for it to be committed.
func appendInternal(t *testing.T, p *partition.Partition, batch record.Batch) {
	t.Helper()
	appended, err := p.Append(batch, 1, partition.Internal)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.AwaitCommitted(t.Context(), appended.LastOffset+1); err != nil {
		t.Fatal(err)
	}
}

func TestLagCountsRecordsAndTheirAge(t *testing.T) {
	b := startBroker(t, Options{Config: map[string]string{"millrace.metrics.granularity": "partition"}}, nil)
	createTopic(t, b, "t", 2)
	p := b.partitions.lookup("t", 0)
	c := dial(t, b)
	nowMs := time.Now().UnixMilli()
	var old record.Builder
	old.Add(nowMs-100_000, nil, []byte("a"))
	old.Add(nowMs-100_000, nil, []byte("b"))
	batch, err := old.Build()
	if err != nil {
		t.Fatal(err)
	}
	appendInternal(t, p, batch)
	for range 3 {
		appendInternal(t, p, record.EndTxnMarker{ProducerID: 1, Type: record.ControlCommit}.Batch())
	}
	var young record.Builder
	young.Add(nowMs-5000, nil, []byte("c"))
	if batch, err = young.Build(); err != nil {
		t.Fatal(err)
	}
	appendInternal(t, p, batch)
	registry := registryOf(b)
	for _, step := range []struct {
		committed        int64
		offsets, records float64
		minimum, maximum float64 // seconds
	}{
		{0, 6, 3, 100, 5000}, {1, 5, 2, 100, 5000}, {2, 4, 1, 5, 99}, {4, 2, 1, 5, 99}, {5, 1, 1, 5, 99}, {6, 0, 0, 0, 0},
	} {
		commit(t, c, "t", step.committed)
		labels := []string{"group", "g", "topic", "t"}
		for _, kind := range []string{"", "partition_"} {
			prefix := "millrace_consumer_group_" + kind + "lag_"
			if got := valueOf(t, registry, prefix+"offsets", labels...); got != step.offsets {
				t.Errorf("at %d: %s is %v offsets, want %v", step.committed, prefix, got, step.offsets)
			}
			if got := valueOf(t, registry, prefix+"records", labels...); got != step.records {
				t.Errorf("at %d: %s is %v records, want %v", step.committed, prefix, got, step.records)
			}
			if got := valueOf(t, registry, prefix+"seconds", labels...); got < step.minimum || got > step.maximum {
				t.Errorf("at %d: %s is %v seconds, want [%v, %v]", step.committed, prefix, got, step.minimum, step.maximum)
			}
		}
	}
	if n := valueOf(t, registry, "millrace_consumer_group_lag_estimates"); n != 0 {
		t.Errorf("%v estimates", n)
	}
}

// Where a group stands only at the end of a log, nothing is left but markers: it has caught up.
func TestGroupBehindMarkersOnlyHasCaughtUp(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	createTopic(t, b, "t", 1)
	c := dial(t, b)
	appendInternal(t, b.partitions.lookup("t", 0), record.EndTxnMarker{ProducerID: 1, Type: record.ControlAbort}.Batch())
	commit(t, c, "t", 0)
	registry := registryOf(b)
	for name, want := range map[string]float64{"offsets": 1, "records": 0, "seconds": 0} {
		if got := valueOf(t, registry, "millrace_consumer_group_lag_"+name, "group", "g"); got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}

func TestGroupsBeyondTheLimitShareSeries(t *testing.T) {
	b := startBroker(t, Options{Config: map[string]string{
		"millrace.metrics.max.groups": "2", "millrace.metrics.granularity": "partition"}}, nil)
	createTopic(t, b, "t", 1)
	c := dial(t, b)
	c.ask(produceRequest("t", -1, batchOf(t, "a", "b", "c")))
	for i, id := range []string{"a", "b", "c", "d"} {
		if code := c.commit(8, id, "t", 0, int64(i%2)); code != 0 {
			t.Fatal("commit", code)
		}
	}
	err := testutil.GatherAndCompare(registryOf(b), strings.NewReader(`
# HELP millrace_consumer_group_lag_records Records that a group has yet to read: without control records and what compaction removed.
# TYPE millrace_consumer_group_lag_records gauge
millrace_consumer_group_lag_records{group="_other",topic="t"} 5
millrace_consumer_group_lag_records{group="a",topic="t"} 3
millrace_consumer_group_lag_records{group="b",topic="t"} 2
# HELP millrace_consumer_group_partition_lag_records Records that a group has yet to read.
# TYPE millrace_consumer_group_partition_lag_records gauge
millrace_consumer_group_partition_lag_records{group="a",partition="0",topic="t"} 3
millrace_consumer_group_partition_lag_records{group="b",partition="0",topic="t"} 2
# HELP millrace_consumer_group_state Always 1; the label says the state that a group is in.
# TYPE millrace_consumer_group_state gauge
millrace_consumer_group_state{group="a",state="Empty"} 1
millrace_consumer_group_state{group="b",state="Empty"} 1
# HELP millrace_metrics_left_out Topics and groups that share the label _other, and partitions and lags without series, because of a limit.
# TYPE millrace_metrics_left_out gauge
millrace_metrics_left_out{kind="group"} 2
millrace_metrics_left_out{kind="lag"} 2
millrace_metrics_left_out{kind="partition"} 0
millrace_metrics_left_out{kind="topic"} 0
# HELP millrace_offset_commits_total Offsets that a group has committed.
# TYPE millrace_offset_commits_total counter
millrace_offset_commits_total{group="_other"} 2
millrace_offset_commits_total{group="a"} 1
millrace_offset_commits_total{group="b"} 1
`), "millrace_consumer_group_lag_records", "millrace_consumer_group_partition_lag_records", "millrace_consumer_group_state",
		"millrace_metrics_left_out", "millrace_offset_commits_total")
	if err != nil {
		t.Error(err)
	}
}

// All figures of a topic agree on whether it has series of its own, and it is the same topics at each scrape.
func TestTopicsBeyondTheLimitShareEverySeries(t *testing.T) {
	b := startBroker(t, Options{Config: map[string]string{"millrace.metrics.max.topics": "2"}}, nil)
	c := dial(t, b)
	for i := range 5 {
		createTopic(t, b, uniqueName(i), 2)
		c.ask(produceRequest(uniqueName(i), -1, batchOf(t, "a")))
		if code := c.commit(8, "g", uniqueName(i), 0, 0); code != 0 {
			t.Fatal("commit", code)
		}
	}
	registry := registryOf(b)
	for _, name := range []string{"produce_records_total", "topic_partitions", "consumer_group_lag_records"} {
		per := 1.0
		if name == "topic_partitions" {
			per = 2
		}
		for topic, want := range map[string]float64{uniqueName(0): per, uniqueName(1): per, otherTopics: 3 * per, uniqueName(2): -1} {
			if got := valueOf(t, registry, "millrace_"+name, "topic", topic); got != want {
				t.Errorf("%s of %s: %v, want %v", name, topic, got, want)
			}
		}
	}
	if got := valueOf(t, registry, "millrace_metrics_left_out", "kind", "topic"); got != 3 {
		t.Errorf("%v topics are left out", got)
	}
}

func TestGroupsTellMembersAndRebalances(t *testing.T) {
	b := startBroker(t, Options{Config: map[string]string{"group.initial.rebalance.delay.ms": "0"}}, nil)
	createTopic(t, b, "t", 1)
	c := dial(t, b)
	joined := c.join(3, "g")
	registry := registryOf(b)
	check := func(want map[string]float64) {
		t.Helper()
		for series, want := range want {
			name, labels, _ := strings.Cut(series, " ")
			if got := valueOf(t, registry, "millrace_consumer_group_"+name, strings.Fields("group g "+labels)...); got != want {
				t.Errorf("%s: %v, want %v", series, got, want)
			}
		}
	}
	check(map[string]float64{"members": 1, "state state CompletingRebalance": 1, "rebalances_total reason member_joined": 1,
		"rebalances_total reason members_left": -1})
	leave := kmsg.NewPtrLeaveGroupRequest()
	leave.Group, leave.MemberID = "g", joined.MemberID
	c.ask(leave)
	check(map[string]float64{"members": 0, "state state Empty": 1, "state state CompletingRebalance": -1,
		"rebalances_total reason members_left": 1})
}

func TestSeriesVanishWithTheirGroup(t *testing.T) {
	b := startBroker(t, Options{Config: map[string]string{"millrace.metrics.granularity": "partition"}}, nil)
	createTopic(t, b, "clicks", 1)
	c := dial(t, b)
	commit(t, c, "clicks", 0)
	registry := registryOf(b)
	count := func() (series int) {
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			for _, m := range f.Metric {
				if hasLabels(m, []string{"group", "g"}) {
					series++
				}
			}
		}
		return series
	}
	if n := count(); n < 9 {
		t.Errorf("%d series before", n)
	}
	remove := kmsg.NewPtrDeleteGroupsRequest()
	remove.Groups = []string{"g"}
	if code := c.ask(remove).(*kmsg.DeleteGroupsResponse).Groups[0].ErrorCode; code != 0 {
		t.Fatal("delete group", code)
	}
	if n := count(); n != 0 {
		t.Errorf("%d series after the group's deletion", n)
	}
}

// A label must be UTF-8, which neither the protocol nor the broker asks of a group's name.
func TestAGroupThatNoLabelCanNameSharesSeries(t *testing.T) {
	b := startBroker(t, Options{HTTP: "127.0.0.1:0"}, nil)
	createTopic(t, b, "clicks", 1)
	c := dial(t, b)
	c.ask(produceRequest("clicks", -1, batchOf(t, "a", "b", "c")))
	for _, id := range []string{"g", "g\xff", "g\xfe"} {
		if code := c.commit(8, id, "clicks", 0, 1); code != 0 {
			t.Fatal("commit", code)
		}
	}
	registry := registryOf(b)
	for label, want := range map[string]float64{"g": 2, "_other": 4} {
		if lag := valueOf(t, registry, "millrace_consumer_group_lag_records", "group", label); lag != want {
			t.Errorf("lag %v of %s, want %v", lag, label, want)
		}
	}
	if left := valueOf(t, registry, "millrace_metrics_left_out", "kind", "group"); left != 2 {
		t.Errorf("%v groups are left out, want 2", left)
	}
	if status, body := get(t, b, "/metrics?compat=kafka_exporter"); status != http.StatusOK || strings.Count(body, "\nkafka_consumergroup_members{") != 1 {
		t.Errorf("status %d, want the one group that kafka_exporter can name", status)
	}
}

func TestLagOfAnOffsetThatNoLogHas(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	createTopic(t, b, "clicks", 1)
	c := dial(t, b)
	c.ask(produceRequest("clicks", -1, batchOf(t, "a", "b", "c")))
	for committed, want := range map[int64]float64{-1: 3, math.MinInt64: 3, 4: 0, math.MaxInt64: 0} {
		if code := c.commit(8, "g", "clicks", 0, committed); code != 0 {
			t.Fatal("commit", code)
		}
		for _, unit := range []string{"offsets", "records"} {
			if lag := valueOf(t, registryOf(b), "millrace_consumer_group_lag_"+unit, "group", "g"); lag != want {
				t.Errorf("committed %d: lag %v in %s, want %v", committed, lag, unit, want)
			}
		}
	}
}
