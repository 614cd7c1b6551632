package broker

import (
	"context"
	"net"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millrace/millrace/broker/internal/group"
	"github.com/millrace/millrace/broker/internal/partition"
)

// kafkaExporter has the figures that both millrace and danielqsj/kafka_exporter know under the latter's names, labels
// and meaning, whatever the granularity, so that dashboards made for it work. Internal topics are left out here too.
type kafkaExporter struct{ *collector }

var (
	exporterBrokers       = describeExporter("brokers", "Number of Brokers in the Kafka Cluster.")
	exporterBrokerInfo    = describeExporter("broker_info", "Information about the Kafka Broker.", "id", "address")
	exporterPartitions    = describeExporter("topic_partitions", "Number of partitions for this Topic", "topic")
	exporterCurrent       = describeExporter("topic_partition_current_offset", "Current Offset of a Broker at Topic/Partition", "topic", "partition")
	exporterOldest        = describeExporter("topic_partition_oldest_offset", "Oldest Offset of a Broker at Topic/Partition", "topic", "partition")
	exporterInSync        = describeExporter("topic_partition_in_sync_replica", "Number of In-Sync Replicas for this Topic/Partition", "topic", "partition")
	exporterLeader        = describeExporter("topic_partition_leader", "Leader Broker ID of this Topic/Partition", "topic", "partition")
	exporterPreferred     = describeExporter("topic_partition_leader_is_preferred", "1 if Topic/Partition is using the Preferred Broker", "topic", "partition")
	exporterReplicas      = describeExporter("topic_partition_replicas", "Number of Replicas for this Topic/Partition", "topic", "partition")
	exporterUnder         = describeExporter("topic_partition_under_replicated_partition", "1 if Topic/Partition is under Replicated", "topic", "partition")
	exporterMembers       = describeExporter("consumergroup_members", "Amount of members in a consumer group", "consumergroup")
	exporterCommitted     = describeExporter("consumergroup_current_offset", "Current Offset of a ConsumerGroup at Topic/Partition", "consumergroup", "topic", "partition")
	exporterCommittedSum  = describeExporter("consumergroup_current_offset_sum", "Current Offset of a ConsumerGroup at Topic for all partitions", "consumergroup", "topic")
	exporterLag           = describeExporter("consumergroup_lag", "Current Approximate Lag of a ConsumerGroup at Topic/Partition", "consumergroup", "topic", "partition")
	exporterLagSum        = describeExporter("consumergroup_lag_sum", "Current Approximate Lag of a ConsumerGroup at Topic for all partitions", "consumergroup", "topic")
	exporterReplicaCounts = []struct {
		desc  *prometheus.Desc
		value float64
	}{{exporterInSync, 1}, {exporterReplicas, 1}, {exporterPreferred, 1}, {exporterUnder, 0}}
)

func describeExporter(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("kafka_"+name, help, labels, nil)
}

// Describe sends no descriptions: which series there are is known at each scrape.
func (k *kafkaExporter) Describe(chan<- *prometheus.Desc) {}

// Collect sends the figures of now, of at most partitionSeriesMax partitions and lagSeriesMax lags.
func (k *kafkaExporter) Collect(out chan<- prometheus.Metric) {
	b := k.broker
	if b.currentState() != running {
		return
	}
	s := &scrape{out: out}
	host, port := b.advertised(plaintextListener)
	s.gauge(exporterBrokers, 1)
	s.gauge(exporterBrokerInfo, 1, strconv.Itoa(int(b.directory.nodeID)), net.JoinHostPort(host, strconv.Itoa(int(port))))
	k.topics(s)
	ctx, cancel := context.WithTimeout(context.Background(), groupsPatience)
	defer cancel()
	summaries, err := b.groups.summaries(ctx)
	if err != nil {
		return
	}
	left := lagSeriesMax
	for i := range summaries {
		if !k.tellsApart(i, summaries[i].Group) {
			continue
		}
		s.gauge(exporterMembers, float64(summaries[i].Members), summaries[i].Group)
		left = k.lags(s, &summaries[i], left)
	}
}

func (k *kafkaExporter) topics(s *scrape) {
	partitions := map[string]int{}
	left := partitionSeriesMax
	for _, p := range k.broker.partitions.sorted() {
		if strings.HasPrefix(p.Topic(), "__") {
			continue
		}
		partitions[p.Topic()]++
		if left > 0 {
			left--
			k.partition(s, p)
		}
	}
	for topic, count := range partitions {
		s.gauge(exporterPartitions, float64(count), topic)
	}
}

func (k *kafkaExporter) partition(s *scrape, p *partition.Partition) {
	offsets, index := p.Offsets(), strconv.Itoa(int(p.Index()))
	s.gauge(exporterCurrent, float64(offsets.HighWatermark), p.Topic(), index)
	s.gauge(exporterOldest, float64(offsets.LogStart), p.Topic(), index)
	s.gauge(exporterLeader, float64(k.broker.directory.nodeID), p.Topic(), index)
	for _, figure := range exporterReplicaCounts {
		s.gauge(figure.desc, figure.value, p.Topic(), index)
	}
}

// lags sends where a group stands, in at most left partitions, and returns how many are left then.
func (k *kafkaExporter) lags(s *scrape, g *group.Summary, left int) int {
	type sum struct{ committed, lag int64 }
	sums := map[string]sum{}
	for _, o := range g.Offsets {
		p := k.broker.partitions.lookup(o.Topic, o.Partition)
		if p == nil || strings.HasPrefix(o.Topic, "__") {
			continue
		}
		lag := max(p.Offsets().HighWatermark-o.Offset, 0)
		sums[o.Topic] = sum{sums[o.Topic].committed + o.Offset, sums[o.Topic].lag + lag}
		if left > 0 {
			left--
			index := strconv.Itoa(int(o.Partition))
			s.gauge(exporterCommitted, float64(o.Offset), g.Group, o.Topic, index)
			s.gauge(exporterLag, float64(lag), g.Group, o.Topic, index)
		}
	}
	for topic, sum := range sums {
		s.gauge(exporterCommittedSum, float64(sum.committed), g.Group, topic)
		s.gauge(exporterLagSum, float64(sum.lag), g.Group, topic)
	}
	return left
}
