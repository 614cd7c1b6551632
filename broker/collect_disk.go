package broker

var (
	diskFreeDesc  = describeGauge("disk_free_bytes", "Room left on the data directory's disk.", "dir")
	diskTotalDesc = describeGauge("disk_total_bytes", "Size of the data directory's disk.", "dir")
	diskStateDesc = describeGauge("disk_state", "0 if the disk has room, 1 if it is low, 2 if clients' records are refused.", "dir")
)

// disk sends how much room there is.
func (c *collector) disk(s *scrape) {
	state, usage := c.broker.disk.status()
	dir := c.broker.options.DataDir
	s.gauge(diskFreeDesc, float64(usage.FreeBytes), dir)
	s.gauge(diskTotalDesc, float64(usage.TotalBytes), dir)
	s.gauge(diskStateDesc, float64(state), dir)
}
