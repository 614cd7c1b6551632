package broker

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millrace/millrace/broker/internal/quota"
)

var (
	throttledDesc = describeCounter("quota_throttle_seconds_total", "For how long clients were told to rest because of a quota.", "kind")
	mutedDesc     = describeGauge("connections_muted", "Connections that are not read from for now, because of a quota.")
)

// quotaKinds are the labels of quotas.
var quotaKinds = [quota.KindCount]string{
	quota.Produce: "produce", quota.Fetch: "fetch", quota.Request: "request", quota.Mutation: "controller_mutation",
	quota.Connection: "connection_creation",
}

func (c *collector) quotas(s *scrape) {
	m := c.broker.metrics
	s.gauge(mutedDesc, float64(m.muted.Load()))
	for kind, label := range quotaKinds {
		seconds := time.Duration(m.throttled[kind].Load()).Seconds()
		s.out <- prometheus.MustNewConstMetric(throttledDesc, prometheus.CounterValue, seconds, label)
	}
}
