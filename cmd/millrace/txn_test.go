package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/millrace/millrace/log/record"
)

// openTransaction produces a record to each topic's partition 0 in a transaction that stays open until the test ends or it is
// fenced.
func openTransaction(t *testing.T, id string, topics ...string) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(os.Getenv("MILLRACE_BROKERS")), kgo.TransactionalID(id),
		kgo.TransactionTimeout(time.Minute), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	if err := client.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	for _, topic := range topics {
		if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Value: []byte(id)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	// The client may not have noted the partitions of its topics yet (franz-go 1.22); this waits for it, nothing is buffered.
	if err := client.AbortBufferedRecords(t.Context()); err != nil {
		t.Fatal(err)
	}
	return client
}

func TestTransactionsAreListedAndDescribed(t *testing.T) {
	useBroker(t)
	ok(t, "", "topic", "create", "orders", "payments", "-p", "2")
	if got := ok(t, "", "txn", "list", "--no-headers"); got != "" {
		t.Errorf("without transactions: %q", got)
	}
	openTransaction(t, "billing-1", "orders", "payments")
	ended := openTransaction(t, "shipping-1", "orders")
	if err := ended.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ args, want string }{
		{"", "billing-1 shipping-1"}, {"--open", "billing-1"}, {"--state Ongoing", "billing-1"}, {"--state CompleteCommit,Dead", "shipping-1"},
		{"--match ^ship", "shipping-1"}, {"--longer-than 1h", ""}, {"--longer-than 1ns", "billing-1"},
	} {
		var ids []string
		for line := range strings.Lines(ok(t, "", append([]string{"txn", "list", "--no-headers"}, strings.Fields(test.args)...)...)) {
			ids = append(ids, strings.Fields(line)[0])
		}
		if got := strings.Join(ids, " "); got != test.want {
			t.Errorf("txn list %s: %q, want %q", test.args, got, test.want)
		}
	}
	if got := ok(t, "", "txn", "describe", "billing-1"); !strings.Contains(got, "state Ongoing") || !strings.Contains(got, "timeout 1m0s") ||
		!strings.Contains(got, "orders    0") || !strings.Contains(got, "payments  0") {
		t.Errorf("txn describe:\n%s", got)
	}
	r := cli(t, "", "txn", "describe", "billing-2", "shipping-1")
	if r.code != 1 || r.stderr != "millrace: unknown transactional id \"billing-2\", did you mean \"billing-1\"?\n" || !strings.Contains(r.stdout, "no partitions") {
		t.Errorf("exit code %d, stdout %q, stderr %q", r.code, r.stdout, r.stderr)
	}
	for args, want := range map[string]string{
		"list --state Open": `unknown state "Open"`, "list --match (": "--match", "list --longer-than -1s": "must be above 0", "list x": "takes no argument",
		"describe": "needs a TRANSACTIONAL-ID", "abort": "needs a TRANSACTIONAL-ID", "abort x --producer 1": "takes either",
		"abort --topic orders:0": "go together", "abort --producer 5": "go together", "producers": "needs a TOPIC", "producers orders:x": "is not TOPIC[:PARTITIONS]",
	} {
		if r := cli(t, "", append([]string{"txn"}, strings.Fields(args)...)...); r.code != 2 || !strings.Contains(r.stderr, want) {
			t.Errorf("txn %s: exit code %d, stderr %q", args, r.code, r.stderr)
		}
	}
}

func TestAnAbortedTransactionIsFenced(t *testing.T) {
	useBroker(t)
	ok(t, "", "topic", "create", "orders")
	client := openTransaction(t, "billing-1", "orders")
	ok(t, "after\n", "produce", "orders")
	if got := ok(t, "", "consume", "orders", "-e"); got != "" {
		t.Errorf("read past an open transaction: %q", got)
	}
	if got := ok(t, "", "txn", "producers", "orders", "--open", "--no-headers"); strings.Count(got, "\n") != 1 {
		t.Errorf("open producers:\n%s", got)
	}
	if r := cli(t, "", "txn", "abort", "billing-1"); r.code != 2 || !strings.Contains(r.stderr, "--yes") {
		t.Errorf("without --yes: exit code %d, stderr %q", r.code, r.stderr)
	}
	if got := ok(t, "", "txn", "abort", "billing-1", "--dry-run", "--no-headers"); !strings.Contains(got, "would be aborted") {
		t.Errorf("--dry-run: %q", got)
	}
	if got := ok(t, "", "txn", "abort", "billing-1", "--yes", "--no-headers"); got != "billing-1  aborted\n" {
		t.Errorf("txn abort: %q", got)
	}
	if got := ok(t, "", "consume", "orders", "-e"); got != "after\n" {
		t.Errorf("after the abort: %q", got)
	}
	if err := client.EndTransaction(t.Context(), kgo.TryCommit); err == nil {
		t.Error("the fenced producer has committed")
	}
	if got := ok(t, "", "txn", "abort", "billing-1", "--yes", "--no-headers"); got != "billing-1  nothing was open\n" {
		t.Errorf("txn abort again: %q", got)
	}
	if r := cli(t, "", "txn", "abort", "nobody", "--yes"); r.code != 1 || !strings.Contains(r.stderr, `unknown transactional id "nobody"`) {
		t.Errorf("exit code %d, stderr %q", r.code, r.stderr)
	}
}

// A broker that does not verify, as Kafka's before 3.6, takes batches of a transaction that no coordinator knows of.
func TestATransactionThatNobodyEndsIsAbortedByItsProducer(t *testing.T) {
	useBrokerWith(t, map[string]string{"transaction.partition.verification.enable": "false"})
	ok(t, "", "topic", "create", "orders", "-p", "2")
	const producer = 4021
	produceHanging(t, "orders", 1, producer)
	owned := openTransaction(t, "billing-1", "orders")
	var list partitionProducers
	if err := json.Unmarshal([]byte(ok(t, "", "txn", "producers", "orders:1", "--open", "--format", "json")), &list); err != nil || len(list.Producers) != 1 ||
		list.Producers[0].ProducerID != producer || *list.Producers[0].OpenSinceOffset != 0 {
		t.Fatalf("%v %+v", err, list)
	}
	id, _, err := owned.ProducerID(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r := cli(t, "", "txn", "abort", "--topic", "orders:0", "--producer", number(id), "--yes")
	if r.code != 1 || !strings.Contains(r.stderr, `belongs to transactional id "billing-1", which is Ongoing: use txn abort billing-1`) {
		t.Errorf("exit code %d, stderr %q", r.code, r.stderr)
	}
	if r := cli(t, "", "txn", "abort", "--topic", "orders:0", "--producer", number(int64(producer)), "--yes"); r.code != 1 || !strings.Contains(r.stderr, "has no open transaction there") {
		t.Errorf("exit code %d, stderr %q", r.code, r.stderr)
	}
	if got := ok(t, "", "txn", "abort", "--topic", "orders", "--producer", number(int64(producer)), "--yes", "--no-headers"); got != "orders:1  aborted from offset 0 on\n" {
		t.Errorf("txn abort: %q", got)
	}
	ok(t, "after\n", "produce", "orders", "-p", "1")
	if got := ok(t, "", "consume", "orders", "-p", "1", "-e"); got != "after\n" {
		t.Errorf("after the abort: %q", got)
	}
}

// produceHanging writes a batch in a transaction of a producer that no transactional id has.
func produceHanging(t *testing.T, topic string, partition int32, producer int64) {
	t.Helper()
	builder := record.NewBuilder(record.Options{Producer: &record.Producer{ID: producer}, Transactional: true})
	builder.Add(time.Now().UnixMilli(), nil, []byte("hanging"))
	batch, err := builder.Build()
	if err != nil {
		t.Fatal(err)
	}
	request := kmsg.NewPtrProduceRequest()
	request.Acks, request.TransactionID = -1, kmsg.StringPtr("gone")
	part := kmsg.NewProduceRequestTopicPartition()
	part.Partition, part.Records = partition, batch
	named := kmsg.NewProduceRequestTopic()
	named.Topic, named.Partitions = topic, append(named.Partitions, part)
	request.Topics = append(request.Topics, named)
	client, err := kgo.NewClient(kgo.SeedBrokers(os.Getenv("MILLRACE_BROKERS")), kgo.MaxVersions(kversion.V3_8_0()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	response, err := request.RequestWith(t.Context(), client)
	if err != nil {
		t.Fatal(err)
	}
	if err := kerr.ErrorForCode(response.Topics[0].Partitions[0].ErrorCode); err != nil {
		t.Fatal(err)
	}
}
