package broker

// Recovered is what Start found in the data directory.
type Recovered struct {
	Partitions   int   // of clients' topics and internal ones
	Offline      int   // of them damaged, and therefore not served
	ScannedBytes int64 // checked batch by batch; 0 after a shutdown in order
	TornBytes    int64 // cut off the ends of logs: written but never acknowledged as durable
}

// Recovered tells what Start found, once Start has returned; partitions that were created since count as well.
func (b *Broker) Recovered() Recovered {
	var sum Recovered
	if b.partitions == nil {
		return sum
	}
	for _, p := range b.partitions.all() {
		found := p.Recovery()
		sum.Partitions++
		sum.ScannedBytes += found.ScannedBytes
		sum.TornBytes += found.TornBytes
		if p.Err() != nil {
			sum.Offline++
		}
	}
	return sum
}
