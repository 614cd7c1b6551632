package broker

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/millrace/millrace/broker/internal/group"
	"github.com/millrace/millrace/broker/internal/partition"
	"github.com/millrace/millrace/internal/disk"
	"github.com/millrace/millrace/log"
	"github.com/millrace/millrace/log/record"
)

// TestTransactionsAreCounted by their state, and once they are decided by how.
func TestTransactionsAreCounted(t *testing.T) {
	b, _ := groupClient(t)
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(newCollector(b))
	compare := func(open, ids, unstable, committed, aborted string) {
		t.Helper()
		err := testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP millrace_partitions_unstable Partitions with records of a transaction that is not decided there: read_committed consumers end before them.
# TYPE millrace_partitions_unstable gauge
millrace_partitions_unstable `+unstable+`
# HELP millrace_transactional_ids Transactional ids that the broker remembers.
# TYPE millrace_transactional_ids gauge
millrace_transactional_ids `+ids+`
# HELP millrace_transactions_deciding Transactions that are committed or aborted and whose markers are still being written.
# TYPE millrace_transactions_deciding gauge
millrace_transactions_deciding 0
# HELP millrace_transactions_open Transactions that their producers have not ended yet.
# TYPE millrace_transactions_open gauge
millrace_transactions_open `+open+`
# HELP millrace_transactions_overdue Of the transactions that are open or being decided those that began more than twice their timeout ago.
# TYPE millrace_transactions_overdue gauge
millrace_transactions_overdue 0
# HELP millrace_transactions_total Transactions that were decided, by how: committed, aborted, timed_out or fenced.
# TYPE millrace_transactions_total counter
millrace_transactions_total{result="aborted"} `+aborted+`
millrace_transactions_total{result="committed"} `+committed+`
millrace_transactions_total{result="fenced"} 0
millrace_transactions_total{result="timed_out"} 0
`), "millrace_partitions_unstable", "millrace_transactional_ids", "millrace_transactions_deciding", "millrace_transactions_open",
			"millrace_transactions_overdue", "millrace_transactions_total")
		if err != nil {
			t.Error(err)
		}
	}
	if _, err := b.transactions.ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	compare("0", "0", "0", "0", "0")
	one, two := openTransaction(t, b, "one", "t"), openTransaction(t, b, "two", "u")
	compare("2", "2", "2", "0", "0")
	one.commit()
	if code := two.end(false); code != 0 {
		t.Fatal(code)
	}
	awaitQuiet(t, b)
	compare("0", "2", "0", "1", "1")
}

// TestLagAndCommitsOfTransactions: a group's lag has no markers in it, and an offset counts once it is committed.
func TestLagAndCommitsOfTransactions(t *testing.T) {
	b, c := groupClient(t)
	x := openTransaction(t, b, "x", "t")
	x.produce("t", 0, "second")
	x.commit()
	for range 2 {
		x.produce("t", 0, "third")
		x.commit()
	}
	if err := commitPending(t, b, "g", group.Producer{ID: 77}, 0, 1); err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(newCollector(b))
	if n, err := testutil.GatherAndCount(registry, "millrace_consumer_group_lag_records"); err != nil || n != 0 {
		t.Errorf("%d lags of a group that has committed nothing yet, %v", n, err)
	}
	if err := endPending(t, b, "g", record.EndTxnMarker{Type: record.ControlCommit, ProducerID: 77}, false); err != nil {
		t.Fatal(err)
	}
	err := testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP millrace_consumer_group_lag_offsets Offsets between what a group has committed and the high watermark.
# TYPE millrace_consumer_group_lag_offsets gauge
millrace_consumer_group_lag_offsets{group="g",topic="t"} 6
# HELP millrace_consumer_group_lag_records Records that a group has yet to read: without control records and what compaction removed.
# TYPE millrace_consumer_group_lag_records gauge
millrace_consumer_group_lag_records{group="g",topic="t"} 3
# HELP millrace_offset_commits_total Offsets that a group has committed.
# TYPE millrace_offset_commits_total counter
millrace_offset_commits_total{group="g"} 1
`), "millrace_consumer_group_lag_offsets", "millrace_consumer_group_lag_records", "millrace_offset_commits_total")
	if err != nil {
		t.Error(err)
	}
	if o := c.fetchStable(8, "g", 0, true, false); o.Offset != 1 {
		t.Errorf("%+v", o)
	}
}

// TestStuckOffsetsAreTimed from when they were first seen behind, until they move or catch up.
func TestStuckOffsetsAreTimed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := partition.Open(partition.Options{
			Topic: "t", Log: log.Options{FS: disk.NewMem(), Dir: "/t-0", NowMs: 1}, Config: partition.DefaultConfig(),
			Syncs: partition.NewSyncs(1, nil),
		})
		defer p.Close()
		var stuck stuckOffsets
		begin := func(id int64) {
			t.Helper()
			builder := record.NewBuilder(record.Options{Transactional: true, Producer: &record.Producer{ID: id}})
			builder.Add(1, nil, []byte("v"))
			batch, err := builder.Build()
			if err != nil {
				t.Fatal(err)
			}
			awaitAppended(t, p, func() (log.Appended, error) { return p.Append(batch, 1, partition.Internal) })
		}
		end := func(id int64) {
			t.Helper()
			marker := record.EndTxnMarker{Type: record.ControlCommit, ProducerID: id, TimestampMs: 1}
			awaitAppended(t, p, func() (log.Appended, error) { return p.EndTransaction(marker, false, 1) })
		}
		want := func(unstable int, longest time.Duration) {
			t.Helper()
			n, byTopic := stuck.observe([]*partition.Partition{p}, time.Now())
			if n != unstable || byTopic["t"] != longest || len(byTopic) != unstable {
				t.Errorf("%d partitions, %v", n, byTopic)
			}
		}
		want(0, 0)
		begin(1)
		want(1, 0)
		time.Sleep(time.Minute)
		want(1, time.Minute)
		begin(2)
		time.Sleep(time.Minute)
		want(1, 2*time.Minute)
		end(1) // it moves, and another transaction is open
		want(1, 0)
		time.Sleep(time.Minute)
		want(1, time.Minute)
		end(2)
		want(0, 0)
		begin(3)
		want(1, 0)
	})
}
