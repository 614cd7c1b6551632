package broker

import (
	"context"
	"strconv"
	"time"
)

const (
	// lagPatience is how long a scrape waits for the groups' coordinators.
	lagPatience = 2 * time.Second
	// lagSeriesMax is how many series of lags there are at most.
	lagSeriesMax = 10_000
)

// lagKey is what lags are added up by.
type lagKey struct{ group, topic string }

// groups sends how far groups are behind, per topic and, if asked for, per partition.
func (c *collector) groups(s *scrape) {
	ctx, cancel := context.WithTimeout(context.Background(), lagPatience)
	defer cancel()
	lags, err := c.broker.groups.lags(ctx)
	if err != nil {
		return // a coordinator that does not answer has no figures
	}
	sums := map[lagKey]int64{}
	left := lagSeriesMax
	for _, l := range lags {
		label, ok := c.topicLabel(l.topic)
		if !ok {
			continue
		}
		key := lagKey{l.group, label}
		if _, known := sums[key]; !known {
			if left == 0 {
				continue
			}
			left--
		}
		sums[key] += l.offsets()
		if c.perPartition && left > 0 {
			left--
			s.gauge(partitionLagDesc, float64(l.offsets()), l.group, label, strconv.Itoa(int(l.partition)))
		}
	}
	for key, sum := range sums {
		s.gauge(lagDesc, float64(sum), key.group, key.topic)
	}
}
