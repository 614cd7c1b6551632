package streams

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams/internal/engine"
)

// Metric describes one metric of a Collector.
type Metric struct {
	Name   string   // with its prefix, "millrace_streams_"
	Type   string   // "counter", "gauge" or "histogram"
	Labels []string // besides "app", which all have
	Help   string
}

// Metrics lists every metric that a Collector may export, by name. docs/METRICS.md is made from it.
func Metrics() []Metric {
	return slices.SortedFunc(slices.Values(metricTable), func(a, b Metric) int { return cmp.Compare(a.Name, b.Name) })
}

// metricTable is filled while the package's variables are initialized, and never changes afterwards.
var metricTable []Metric

func describeMetric(kind, name, help string, labels ...string) Metric {
	m := Metric{Name: "millrace_streams_" + name, Type: kind, Labels: labels, Help: help}
	metricTable = append(metricTable, m)
	return m
}

// What an App exports.
var (
	stateMetric      = describeMetric("gauge", "state", "1 for the state that the application is in within this process, 0 for the others.", "state")
	tasksMetric      = describeMetric("gauge", "tasks", "Tasks that this process has.")
	rebalancesMetric = describeMetric("counter", "rebalances_total", "Changes of the tasks that this process has.")
	processedMetric  = describeMetric("counter", "records_processed_total", "Records that came to a node.", "node")
	emittedMetric    = describeMetric("counter", "records_emitted_total", "Records that a node sent on.", "node")
	droppedMetric    = describeMetric("counter", "records_dropped_total", "Records that a node left out.", "node", "reason")
	latenessMetric   = describeMetric("histogram", "record_lateness_seconds", "How far behind stream time records were that came to a node out of order.", "node")
	watermarkMetric  = describeMetric("gauge", "watermark_timestamp_seconds", "Stream time of a source topic: the highest timestamp, of the partition of this process that is furthest behind.", "topic")
	lagMetric        = describeMetric("gauge", "input_lag_records", "Offsets of a source topic that this process has yet to process.", "topic")
	durationMetric   = describeMetric("histogram", "process_duration_seconds", "Time to process a record, with all that came of it: the mean of each slice of records.", "subtopology")
	endToEndMetric   = describeMetric("histogram", "e2e_latency_seconds", "How old, by its timestamp, a record was when it came to a sink or another last node, before its commit: one a slice.", "node")
	commitsMetric    = describeMetric("counter", "commits_total", "Commits, by what became of them: committed, or aborted and done again.", "result")
	commitTimeMetric = describeMetric("histogram", "commit_duration_seconds", "Time that a commit took, from the end of processing to its answer.")
	restoredMetric   = describeMetric("counter", "store_restore_records_total", "Records of changelogs that were read to restore a store.", "store")
	remainingMetric  = describeMetric("gauge", "store_restore_remaining_records", "Offsets of changelogs that are yet to be read before a store is restored.", "store")
	restoreMetric    = describeMetric("gauge", "store_restore_seconds", "Time that the last restore of a store took, or has taken so far, of the task with the longest.", "store")
	cachedMetric     = describeMetric("gauge", "state_cached_bytes", "Memory that the caches of stores take.")
	dirtyMetric      = describeMetric("gauge", "state_uncommitted_bytes", "Size of changes of stores that are not committed.")
	storeMetric      = describeMetric("gauge", "store_bytes", "Estimated size of a store on disk.", "store")
	entriesMetric    = describeMetric("gauge", "store_entries", "Estimated number of a store's entries.", "store")
	readsMetric      = describeMetric("histogram", "store_op_duration_seconds", "Time of look-ups in a store that had to ask its files, of one in 16.", "store", "op")
	diskMetric       = describeMetric("gauge", "pebble_disk_bytes", "Size of all files of the tasks' state.")
	memtableMetric   = describeMetric("gauge", "pebble_memtable_bytes", "Size of what Pebble has in memory and not in files yet.")
	debtMetric       = describeMetric("gauge", "pebble_compaction_debt_bytes", "Bytes that compactions of the tasks' state have yet to rewrite.")
	filesMetric      = describeMetric("gauge", "pebble_level_zero_files", "Files that no compaction of the tasks' state has seen.")
	readMetric       = describeMetric("gauge", "pebble_read_amplification", "Files that a look-up may have to ask, of the task with the most.")
	blocksMetric     = describeMetric("gauge", "pebble_block_cache_bytes", "Size of the blocks of files that are in memory.")
	hitsMetric       = describeMetric("counter", "pebble_block_cache_hits_total", "Blocks that were found in memory.")
	missesMetric     = describeMetric("counter", "pebble_block_cache_misses_total", "Blocks that had to be read from files.")
)

// figuresTimeout bounds how long a scrape waits for a task that processes records.
const figuresTimeout = time.Second

// Collector returns the metrics of the application in this process, for a prometheus.Registerer. Each has the label app. Several
// applications may be in one registry; counting costs records nothing but plain additions. It may be called before Run.
func (a *App) Collector() prometheus.Collector {
	return newCollector(a.options.App, a.State, a.counters, func() (databases []*state.DB) {
		for _, task := range a.shell.Tasks() {
			if db := task.DB(); db != nil {
				databases = append(databases, db)
			}
		}
		return databases
	})
}

// collector reads figures when somebody scrapes them.
type collector struct {
	state     func() State
	counters  *engine.Counters
	databases func() []*state.DB
	descs     map[string]*prometheus.Desc // by name
}

func newCollector(app string, appState func() State, counters *engine.Counters, databases func() []*state.DB) *collector {
	c := &collector{state: appState, counters: counters, databases: databases, descs: map[string]*prometheus.Desc{}}
	for _, m := range metricTable {
		c.descs[m.Name] = prometheus.NewDesc(m.Name, m.Help, m.Labels, prometheus.Labels{"app": app})
	}
	return c
}

// Describe sends all descriptions.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, m := range metricTable {
		out <- c.descs[m.Name]
	}
}

// Collect sends the figures of now.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	s := scrape{collector: c, out: out}
	s.process()
	s.nodes()
	s.processing()
	s.inputs()
	s.stores()
	s.pebble()
}

// figures asks all databases. One that is closed meanwhile, or is busy for too long, is left out.
func (c *collector) figures() (all []state.Figures) {
	ctx, cancel := context.WithTimeout(context.Background(), figuresTimeout)
	defer cancel()
	for _, db := range c.databases() {
		if f, err := db.Figures(ctx); err == nil {
			all = append(all, f)
		}
	}
	return all
}
