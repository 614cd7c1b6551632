package streams

import (
	"maps"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millrace/millrace/streams/internal/engine"
)

// scrape is one reading of all figures.
type scrape struct {
	*collector
	out chan<- prometheus.Metric
}

func (s scrape) send(m Metric, value float64, labels ...string) {
	kind := prometheus.GaugeValue
	if m.Type == "counter" {
		kind = prometheus.CounterValue
	}
	s.out <- prometheus.MustNewConstMetric(s.descs[m.Name], kind, value, labels...)
}

// histogram sends counts by bound; the last count is of what is above all bounds.
func (s scrape) histogram(m Metric, counts []int64, bounds []float64, sum float64, labels ...string) {
	cumulative, total := map[float64]uint64{}, uint64(0)
	for at, count := range counts {
		total += uint64(count)
		if at < len(bounds) {
			cumulative[bounds[at]] = total
		}
	}
	s.out <- prometheus.MustNewConstHistogram(s.descs[m.Name], total, sum, cumulative, labels...)
}

// process sends what is counted of all tasks together.
func (s scrape) process() {
	now := s.state()
	for _, state := range States() {
		value := 0.0
		if state == now {
			value = 1
		}
		s.send(stateMetric, value, state.String())
	}
	tasks, cached, dirty := s.counters.Tasks()
	s.send(tasksMetric, float64(tasks))
	s.send(cachedMetric, float64(cached))
	s.send(dirtyMetric, float64(dirty))
	figures := s.counters.Process.Figures()
	s.send(rebalancesMetric, float64(figures.Rebalances))
	s.send(commitsMetric, float64(figures.Committed), "committed")
	s.send(commitsMetric, float64(figures.Aborted), "aborted")
	var bounds []float64
	for _, bound := range engine.DurationBounds {
		bounds = append(bounds, bound.Seconds())
	}
	s.histogram(commitTimeMetric, figures.Durations[:], bounds, figures.Committing.Seconds())
}

// nodes sends what is counted of each node. Reasons that never occurred have no series.
func (s scrape) nodes() {
	var bounds []float64
	for _, bound := range engine.LatenessBoundsMs {
		bounds = append(bounds, seconds(bound))
	}
	nodes := s.counters.Nodes()
	for _, name := range slices.Sorted(maps.Keys(nodes)) {
		node := nodes[name]
		s.send(processedMetric, float64(node.Processed), name)
		s.send(emittedMetric, float64(node.Emitted), name)
		for _, reason := range engine.Reasons() {
			if dropped := node.Dropped[reason]; dropped > 0 {
				s.send(droppedMetric, float64(dropped), name, reason.String())
			}
		}
		if node.Lateness != (engine.Lateness{}) {
			s.histogram(latenessMetric, node.Lateness.Counts[:], bounds, seconds(node.Lateness.SumMs), name)
		}
		if node.EndToEnd != (engine.Latency{}) {
			s.latency(endToEndMetric, node.EndToEnd, name)
		}
	}
}

func seconds(ms int64) float64 { return (time.Duration(ms) * time.Millisecond).Seconds() }

// inputs sends where the tasks are in their source topics.
func (s scrape) inputs() {
	for _, input := range s.counters.Inputs() {
		s.send(lagMetric, float64(input.LagRecords), input.Topic)
		if input.WatermarkMs >= 0 {
			s.send(watermarkMetric, float64(input.WatermarkMs)/1000, input.Topic)
		}
	}
}

// latency sends a histogram of engine.LatencyBounds.
func (s scrape) latency(m Metric, l engine.Latency, labels ...string) {
	var bounds []float64
	for _, bound := range engine.LatencyBounds {
		bounds = append(bounds, bound.Seconds())
	}
	s.histogram(m, l.Counts[:], bounds, l.Sum.Seconds(), labels...)
}

// processing sends how long records take.
func (s scrape) processing() {
	processing := s.counters.Processing()
	for _, name := range slices.Sorted(maps.Keys(processing)) {
		if l := processing[name]; l != (engine.Latency{}) {
			s.latency(durationMetric, l, name)
		}
	}
}

// stores sends how restores get on, and how long reads take.
func (s scrape) stores() {
	reads := s.counters.Reads()
	for _, name := range slices.Sorted(maps.Keys(reads)) {
		s.latency(readsMetric, reads[name], name, "read")
	}
	for _, store := range s.counters.Stores() {
		s.send(restoredMetric, float64(store.Restored), store.Store)
		s.send(remainingMetric, float64(store.Remaining), store.Store)
		s.send(restoreMetric, store.Took.Seconds(), store.Store)
	}
}

// pebble sends what the stores take on disk and in memory. The block cache is one for all tasks.
func (s scrape) pebble() {
	figures := s.figures()
	if len(figures) == 0 {
		return
	}
	stores, entries := map[string]int64{}, map[string]int64{}
	sum := figures[0]
	for at, f := range figures {
		for store, bytes := range f.StoreBytes {
			stores[store] += bytes
			entries[store] += f.StoreEntries[store]
		}
		sum.ReadAmplification = max(sum.ReadAmplification, f.ReadAmplification)
		if at > 0 {
			sum.DiskBytes += f.DiskBytes
			sum.MemtableBytes += f.MemtableBytes
			sum.CompactionDebtBytes += f.CompactionDebtBytes
			sum.LevelZeroFiles += f.LevelZeroFiles
		}
	}
	for _, store := range slices.Sorted(maps.Keys(stores)) {
		s.send(storeMetric, float64(stores[store]), store)
		s.send(entriesMetric, float64(entries[store]), store)
	}
	s.send(diskMetric, float64(sum.DiskBytes))
	s.send(memtableMetric, float64(sum.MemtableBytes))
	s.send(debtMetric, float64(sum.CompactionDebtBytes))
	s.send(filesMetric, float64(sum.LevelZeroFiles))
	s.send(readMetric, float64(sum.ReadAmplification))
	s.send(blocksMetric, float64(sum.BlockCacheBytes))
	s.send(hitsMetric, float64(sum.BlockCacheHits))
	s.send(missesMetric, float64(sum.BlockCacheMisses))
}
