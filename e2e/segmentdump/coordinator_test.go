package segmentdump

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/broker"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TestKafkaReadsOurCoordinator has a client commit, abort and leave open transactions, some with offsets, and Kafka's tool read
// what the broker wrote on account of them: markers, the index of aborted transactions, the coordinator's records.
func TestKafkaReadsOurCoordinator(t *testing.T) {
	needTool(t)
	dir := t.TempDir()
	useTransactions(t, dir)

	ledger := runTool(t, files(t, dir, "ledger-0", "*.log"), "--print-data-log", "--deep-iteration")
	wantSound(t, ledger, "payload: debit", "payload: dropped", "payload: open", "isTransactional: true", "endTxnMarker: COMMIT", "endTxnMarker: ABORT")
	aborted := runTool(t, files(t, dir, "ledger-0", "*.txnindex"))
	wantSound(t, aborted, "producerId: ", "firstOffset: 2 lastOffset: 3 lastStableOffset: 4")
	if n := strings.Count(aborted.stdout, "firstOffset: "); n != 1 {
		t.Errorf("%d aborted transactions", n)
	}
	state := runTool(t, files(t, dir, "__transaction_state-*", "*.log"), "--transaction-log-decoder")
	wantSound(t, state, `{"type":"0","data":{"transactionalId":"books"}}`, `"transactionStatus":1,"transactionPartitions":[{"topic":"ledger","partitionIds":[0]}]`,
		`"transactionStatus":4`, `"transactionStatus":3`, `"topic":"__consumer_offsets"`, `"clientTransactionVersion":2`)
	offsets := runTool(t, files(t, dir, "__consumer_offsets-*", "*.log"), "--offsets-decoder")
	wantSound(t, offsets, `{"group":"books","topic":"entries","partition":0}`, "endTxnMarker: COMMIT")

	wantVerified(t, dir)
}

// useTransactions runs a broker on dir, and a client that commits a transaction with the offsets of what it consumed, aborts one and
// leaves one open.
func useTransactions(t *testing.T, dir string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	b, err := broker.New(broker.Options{DataDir: dir, Listen: "127.0.0.1:0", Config: map[string]string{"group.initial.rebalance.delay.ms": "0"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Start(ctx); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := b.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	}()
	session, err := kgo.NewGroupTransactSession(kgo.SeedBrokers(b.Addr().String()), kgo.TransactionalID("books"), kgo.ConsumerGroup("books"),
		kgo.ConsumeTopics("entries"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DefaultProduceTopic("ledger"))
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	if _, err := kadm.NewClient(session.Client()).CreateTopics(ctx, 1, 1, nil, "entries", "ledger"); err != nil {
		t.Fatal(err)
	}
	entries, err := kgo.NewClient(kgo.SeedBrokers(b.Addr().String()), kgo.DefaultProduceTopic("entries"))
	if err != nil {
		t.Fatal(err)
	}
	defer entries.Close()
	if err := entries.ProduceSync(ctx, kgo.StringRecord("entry")).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if err := session.PollFetches(ctx).Err(); err != nil {
		t.Fatal(err)
	}
	write := func(values ...string) {
		t.Helper()
		err := session.Begin()
		for _, value := range values {
			err = errors.Join(err, session.ProduceSync(ctx, kgo.StringRecord(value)).FirstErr())
		}
		// The client may not have noted the partitions of its topic yet (franz-go 1.22); this waits for it, nothing is buffered.
		if err = errors.Join(err, session.Client().AbortBufferedRecords(ctx)); err != nil {
			t.Fatal(err)
		}
	}
	write("debit")
	if committed, err := session.End(ctx, kgo.TryCommit); err != nil || !committed {
		t.Fatalf("committed: %v, %v", committed, err)
	}
	write("dropped")
	if _, err := session.End(ctx, kgo.TryAbort); err != nil {
		t.Fatal(err)
	}
	write("open")
}
