package broker

import (
	"context"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millrace/millrace/broker/internal/group"
	"github.com/millrace/millrace/broker/internal/partition"
	"github.com/millrace/millrace/log"
)

var (
	membersDesc    = describeGauge("consumer_group_members", "Members of a group.", "group")
	stateDesc      = describeGauge("consumer_group_state", "Always 1; the label says the state that a group is in.", "group", "state")
	rebalancesDesc = describeCounter("consumer_group_rebalances_total", "Rebalances of a group that were started.", "group", "reason")
	commitsDesc    = describeCounter("offset_commits_total", "Offsets that a group has committed.", "group")

	lagOffsetsDesc          = describeGauge("consumer_group_lag_offsets", "Offsets between what a group has committed and the high watermark.", "group", "topic")
	lagRecordsDesc          = describeGauge("consumer_group_lag_records", "Records that a group has yet to read: without control records and what compaction removed.", "group", "topic")
	lagSecondsDesc          = describeGauge("consumer_group_lag_seconds", "Age of the oldest record that a group has yet to read, 0 if there is none.", "group", "topic")
	partitionLagOffsetsDesc = describeGauge("consumer_group_partition_lag_offsets", "Offsets between what a group has committed and the high watermark.", "group", "topic", "partition")
	partitionLagRecordsDesc = describeGauge("consumer_group_partition_lag_records", "Records that a group has yet to read.", "group", "topic", "partition")
	partitionLagSecondsDesc = describeGauge("consumer_group_partition_lag_seconds", "Age of the oldest record that a group has yet to read, 0 if there is none.", "group", "topic", "partition")
	lagEstimatesDesc        = describeGauge("consumer_group_lag_estimates", "Lags in records that are estimates, because counting them would have taken too long.")
)

const (
	// groupsPatience is how long a scrape waits for the groups' coordinators.
	groupsPatience = 2 * time.Second
	// lagSeriesMax is how many lags of single partitions have series.
	lagSeriesMax = 10_000
	// lagEffortMax bounds what one scrape reads to count records, in batch headers: half a second of reading from the
	// page cache. What it does not reach is an estimate, and the next scrape goes on from there.
	lagEffortMax = 500_000
	// otherGroups is the label of the groups beyond millrace.metrics.max.groups, and of those that no label can name.
	otherGroups = "_other"
)

// lagKey is what lags are added up by.
type lagKey struct{ group, topic string }

// lagSum is the lag of a group in some partitions.
type lagSum struct {
	offsets  int64
	records  int64
	oldestMs int64 // timestamp of the oldest record that is not read yet, -1: not known
}

func (l *lagSum) add(lag partition.Lag) {
	l.offsets += lag.Offsets
	l.records += lag.Records
	if lag.FirstTimestampMs >= 0 && (l.oldestMs < 0 || lag.FirstTimestampMs < l.oldestMs) {
		l.oldestMs = lag.FirstTimestampMs
	}
}

// seconds is the age of the oldest record; ok is false if there are records and the age of none is known.
func (l *lagSum) seconds(nowMs int64) (seconds float64, ok bool) {
	switch {
	case l.records == 0:
		return 0, true
	case l.oldestMs < 0:
		return 0, false
	}
	return float64(max(nowMs-l.oldestMs, 0)) / 1000, true
}

// groupScrape is one pass over all groups.
type groupScrape struct {
	*collector
	*scrape
	nowMs      int64
	effort     log.Effort
	groups     map[string]*group.Summary // by label
	lags       map[lagKey]*lagSum
	estimates  int
	series     int // lags of single partitions
	lagsLeft   int // those without series
	groupsLeft int // those without series of their own
}

// groups sends what groups do and how far they are behind, per topic and, if asked for, per partition. Coordinators
// that do not answer have no figures.
func (c *collector) groups(s *scrape) {
	ctx, cancel := context.WithTimeout(context.Background(), groupsPatience)
	defer cancel()
	summaries, err := c.broker.groups.summaries(ctx)
	if err != nil {
		return
	}
	pass := groupScrape{
		collector: c, scrape: s, nowMs: time.Now().UnixMilli(), effort: log.Effort{Left: lagEffortMax},
		groups: map[string]*group.Summary{}, lags: map[lagKey]*lagSum{},
	}
	for i := range summaries {
		pass.add(&summaries[i], c.tellsApart(i, summaries[i].Group))
	}
	pass.send()
}

// tellsApart reports whether a group, by its place among all, has series of its own. A label is UTF-8, which the name
// of a group need not be: one series that cannot be would cost the whole scrape.
func (c *collector) tellsApart(place int, group string) bool {
	return place < c.groupsMax && utf8.ValidString(group)
}

// add takes in a group, which has series of its own or shares those of otherGroups.
func (c *groupScrape) add(g *group.Summary, own bool) {
	label := g.Group
	if own {
		c.gauge(stateDesc, 1, label, g.Phase.String())
	} else {
		label = otherGroups
		c.groupsLeft++
	}
	sum := c.groups[label]
	if sum == nil {
		sum = &group.Summary{}
		c.groups[label] = sum
	}
	sum.Members += g.Members
	sum.Commits += g.Commits
	for reason, count := range g.Rebalances {
		sum.Rebalances[reason] += count
	}
	for i := range g.Offsets {
		c.addLag(label, &g.Offsets[i], own)
	}
}

// addLag takes in how far a group is behind in one partition.
func (c *groupScrape) addLag(label string, o *group.CommittedOffset, own bool) {
	topic, ok := c.topicLabel(o.Topic)
	p := c.broker.partitions.lookup(o.Topic, o.Partition)
	if !ok || p == nil {
		return
	}
	lag := p.Lag(o.Offset, &c.effort)
	if lag.Estimated {
		c.estimates++
	}
	key := lagKey{label, topic}
	sum := c.lags[key]
	if sum == nil {
		sum = &lagSum{oldestMs: -1}
		c.lags[key] = sum
	}
	sum.add(lag)
	switch {
	case !c.perPartition:
	case !own || topic == otherTopics || c.series == lagSeriesMax:
		c.lagsLeft++
	default:
		c.series++
		single := lagSum{oldestMs: -1}
		single.add(lag)
		c.sendLag(&single, [...]*prometheus.Desc{partitionLagOffsetsDesc, partitionLagRecordsDesc, partitionLagSecondsDesc},
			label, topic, strconv.Itoa(int(o.Partition)))
	}
}

func (c *groupScrape) send() {
	for label, g := range c.groups {
		c.gauge(membersDesc, float64(g.Members), label)
		c.counter(commitsDesc, g.Commits, label)
		for reason, count := range g.Rebalances {
			if count > 0 {
				c.counter(rebalancesDesc, count, label, group.Reason(reason).String())
			}
		}
	}
	for key, sum := range c.lags {
		c.sendLag(sum, [...]*prometheus.Desc{lagOffsetsDesc, lagRecordsDesc, lagSecondsDesc}, key.group, key.topic)
	}
	c.gauge(lagEstimatesDesc, float64(c.estimates))
	c.gauge(leftOutDesc, float64(c.lagsLeft), "lag")
	c.gauge(leftOutDesc, float64(c.groupsLeft), "group")
}

// sendLag sends the three figures of a lag.
func (c *groupScrape) sendLag(l *lagSum, descs [3]*prometheus.Desc, labels ...string) {
	c.gauge(descs[0], float64(l.offsets), labels...)
	c.gauge(descs[1], float64(l.records), labels...)
	if seconds, ok := l.seconds(c.nowMs); ok {
		c.gauge(descs[2], seconds, labels...)
	}
}
