package broker

import (
	"cmp"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
)

// Metric describes one metric of /metrics.
type Metric struct {
	Name   string   // with its prefix, "millrace_"
	Type   string   // "counter", "gauge" or "histogram"
	Labels []string // in no particular order; nil: none
	Help   string
}

// Metrics lists every metric that a broker may export, by name. Those of the Go runtime and of the process (go_*,
// process_*) are not in it, nor the aliases of ?compat=kafka_exporter. docs/METRICS.md is made from it.
func Metrics() []Metric {
	return slices.SortedFunc(slices.Values(metricTable), func(a, b Metric) int { return cmp.Compare(a.Name, b.Name) })
}

// metricTable is filled while the package's variables are initialized, and never changes afterwards.
var metricTable []Metric

// describeCounter, describeGauge and describeHistogram enter a metric into the table. Their help is a sentence about
// what is counted; name and labels follow Prometheus' conventions (base units, _total on counters).

func describeCounter(name, help string, labels ...string) *prometheus.Desc {
	return describe("counter", name, help, labels)
}

func describeGauge(name, help string, labels ...string) *prometheus.Desc {
	return describe("gauge", name, help, labels)
}

func describeHistogram(name, help string, labels ...string) *prometheus.Desc {
	return describe("histogram", name, help, labels)
}

func describe(kind, name, help string, labels []string) *prometheus.Desc {
	m := Metric{Name: "millrace_" + name, Type: kind, Labels: labels, Help: help}
	metricTable = append(metricTable, m)
	return prometheus.NewDesc(m.Name, m.Help, m.Labels, nil)
}
