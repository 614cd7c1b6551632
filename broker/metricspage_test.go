package broker

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

//go:generate go test -run TestMetricsPageIsWhatTheCodeSays . -update

const metricsPage = "../docs/METRICS.md"

// The page is the golden list of names, types, labels and help: what is in it is what dashboards and alerts rely on.
func TestMetricsPageIsWhatTheCodeSays(t *testing.T) {
	was := read(t, metricsPage)
	is, err := replacePart(was, "metrics", metricsTable(Metrics()))
	if err != nil {
		t.Fatalf("%s: %v", metricsPage, err)
	}
	if is == was {
		return
	}
	if !*update {
		t.Fatalf("%s is stale: run `go generate ./broker`, and look at what changed for whoever has dashboards\n%s",
			metricsPage, firstDifference(was, is))
	}
	if err := os.WriteFile(metricsPage, []byte(is), 0o644); err != nil {
		t.Fatal(err)
	}
}

func metricsTable(metrics []Metric) string {
	var out strings.Builder
	out.WriteString("| metric | type | labels | |\n|---|---|---|---|\n")
	for _, m := range metrics {
		fmt.Fprintf(&out, "| `%s` | %s | %s | %s |\n", m.Name, m.Type, strings.Join(m.Labels, ", "), m.Help)
	}
	return out.String()
}

func TestNoMetricIsDescribedTwice(t *testing.T) {
	var last string
	for _, m := range Metrics() {
		if m.Name == last {
			t.Errorf("%s is described twice", m.Name)
		}
		last = m.Name
		if slices.Contains(m.Labels, "le") || !strings.HasSuffix(m.Help, ".") {
			t.Errorf("%s: labels %v, help %q", m.Name, m.Labels, m.Help)
		}
	}
}
