package streams

import (
	"flag"
	"fmt"
	"maps"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"

	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams/internal/engine"
	"github.com/millrace/millrace/streams/serde"
)

//go:generate go test -run TestTheMetricsPageHasEveryMetric|TestACollectorTells . -update-metrics

var updateMetrics = flag.Bool("update-metrics", false, "write the table of docs/METRICS.md anew")

const metricsPage = "../docs/METRICS.md"

// The page is the golden list of names, types, labels and help: what is in it is what dashboards and alerts rely on.
func TestTheMetricsPageHasEveryMetric(t *testing.T) {
	const begin, end = "<!-- generated: streams metrics -->\n\n", "\n<!-- end -->\n"
	was, err := os.ReadFile(metricsPage)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(was), begin)
	_, after, ended := strings.Cut("\n"+rest, end)
	if !found || !ended {
		t.Fatalf("%s has no place for them", metricsPage)
	}
	var table strings.Builder
	table.WriteString("| metric | type | labels | |\n|---|---|---|---|\n")
	for _, m := range Metrics() {
		fmt.Fprintf(&table, "| `%s` | %s | %s | %s |\n", m.Name, m.Type, strings.Join(append([]string{"app"}, m.Labels...), ", "), m.Help)
	}
	is := before + begin + table.String() + end + after
	if is == string(was) {
		return
	}
	if !*updateMetrics {
		t.Fatalf("%s is stale: run `go generate ./streams`, and look at what changed for whoever has dashboards", metricsPage)
	}
	if err := os.WriteFile(metricsPage, []byte(is), 0o644); err != nil {
		t.Fatal(err)
	}
}

// scraped returns the series of a collector as text, "name{labels} value", histograms with count and sum.
func scraped(t *testing.T, c prometheus.Collector) (series []string) {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(c); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		at := slices.IndexFunc(Metrics(), func(m Metric) bool { return m.Name == family.GetName() })
		if at < 0 || strings.ToLower(family.GetType().String()) != Metrics()[at].Type {
			t.Errorf("%s, a %v, is not in the list", family.GetName(), family.GetType())
		}
		for _, m := range family.GetMetric() {
			series = append(series, strings.TrimPrefix(family.GetName(), "millrace_streams_")+metricLabels(m)+metricValue(m))
		}
	}
	return series
}

func metricLabels(m *dto.Metric) string {
	var pairs []string
	for _, pair := range m.GetLabel() {
		pairs = append(pairs, pair.GetName()+"="+pair.GetValue())
	}
	return "{" + strings.Join(pairs, ",") + "} "
}

func metricValue(m *dto.Metric) string {
	switch {
	case m.Histogram != nil:
		return fmt.Sprintf("%d %v", m.Histogram.GetSampleCount(), m.Histogram.GetSampleSum())
	case m.Counter != nil:
		return fmt.Sprint(m.Counter.GetValue())
	}
	return fmt.Sprint(m.Gauge.GetValue())
}

func TestACollectorTellsWhatWasCounted(t *testing.T) {
	users := state.NewKV("users", serde.String, serde.String)
	db, err := state.Open(state.Options{Dir: "state", FS: vfs.NewMem(), Stores: []state.Spec{users.Spec()}})
	if err != nil {
		t.Fatal(err)
	}
	counters := engine.NewCounters()
	task := counters.Task()
	join := task.Node("join")
	join.Processed, join.Emitted = 5, 3
	join.Drop(engine.NullKey)
	join.Lateness.Observe(1500)
	join.EndToEnd.Observe(20*time.Millisecond, 1)
	task.Subtopology = "users"
	task.Processing.Observe(2*time.Microsecond, 100)
	*task.Input("orders") = engine.InputGauges{Topic: "orders", WatermarkMs: 1_700_000_000_500, LagRecords: 4}
	task.Input("empty")
	*task.Restore("users") = engine.RestoreCounters{Restored: 10, Remaining: 2, Took: 1500 * time.Millisecond}
	counters.ReadTook("users", 40*time.Microsecond)
	task.Publish()
	counters.Process.Committed(30 * time.Millisecond)
	counters.Process.Aborted()
	c := newCollector("shop", func() State { return Running }, counters, func() []*state.DB { return []*state.DB{db} })
	got := scraped(t, c)
	for _, want := range []string{
		"state{app=shop,state=running} 1", "state{app=shop,state=failed} 0", "tasks{app=shop} 1",
		"records_processed_total{app=shop,node=join} 5", "records_emitted_total{app=shop,node=join} 3",
		"records_dropped_total{app=shop,node=join,reason=null_key} 1", "record_lateness_seconds{app=shop,node=join} 1 1.5",
		"watermark_timestamp_seconds{app=shop,topic=orders} 1.7000000005e+09", "input_lag_records{app=shop,topic=orders} 4",
		"input_lag_records{app=shop,topic=empty} 0", "commits_total{app=shop,result=committed} 1", "commits_total{app=shop,result=aborted} 1",
		"commit_duration_seconds{app=shop} 1 0.03", "rebalances_total{app=shop} 0",
		"store_restore_records_total{app=shop,store=users} 10", "store_restore_remaining_records{app=shop,store=users} 2",
		"store_bytes{app=shop,store=users} 0",
		"process_duration_seconds{app=shop,subtopology=users} 100 0.0002", "e2e_latency_seconds{app=shop,node=join} 1 0.02",
		"store_op_duration_seconds{app=shop,op=read,store=users} 1 4e-05", "store_restore_seconds{app=shop,store=users} 1.5",
		"store_entries{app=shop,store=users} 0",
	} {
		if !slices.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, strings.Join(got, "\n"))
		}
	}
	testScrape(t, c)
	names := map[string]bool{}
	for _, one := range got {
		name, _, _ := strings.Cut(one, "{")
		names["millrace_streams_"+name] = true
	}
	for _, m := range Metrics() {
		if !names[m.Name] {
			t.Errorf("%s is listed and never sent", m.Name)
		}
	}
	if slices.ContainsFunc(got, func(s string) bool {
		return strings.Contains(s, "reason=late") || strings.Contains(s, "watermark_timestamp_seconds{app=shop,topic=empty}")
	}) {
		t.Errorf("series of what there is not:\n%s", strings.Join(got, "\n"))
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if got := scraped(t, c); !slices.Contains(got, "tasks{app=shop} 1") || slices.ContainsFunc(got, func(s string) bool { return strings.HasPrefix(s, "pebble") }) {
		t.Errorf("with a database that is closed:\n%s", strings.Join(got, "\n"))
	}
}

// testScrape holds all that a scrape has against a golden file, but for the sizes of files.
func testScrape(t *testing.T, c prometheus.Collector) {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(c)
	recorder := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(recorder, httptest.NewRequest("GET", "/metrics", nil))
	scrape := regexp.MustCompile(`(?m)^(millrace_streams_pebble_.*) \S+$`).ReplaceAllString(recorder.Body.String(), "$1 *")
	const golden = "testdata/scrape.txt"
	if *updateMetrics {
		if err := os.WriteFile(golden, []byte(scrape), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if scrape != string(want) {
		t.Errorf("the scrape is not what %s has: run `go generate ./streams`, and look at what changed\n%s", golden, scrape)
	}
}

// Names and help follow Prometheus' conventions.
func TestMetricsAreNamedAsUsual(t *testing.T) {
	for _, m := range Metrics() {
		if (m.Type == "counter") != strings.HasSuffix(m.Name, "_total") || !strings.HasSuffix(m.Help, ".") || m.Type == "histogram" && !strings.HasSuffix(m.Name, "_seconds") {
			t.Errorf("%+v", m)
		}
	}
	for at, m := range Metrics()[1:] {
		if m.Name == Metrics()[at].Name {
			t.Errorf("%s is described twice", m.Name)
		}
	}
}

// What a task measures of its slices: all records for how long they take, one of each last node for how old it is.
func TestSlicesAreMeasured(t *testing.T) {
	topology := NewTopology()
	in := From(topology, NewTopic("in", serde.String, serde.String))
	in.Filter(func(key, _ string) bool { return key != "no" }).To(NewTopic("out", serde.String, serde.String))
	in.GroupByKey().Count(state.NewKV("counts", serde.String, serde.Int64)) // read by queries alone
	h := newHarness(t, topology)
	at := h.now.UnixMilli()
	h.mustSend("in", at-2_000, "a", "x")
	h.mustSend("in", at-3_000, "no", "x")
	h.commit()
	measured := map[string]engine.Latency{}
	for name, node := range h.counters.Nodes() {
		if node.EndToEnd != (engine.Latency{}) {
			measured[name] = node.EndToEnd
		}
	}
	var sink, counts engine.Latency
	sink.Observe(2*time.Second, 1)
	counts.Observe(2*time.Second, 1)
	counts.Observe(3*time.Second, 1)
	if want := map[string]engine.Latency{"out": sink, "counts": counts}; !maps.Equal(measured, want) {
		t.Errorf("end to end %+v, want %+v", measured, want)
	}
	records := int64(0)
	for name, l := range h.counters.Processing() {
		for _, n := range l.Counts {
			records += n
		}
		if name != "counts" {
			t.Errorf("a sub-topology %s", name)
		}
	}
	if records != 2 {
		t.Errorf("%d records were measured", records)
	}
}
