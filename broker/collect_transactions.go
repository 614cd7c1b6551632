package broker

import (
	"context"
	"sync"
	"time"

	"github.com/millrace/millrace/broker/internal/partition"
	"github.com/millrace/millrace/broker/internal/txn"
)

var (
	transactionalIDsDesc    = describeGauge("transactional_ids", "Transactional ids that the broker remembers.")
	openTransactionsDesc    = describeGauge("transactions_open", "Transactions that their producers have not ended yet.")
	decidedTransactionsDesc = describeGauge("transactions_deciding", "Transactions that are committed or aborted and whose markers are still being written.")
	overdueTransactionsDesc = describeGauge("transactions_overdue", "Of the transactions that are open or being decided those that began more than twice their timeout ago.")
	oldestTransactionDesc   = describeGauge("transaction_oldest_seconds", "Age of the oldest transaction that is open or being decided, 0 if there is none.")
	endedTransactionsDesc   = describeCounter("transactions_total", "Transactions that were decided, by how: committed, aborted, timed_out or fenced.", "result")
	unstablePartitionsDesc  = describeGauge("partitions_unstable", "Partitions with records of a transaction that is not decided there: read_committed consumers end before them.")
	stuckDesc               = describeGauge("last_stable_offset_stuck_seconds", "For how long the last stable offset of a partition has not moved while it was behind the high watermark, as scrapes saw it: the longest of the topic, internal ones too.", "topic")
)

// transactionsPatience is how long a scrape waits for the coordinators of transactions.
const transactionsPatience = 2 * time.Second

// transactions sends what the coordinators of transactions know. Those that do not answer have no figures.
func (c *collector) transactions(s *scrape) {
	ctx, cancel := context.WithTimeout(context.Background(), transactionsPatience)
	defer cancel()
	shards, err := survey(ctx, c.broker.transactions.shardedTopic, func(s *txn.State) []txn.Figures { return []txn.Figures{s.Figures()} })
	if err != nil {
		return
	}
	sum := txn.Figures{OldestStartMs: -1}
	for _, f := range shards {
		sum.TransactionalIDs += f.TransactionalIDs
		sum.Open += f.Open
		sum.Decided += f.Decided
		sum.Overdue += f.Overdue
		if f.OldestStartMs >= 0 && (sum.OldestStartMs < 0 || f.OldestStartMs < sum.OldestStartMs) {
			sum.OldestStartMs = f.OldestStartMs
		}
		for outcome, count := range f.Outcomes {
			sum.Outcomes[outcome] += count
		}
	}
	oldest := 0.0
	if sum.OldestStartMs >= 0 {
		oldest = float64(max(0, time.Now().UnixMilli()-sum.OldestStartMs)) / 1000
	}
	s.gauge(transactionalIDsDesc, float64(sum.TransactionalIDs))
	s.gauge(openTransactionsDesc, float64(sum.Open))
	s.gauge(decidedTransactionsDesc, float64(sum.Decided))
	s.gauge(overdueTransactionsDesc, float64(sum.Overdue))
	s.gauge(oldestTransactionDesc, oldest)
	for outcome, count := range sum.Outcomes {
		s.counter(endedTransactionsDesc, count, txn.Outcome(outcome).String())
	}
}

// stability sends how many partitions are behind because of transactions, and for how long they have been without any
// progress. It does not ask the coordinators: a transaction that they do not know is what it has to find.
func (c *collector) stability(s *scrape) {
	unstable, byTopic := c.stuck.observe(c.broker.partitions.sorted(), time.Now())
	s.gauge(unstablePartitionsDesc, float64(unstable))
	byLabel := make(map[string]time.Duration)
	for topic, stuck := range byTopic {
		label, ok := c.topicLabel(topic)
		if !ok {
			label = topic // an internal one, of which there are few
		}
		byLabel[label] = max(byLabel[label], stuck)
	}
	for label, stuck := range byLabel {
		s.gauge(stuckDesc, stuck.Seconds(), label)
	}
}

// stuckOffsets remembers since when last stable offsets have not moved, for the partitions where they are behind. Safe
// for concurrent use.
type stuckOffsets struct {
	mu struct {
		sync.Mutex
		since map[*partition.Partition]stuckOffset
	}
}

type stuckOffset struct {
	lastStable int64
	since      time.Time
}

// observe returns how many partitions are behind now, and for how long the one of each topic that has been behind for
// longest has not moved.
func (o *stuckOffsets) observe(partitions []*partition.Partition, now time.Time) (unstable int, longest map[string]time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	since := make(map[*partition.Partition]stuckOffset)
	longest = make(map[string]time.Duration)
	for _, p := range partitions {
		offsets := p.Offsets()
		if offsets.LastStable >= offsets.HighWatermark {
			continue
		}
		unstable++
		stuck, known := o.mu.since[p]
		if !known || stuck.lastStable != offsets.LastStable {
			stuck = stuckOffset{lastStable: offsets.LastStable, since: now}
		}
		since[p] = stuck
		longest[p.Topic()] = max(longest[p.Topic()], now.Sub(stuck.since))
	}
	o.mu.since = since
	return unstable, longest
}
