package broker

import (
	"strings"
	"time"
)

var (
	diskFreeDesc  = describeGauge("disk_free_bytes", "Room left on the data directory's disk.", "dir")
	diskTotalDesc = describeGauge("disk_total_bytes", "Size of the data directory's disk.", "dir")
	diskStateDesc = describeGauge("disk_state", "0 if the disk has room, 1 if it is low, 2 if clients' records are refused.", "dir")

	scrubAgeDesc     = describeGauge("scrub_age_seconds", "Time since all sealed segments were last read in search of damage; -1: never.")
	scrubBytesDesc   = describeCounter("scrub_bytes_total", "Bytes that were read in search of damage.")
	scrubCorruptDesc = describeCounter("log_corrupt_batches_total", "Ranges of records found damaged on disk by the scrub.")
)

// disk sends how much room there is.
func (c *collector) disk(s *scrape) {
	state, usage := c.broker.disk.status()
	dir := strings.ToValidUTF8(c.broker.options.DataDir, "?") // as every label has to be
	s.gauge(diskFreeDesc, float64(usage.FreeBytes), dir)
	s.gauge(diskTotalDesc, float64(usage.TotalBytes), dir)
	s.gauge(diskStateDesc, float64(state), dir)
}

// scrub sends how the search for damage goes.
func (c *collector) scrub(s *scrape) {
	scrubber := c.broker.scrubber
	s.gauge(scrubAgeDesc, scrubber.age(time.Now()).Seconds())
	s.counter(scrubBytesDesc, scrubber.bytes.Load())
	s.counter(scrubCorruptDesc, scrubber.corrupt.Load())
}
