package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// kafkaTools is a process that runs the tools of Apache Kafka, one after the other.
type kafkaTools struct {
	t       *testing.T
	broker  string
	in      io.Writer
	out     *bufio.Reader
	results []featureResult
}

func startKafkaTools(t *testing.T, broker string) *kafkaTools {
	t.Helper()
	java := foreign{name: "kafka-tools", program: javaProgram("Tools")}.command(t)
	in, err := java.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := java.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := java.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = java.Process.Kill()
		_ = java.Wait()
	})
	return &kafkaTools{t: t, broker: broker, in: in, out: bufio.NewReader(out)}
}

// toolRun is one call of a tool and what it must say.
type toolRun struct {
	tool      string // as its script is called
	arguments string // without the broker's address
	input     string // words that are lines of standard input
	fails     bool   // it must end with another code than 0
	says      []string
}

// toolClasses are the main classes behind Kafka's scripts, and how each is told of the broker.
var toolClasses = map[string][2]string{
	"kafka-acls":                {"org.apache.kafka.tools.AclCommand", "--bootstrap-server"},
	"kafka-broker-api-versions": {"org.apache.kafka.tools.BrokerApiVersionsCommand", "--bootstrap-server"},
	"kafka-cluster":             {"org.apache.kafka.tools.ClusterTool", "--bootstrap-server"},
	"kafka-configs":             {"kafka.admin.ConfigCommand", "--bootstrap-server"},
	"kafka-console-consumer":    {"org.apache.kafka.tools.consumer.ConsoleConsumer", "--bootstrap-server"},
	"kafka-console-producer":    {"org.apache.kafka.tools.ConsoleProducer", "--bootstrap-server"},
	"kafka-consumer-groups":     {"org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", "--bootstrap-server"},
	"kafka-consumer-perf-test":  {"org.apache.kafka.tools.ConsumerPerformance", "--bootstrap-server"},
	"kafka-delete-records":      {"org.apache.kafka.tools.DeleteRecordsCommand", "--bootstrap-server"},
	"kafka-features":            {"org.apache.kafka.tools.FeatureCommand", "--bootstrap-server"},
	"kafka-get-offsets":         {"org.apache.kafka.tools.GetOffsetShell", "--bootstrap-server"},
	"kafka-groups":              {"org.apache.kafka.tools.GroupsCommand", "--bootstrap-server"},
	"kafka-leader-election":     {"org.apache.kafka.tools.LeaderElectionCommand", "--bootstrap-server"},
	"kafka-log-dirs":            {"org.apache.kafka.tools.LogDirsCommand", "--bootstrap-server"},
	"kafka-metadata-quorum":     {"org.apache.kafka.tools.MetadataQuorumCommand", "--bootstrap-server"},
	"kafka-producer-perf-test":  {"org.apache.kafka.tools.ProducerPerformance", "--bootstrap-server"},
	"kafka-reassign-partitions": {"org.apache.kafka.tools.reassign.ReassignPartitionsCommand", "--bootstrap-server"},
	"kafka-topics":              {"org.apache.kafka.tools.TopicCommand", "--bootstrap-server"},
	"kafka-transactions":        {"org.apache.kafka.tools.TransactionsCommand", "--bootstrap-server"},
}

// TestKafkaTools runs Apache Kafka's own tools, and reads what they print.
func TestKafkaTools(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-X", "group.initial.rebalance.delay.ms=0")
	s.keepLedger()
	k := startKafkaTools(t, s.addr)
	for _, run := range toolRuns(t, s) {
		t.Run(run.tool+" "+run.arguments, func(t *testing.T) { k.try(t, run) })
	}
	if !t.Failed() {
		hold(t, clientResults{Client: "kafka-tools", Version: kafkaVersion(t), Features: k.results})
	}
}

// kafkaVersion is that of the jars.
func kafkaVersion(t *testing.T) string {
	t.Helper()
	pom, err := os.ReadFile("clients/java/pom.xml")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`<artifactId>kafka-tools</artifactId>\s*<version>(.*)</version>`).FindSubmatch(pom)
	if found == nil {
		t.Fatal("no version of kafka-tools in the pom")
	}
	return string(found[1])
}

// try makes one run and checks it. Its feature is the tool with the first of its arguments.
func (k *kafkaTools) try(t *testing.T, run toolRun) {
	t.Helper()
	class := toolClasses[run.tool]
	words := strings.Fields(run.arguments)
	arguments := append([]string{class[1], k.broker}, words...)
	if run.tool == "kafka-cluster" { // the only one that wants its subcommand first
		arguments = append(append([]string{}, words...), class[1], k.broker)
	}
	if _, err := fmt.Fprintln(k.in, strings.Join(append([]string{class[0], run.input}, arguments...), "\t")); err != nil {
		t.Fatal(err)
	}
	code, said := k.answer(t)
	t.Logf("exit %d\n%s", code, said)
	if run.fails != (code != 0) {
		t.Errorf("exit code %d", code)
	}
	for _, want := range run.says {
		if !regexp.MustCompile("(?m)" + want).MatchString(said) {
			t.Errorf("it does not say %q:\n%s", want, said)
		}
	}
	if !t.Failed() {
		k.note(run, words)
	}
}

// note adds a feature once: the tool with its verb.
func (k *kafkaTools) note(run toolRun, words []string) {
	verb := ""
	for _, word := range words {
		switch strings.TrimLeft(word, "-") {
		case "describe-producers", "find-hanging", "abort", "forceTerminateTransaction", "upgrade", "downgrade", "create", "list", "describe", "alter", "delete", "reset-offsets", "verify", "execute", "unregister", "cluster-id", "topics", "brokers", "clients":
			verb += " " + strings.TrimLeft(word, "-")
		}
	}
	feature := featureResult{Feature: run.tool + verb, Result: "ok"}
	if run.fails {
		feature.Feature += ", refused"
	}
	for _, known := range k.results {
		if known == feature {
			return
		}
	}
	k.results = append(k.results, feature)
}

// answer reads what a tool wrote, and its exit code.
func (k *kafkaTools) answer(t *testing.T) (code int, said string) {
	t.Helper()
	line, err := k.out.ReadString('\n')
	if err != nil {
		t.Fatalf("the tools ended: %v", err)
	}
	first, second, _ := strings.Cut(strings.TrimSpace(line), " ")
	code, err = strconv.Atoi(first)
	if err != nil {
		t.Fatal(err)
	}
	length, err := strconv.Atoi(second)
	if err != nil {
		t.Fatal(err)
	}
	bytes := make([]byte, length)
	if _, err := io.ReadFull(k.out, bytes); err != nil {
		t.Fatal(err)
	}
	return code, string(bytes)
}

// keepLedger commits a transaction and leaves another open, and one elsewhere.
func (s *server) keepLedger() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, ledger := range []struct {
		id, topic string
		entries   []string
		commit    bool
	}{
		{"books", "ledger", []string{"debit", "credit", "fee"}, true},
		{"books", "ledger", []string{"open debit", "open credit"}, false},
		{"other books", "other", []string{"open"}, false},
	} {
		client := s.client(kgo.TransactionalID(ledger.id), kgo.DefaultProduceTopic(ledger.topic), kgo.AllowAutoTopicCreation(), kgo.TransactionTimeout(10*time.Minute))
		records := make([]*kgo.Record, len(ledger.entries))
		for i, entry := range ledger.entries {
			records[i] = kgo.StringRecord(entry)
		}
		// see (*transactions).end for the last of them
		if err := errors.Join(client.BeginTransaction(), client.ProduceSync(ctx, records...).FirstErr(), client.AbortBufferedRecords(ctx)); err != nil {
			s.t.Fatal(err)
		}
		if !ledger.commit {
			continue // it stays open, for the tools to find
		}
		if err := client.EndTransaction(ctx, kgo.TryCommit); err != nil {
			s.t.Fatal(err)
		}
	}
}

func toolRuns(t *testing.T, s *server) []toolRun {
	t.Helper()
	file := func(name, text string) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	trim := file("trim.json", `{"version":1,"partitions":[{"topic":"clicks","partition":0,"offset":1}]}`)
	stay := file("stay.json", `{"version":1,"partitions":[{"topic":"clicks","partition":0,"replicas":[1]}]}`)
	move := file("move.json", `{"version":1,"partitions":[{"topic":"clicks","partition":0,"replicas":[2]}]}`)
	return []toolRun{
		{tool: "kafka-topics", arguments: "--create --topic clicks --partitions 2 --replication-factor 1 --config retention.ms=1234567", says: []string{`^Created topic clicks\.$`}},
		{tool: "kafka-topics", arguments: "--create --topic clicks", fails: true, says: []string{`topic exists: "clicks"`}},
		{tool: "kafka-topics", arguments: "--create --topic three --replication-factor 3", fails: true, says: []string{`invalid replication factor: 3 replicas with 1 broker`}},
		{tool: "kafka-topics", arguments: "--list", says: []string{`^clicks$`}},
		{tool: "kafka-topics", arguments: "--alter --topic clicks --partitions 3"},
		{tool: "kafka-topics", arguments: "--describe --topic clicks", says: []string{`PartitionCount: 3`, `ReplicationFactor: 1`, `retention\.ms=1234567`, `Partition: 2\s+Leader: 1\s+Replicas: 1\s+Isr: 1`}},
		{tool: "kafka-topics", arguments: "--describe --under-replicated-partitions"},
		{tool: "kafka-console-producer", arguments: "--topic one", input: "a b c"},
		{tool: "kafka-console-producer", arguments: "--topic clicks --property parse.key=true --property key.separator=:", input: "k1:a k2:b k3:c k1:d k2:e k3:f"},
		{tool: "kafka-console-consumer", arguments: "--topic one --from-beginning --max-messages 3 --timeout-ms 60000", says: []string{`^a\nb\nc$`, `Processed a total of 3 messages`}},
		{tool: "kafka-console-consumer", arguments: "--topic clicks --group readers --from-beginning --max-messages 6 --timeout-ms 60000", says: []string{`Processed a total of 6 messages`}},
		{tool: "kafka-get-offsets", arguments: "--topic one", says: []string{`^one:0:3$`}},
		{tool: "kafka-get-offsets", arguments: "--topic one --time -2", says: []string{`^one:0:0$`}},
		{tool: "kafka-get-offsets", arguments: "--topic one --time -3", says: []string{`^one:0:\d$`}},
		{tool: "kafka-get-offsets", arguments: "--topic one --time 1", says: []string{`^one:0:0$`}},
		{tool: "kafka-consumer-groups", arguments: "--list", says: []string{`^readers$`}},
		{tool: "kafka-consumer-groups", arguments: "--describe --group readers", says: []string{`no active members`, `readers\s+clicks\s+\d\s+(\d)\s+\d\s+0\s`}},
		{tool: "kafka-consumer-groups", arguments: "--describe --group readers --state", says: []string{`readers.*Empty`}},
		{tool: "kafka-consumer-groups", arguments: "--reset-offsets --group readers --topic clicks --to-earliest --execute", says: []string{`readers\s+clicks\s+\d\s+0`}},
		{tool: "kafka-consumer-groups", arguments: "--delete-offsets --group readers --topic clicks", says: []string{`clicks\s+\d\s+Successful`}},
		{tool: "kafka-consumer-groups", arguments: "--delete --group readers", says: []string{`Deletion of requested consumer groups \('readers'\) was successful`}},
		{tool: "kafka-consumer-groups", arguments: "--describe --group nobody", says: []string{`Group nobody not found`}},
		{tool: "kafka-groups", arguments: "--list"},
		{tool: "kafka-delete-records", arguments: "--offset-json-file " + trim, says: []string{`partition: clicks-0\s+low_watermark: 1`}},
		{tool: "kafka-configs", arguments: "--describe --entity-type topics --entity-name clicks", says: []string{`retention\.ms=1234567 `}},
		{tool: "kafka-configs", arguments: "--alter --entity-type topics --entity-name clicks --add-config segment.bytes=1048576,cleanup.policy=[delete,compact]", says: []string{`Completed updating config for topic clicks`}},
		{tool: "kafka-configs", arguments: "--describe --entity-type topics --entity-name clicks --all", says: []string{`segment\.bytes=1048576 .*DYNAMIC_TOPIC_CONFIG`, `cleanup\.policy=delete,compact`}},
		{tool: "kafka-configs", arguments: "--alter --entity-type topics --entity-name clicks --delete-config segment.bytes,cleanup.policy"},
		{tool: "kafka-configs", arguments: "--alter --entity-type topics --entity-name clicks --add-config retention.ms=soon", fails: true, says: []string{`retention\.ms`}},
		{tool: "kafka-configs", arguments: "--describe --entity-type brokers --entity-name 1 --all", says: []string{`log\.segment\.bytes=1073741824`}},
		{tool: "kafka-configs", arguments: "--alter --entity-type brokers --entity-name 1 --add-config message.max.bytes=2000000", says: []string{`Completed updating config for broker 1`}},
		{tool: "kafka-configs", arguments: "--describe --entity-type brokers --entity-name 1", says: []string{`message\.max\.bytes=2000000 `}},
		{tool: "kafka-configs", arguments: "--alter --entity-type clients --entity-name app --add-config producer_byte_rate=1000000", says: []string{`Completed updating config for client app`}},
		{tool: "kafka-configs", arguments: "--describe --entity-type clients --entity-name app", says: []string{`Quota configs for client-id 'app' are producer_byte_rate=1000000\.0`}},
		{tool: "kafka-log-dirs", arguments: "--describe --topic-list clicks", says: []string{`"partition":"clicks-0"`, `"error":null`}},
		{tool: "kafka-broker-api-versions", arguments: "", says: []string{`\(id: 1 rack: null.*\) -> \(`, `Produce\(0\): 0 to 13`, `Fetch\(1\): 4 to 1\d \[usable: `}},
		{tool: "kafka-cluster", arguments: "cluster-id", says: []string{`Cluster ID: \S{22}`}},
		{tool: "kafka-cluster", arguments: "unregister --id 2", fails: true, says: []string{`2`}},
		{tool: "kafka-metadata-quorum", arguments: "describe --status", says: []string{`LeaderId:\s+1`, `HighWatermark:\s+\d+`}},
		{tool: "kafka-metadata-quorum", arguments: "describe --replication", says: []string{`^1\s+\S+\s+\d+\s+0\s.*Leader`}},
		{tool: "kafka-features", arguments: "describe", says: []string{`Feature: transaction\.version\s+SupportedMinVersion: 0\s+SupportedMaxVersion: 2\s+FinalizedVersionLevel: 2\s`}},
		{tool: "kafka-features", arguments: "downgrade --feature transaction.version=1", says: []string{`^transaction\.version was downgraded to 1\.$`}},
		{tool: "kafka-features", arguments: "upgrade --feature transaction.version=2", says: []string{`^transaction\.version was upgraded to 2\.$`}},
		{tool: "kafka-features", arguments: "upgrade --feature transaction.version=3", fails: true, says: []string{`(?i)could not upgrade transaction\.version to 3`}},
		{tool: "kafka-leader-election", arguments: "--election-type preferred --topic one --partition 0", says: []string{`Valid replica already elected for partitions one-0`}},
		{tool: "kafka-reassign-partitions", arguments: "--verify --reassignment-json-file " + stay, says: []string{`Reassignment of partition clicks-0 is completed`}},
		{tool: "kafka-reassign-partitions", arguments: "--list", says: []string{`No partition reassignments found`}},
		{tool: "kafka-reassign-partitions", arguments: "--execute --reassignment-json-file " + move, fails: true, says: []string{`2`}},
		{tool: "kafka-acls", arguments: "--list", fails: true, says: []string{`No Authorizer is configured`}},
		{tool: "kafka-console-consumer", arguments: "--topic ledger --from-beginning --isolation-level read_committed --timeout-ms 60000 --max-messages 3", says: []string{`^debit\ncredit\nfee$`}},
		{tool: "kafka-console-consumer", arguments: "--topic ledger --from-beginning --isolation-level read_uncommitted --timeout-ms 60000 --max-messages 5", says: []string{`^fee\nopen debit\nopen credit$`}},
		{tool: "kafka-transactions", arguments: "list", says: []string{`^TransactionalId`, `^books\s+1\s+\d+\s+Ongoing`, `^other books\s+1\s+\d+\s+Ongoing`}},
		{tool: "kafka-transactions", arguments: "describe --transactional-id books", says: []string{`^1\s+books\s+\d+\s+\d+\s+Ongoing\s+600000\s+.*ledger-0`}},
		{tool: "kafka-transactions", arguments: "describe --transactional-id nobody", fails: true, says: []string{`(?i)transactional ?id`}},
		{tool: "kafka-transactions", arguments: "describe-producers --topic ledger --partition 0", says: []string{`^\d+\s+\d+\s+-?\d+\s+\d+\s+\d+\s+4\s*$`}},
		{tool: "kafka-transactions", arguments: "find-hanging --broker-id 1", says: []string{`^Topic\s+Partition\s+ProducerId`}},
		{tool: "kafka-transactions", arguments: "forceTerminateTransaction --transactionalId books"},
		{tool: "kafka-transactions", arguments: "describe --transactional-id books", says: []string{`^1\s+books\s+\d+\s+\d+\s+Empty\s`}},
		{tool: "kafka-transactions", arguments: "abort --topic other --partition 0 --start-offset 0"},
		{tool: "kafka-transactions", arguments: "abort --topic other --partition 0 --start-offset 7", fails: true, says: []string{`(?i)could not find`}},
		{tool: "kafka-transactions", arguments: "describe-producers --topic other --partition 0", says: []string{`^\d+\s+\d+\s+-?\d+\s+\d+\s+\d+\s+None\s*$`}},
		{tool: "kafka-transactions", arguments: "describe-producers --topic one --partition 0", says: []string{`ProducerId\s+ProducerEpoch`, `^\d+\s+0\s+-1\s+2\s`}},
		{tool: "kafka-producer-perf-test", arguments: "--topic perf --num-records 2000 --record-size 100 --throughput -1", says: []string{`2000 records sent`}},
		{tool: "kafka-consumer-perf-test", arguments: "--topic perf --num-records 2000 --timeout 60000", says: []string{`, 2\d\d\d, `}},
		{tool: "kafka-topics", arguments: "--delete --topic clicks"},
		{tool: "kafka-topics", arguments: "--describe --topic clicks", fails: true, says: []string{`Topic 'clicks' does not exist`}},
	}
}
