package main

import (
	"flag"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/broker"
)

//go:generate go test -run TestMonitoringFilesAreWhatIsGenerated . -update-monitoring

var updateMonitoring = flag.Bool("update-monitoring", false, "write docs/deploy/grafana and docs/deploy/prometheus anew")

func TestMonitoringFilesAreWhatIsGenerated(t *testing.T) {
	files := map[string]string{"prometheus/alerts.yml": ok(t, "", "generate", "alerts")}
	for name := range dashboards {
		files["grafana/"+name+".json"] = ok(t, "", "generate", "grafana", name)
	}
	for name, content := range files {
		path := filepath.Join("../../docs/deploy", name)
		if *updateMonitoring {
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if committed, err := os.ReadFile(path); err != nil || string(committed) != content {
			t.Errorf("%s is not what is generated (%v): run `go generate ./cmd/millrace`", path, err)
		}
	}
	if r := cli(t, "", "generate", "grafana", "brokr"); r.code != 2 || !strings.Contains(r.stderr, `did you mean "broker"?`) {
		t.Errorf("exit code %d, stderr %q", r.code, r.stderr)
	}
}

// expressions returns everything that dashboards and alerts ask Prometheus, by where it stands.
func expressions() map[string]string {
	all := map[string]string{}
	for _, a := range alerts {
		all[a.name] = a.expression
	}
	for _, d := range dashboards {
		for _, v := range d.variables {
			all[d.uid+" $"+v.name] = v.metric + "{" + v.name + `="x"}`
		}
		for _, r := range d.rows {
			for _, p := range r.panels {
				for i, q := range p.queries {
					all[d.uid+": "+p.title+string(rune('A'+i))] = q.expression
				}
			}
		}
	}
	return all
}

var (
	metricInExpression = regexp.MustCompile(`\b(millrace_[a-z_]+)(?:\{([^}]*)\})?`)
	labelInMatchers    = regexp.MustCompile(`([a-z_]+)(?:=~|!~|!=|=)"`)
	labelsInGrouping   = regexp.MustCompile(`\b(?:by|on) \(([^)]*)\)`)
	labelInLegend      = regexp.MustCompile(`\{\{ ?\$?(?:labels\.)?([a-z_]+)`)
)

// labelsOfScrapes are those that Prometheus adds.
var labelsOfScrapes = []string{"job", "instance"}

// Whatever dashboards and alerts ask for is something that a broker exports, with those labels.
func TestExpressionsAskForWhatThereIs(t *testing.T) {
	known := map[string]broker.Metric{}
	for _, m := range broker.Metrics() {
		known[m.Name] = m
		if m.Type == "histogram" {
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				known[m.Name+suffix] = broker.Metric{Name: m.Name, Type: m.Type, Labels: append([]string{"le"}, m.Labels...)}
			}
		}
	}
	for where, expression := range expressions() {
		labels := slices.Clone(labelsOfScrapes)
		for _, found := range metricInExpression.FindAllStringSubmatch(expression, -1) {
			m, ok := known[found[1]]
			if !ok {
				t.Errorf("%s: no metric %s", where, found[1])
			}
			labels = append(labels, m.Labels...)
			for _, label := range labelInMatchers.FindAllStringSubmatch(found[2], -1) {
				if !slices.Contains(m.Labels, label[1]) && !slices.Contains(labelsOfScrapes, label[1]) {
					t.Errorf("%s: %s has no label %s", where, found[1], label[1])
				}
			}
		}
		for _, grouping := range labelsInGrouping.FindAllStringSubmatch(expression, -1) {
			for label := range strings.SplitSeq(grouping[1], ",") {
				if !slices.Contains(labels, strings.TrimSpace(label)) {
					t.Errorf("%s: grouped by %s, which none of its metrics has", where, label)
				}
			}
		}
	}
}

// What a text names is left after the expression's grouping, or it would be shown as nothing.
func TestTextsNameLabelsThatAreLeft(t *testing.T) {
	check := func(where, expression, text string) {
		grouping := labelsInGrouping.FindStringSubmatch(expression)
		for _, label := range labelInLegend.FindAllStringSubmatch(text, -1) {
			if grouping != nil && label[1] != "value" && !strings.Contains(grouping[1], label[1]) {
				t.Errorf("%s names %s, and %s does not have it", where, label[1], expression)
			}
		}
	}
	for _, a := range alerts {
		check(a.name, a.expression, a.summary+a.description)
	}
	for _, d := range dashboards {
		for _, r := range d.rows {
			for _, p := range r.panels {
				for _, q := range p.queries {
					check(p.title, q.expression, q.legend)
				}
				if p.description == "" || p.unit == "" || p.width < 1 || p.width > panelColumns {
					t.Errorf("%s: description %q, unit %q, width %d", p.title, p.description, p.unit, p.width)
				}
			}
		}
	}
}

// Each alert has its section in the runbook, and each section its alert.
func TestRunbookHasASectionForEachAlert(t *testing.T) {
	content, err := os.ReadFile("../../docs/RUNBOOK.md")
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string]string{}
	for _, part := range strings.Split(string(content), "\n## ")[1:] {
		heading, body, _ := strings.Cut(part, "\n")
		sections[heading] = body
	}
	for _, a := range alerts {
		body, ok := sections[a.name]
		delete(sections, a.name)
		for _, wanted := range []string{"**What it means.**", "**How to look.**", "**What to do.**"} {
			if !ok || !strings.Contains(body, wanted) {
				t.Errorf("docs/RUNBOOK.md: %s has no %s", a.name, wanted)
			}
		}
		if !slices.Contains([]string{"critical", "warning", "info"}, a.severity) || a.summary == "" || a.description == "" {
			t.Errorf("%s: severity %q, summary %q", a.name, a.severity, a.summary)
		}
	}
	if left := slices.Sorted(maps.Keys(sections)); len(left) > 0 {
		t.Errorf("docs/RUNBOOK.md has sections without alerts: %v", left)
	}
}
