package main

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/broker"
	"github.com/millrace/millrace/internal/freeport"
)

// imageFile is the file of millrace's own image.
const imageFile = "listeners: INTERNAL://0.0.0.0:29092,EXTERNAL://0.0.0.0:9092\nadvertised.listeners: EXTERNAL://localhost:9092\n"

// planWith plans a start in the image with these variables, and makes sure that a broker takes it.
func planWith(t *testing.T, file string, variables map[string]string, args ...string) (*servePlan, error) {
	t.Helper()
	if file != "" {
		name := filepath.Join(t.TempDir(), "millrace.yaml")
		if err := os.WriteFile(name, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "-c", name)
	}
	environ := []string{"MILLRACE_DATA_DIR=/var/lib/millrace"}
	for _, name := range slices.Sorted(maps.Keys(variables)) {
		environ = append(environ, name+"="+variables[name])
	}
	plan, err := planOf(t, environ, args...)
	if err != nil {
		return nil, err
	}
	_, err = broker.New(plan.options)
	return plan, err
}

// The variables are those that single-node compose files for Kafka's and Confluent's images have.
func TestComposeFilesMadeForKafkaStart(t *testing.T) {
	apache := map[string]string{
		"KAFKA_NODE_ID": "1", "KAFKA_PROCESS_ROLES": "broker,controller", "CLUSTER_ID": "4L6g3nShT-eMCtK--X86sw",
		"KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,PLAINTEXT_HOST:PLAINTEXT",
		"KAFKA_ADVERTISED_LISTENERS":           "PLAINTEXT_HOST://localhost:9092,PLAINTEXT://broker:19092",
		"KAFKA_LISTENERS":                      "CONTROLLER://:29093,PLAINTEXT_HOST://:9092,PLAINTEXT://:19092",
		"KAFKA_INTER_BROKER_LISTENER_NAME":     "PLAINTEXT", "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
		"KAFKA_CONTROLLER_QUORUM_VOTERS": "1@broker:29093", "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
		"KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0", "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
		"KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR":         "1",
		"KAFKA_SHARE_COORDINATOR_STATE_TOPIC_REPLICATION_FACTOR": "1", "KAFKA_SHARE_COORDINATOR_STATE_TOPIC_MIN_ISR": "1",
		"KAFKA_LOG_DIRS": "/tmp/kraft-combined-logs", "KAFKA_HEAP_OPTS": "-Xmx1g", "KAFKA_OPTS": "-Dx=y",
	}
	confluent := map[string]string{
		"KAFKA_BROKER_ID": "1", "KAFKA_ZOOKEEPER_CONNECT": "zookeeper:2181",
		"KAFKA_LISTENER_SECURITY_PROTOCOL_MAP":             "PLAINTEXT:PLAINTEXT,PLAINTEXT_HOST:PLAINTEXT",
		"KAFKA_ADVERTISED_LISTENERS":                       "PLAINTEXT://broker:29092,PLAINTEXT_HOST://localhost:9092",
		"KAFKA_METRIC_REPORTERS":                           "io.confluent.metrics.reporter.ConfluentMetricsReporter",
		"KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR":           "1",
		"KAFKA_CONFLUENT_LICENSE_TOPIC_REPLICATION_FACTOR": "1", "KAFKA_CONFLUENT_BALANCER_TOPIC_REPLICATION_FACTOR": "1",
		"KAFKA_CONFLUENT_SCHEMA_REGISTRY_URL": "http://schema-registry:8081",
		"KAFKA_JMX_PORT":                      "9101", "KAFKA_JMX_HOSTNAME": "localhost", "CONFLUENT_METRICS_ENABLE": "true",
	}
	confluentKRaft := maps.Clone(apache)
	maps.Copy(confluentKRaft, map[string]string{
		"KAFKA_LISTENERS":            "PLAINTEXT://broker:29092,CONTROLLER://broker:29093,PLAINTEXT_HOST://0.0.0.0:9092",
		"KAFKA_ADVERTISED_LISTENERS": "PLAINTEXT://broker:29092,PLAINTEXT_HOST://localhost:9092",
	})
	for name, test := range map[string]struct {
		variables map[string]string
		listeners string
	}{
		"apache":          {apache, apache["KAFKA_LISTENERS"]},
		"confluent":       {confluent, "PLAINTEXT://0.0.0.0:29092,PLAINTEXT_HOST://0.0.0.0:9092"},
		"confluent KRaft": {confluentKRaft, confluentKRaft["KAFKA_LISTENERS"]},
	} {
		for _, file := range []string{"", imageFile} {
			plan, err := planWith(t, file, test.variables)
			if err != nil {
				t.Errorf("%s, file %q: %v", name, file, err)
				continue
			}
			if got := plan.options.Config["listeners"]; got != test.listeners {
				t.Errorf("%s, file %q: listeners %s, want %s", name, file, got, test.listeners)
			}
			if got := plan.options.DataDir; got != "/var/lib/millrace" {
				t.Errorf("%s: data in %s", name, got)
			}
		}
	}
}

func TestListenersAndAdvertisedAddressesOfDifferentSources(t *testing.T) {
	for _, test := range []struct {
		variables             map[string]string
		args                  []string
		listeners, advertised string
	}{
		{nil, nil, "INTERNAL://0.0.0.0:29092,EXTERNAL://0.0.0.0:9092", "EXTERNAL://localhost:9092"},
		{map[string]string{"KAFKA_ADVERTISED_LISTENERS": "EXTERNAL://public:31000"}, nil,
			"INTERNAL://0.0.0.0:29092,EXTERNAL://0.0.0.0:9092", "EXTERNAL://public:31000"},
		{map[string]string{"KAFKA_LISTENERS": "PLAINTEXT://:9092"}, nil, "PLAINTEXT://:9092", ""},
		{map[string]string{"KAFKA_LISTENERS": "EXTERNAL://:9092"}, nil, "EXTERNAL://:9092", "EXTERNAL://localhost:9092"},
		{nil, []string{"-X", "listeners=EXTERNAL://:1,OTHER://:2"}, "EXTERNAL://:1,OTHER://:2", "EXTERNAL://localhost:9092"},
		{map[string]string{"KAFKA_ADVERTISED_LISTENERS": "A://a:1"}, []string{"-X", "listeners=A://:9"}, "A://:9", "A://a:1"},
		{nil, []string{"--listen", "127.0.0.1:0"}, "", "EXTERNAL://localhost:9092"},
	} {
		plan, err := planWith(t, imageFile, test.variables, test.args...)
		if err != nil {
			t.Errorf("%v %v: %v", test.variables, test.args, err)
			continue
		}
		config := plan.options.Config
		if config["listeners"] != test.listeners || config["advertised.listeners"] != test.advertised {
			t.Errorf("%v %v: listeners %s, advertised %s", test.variables, test.args, config["listeners"], config["advertised.listeners"])
		}
	}
	_, err := planWith(t, imageFile, map[string]string{"MILLRACE_ADVERTISED_LISTENERS": "OTHER://a:1"})
	if err == nil || !strings.Contains(err.Error(), "there is no listener OTHER; listeners has INTERNAL, EXTERNAL") {
		t.Errorf("an address of no listener: %v", err)
	}
}

func TestServeOnSeveralListeners(t *testing.T) {
	p := start(t, "serve", "--in-memory", "--http", "none", "-X", "listeners=IN://127.0.0.1:0,OUT://127.0.0.1:0", "-X", "advertised.listeners=OUT://127.0.0.1:0")
	addresses := map[string]string{}
	eventually(t, "the banner names both", func() bool {
		for line := range strings.Lines(p.stderr.String()) {
			if fields := strings.Fields(strings.ReplaceAll(line, ",", "")); len(fields) == 5 && fields[0] == bannerKafka {
				addresses[fields[1]], addresses[fields[3]] = fields[2], fields[4]
			}
		}
		return len(addresses) == 2
	})
	for name, address := range addresses {
		if got := ok(t, "", "cluster", "brokers", "-b", address, "--no-headers"); !strings.Contains(got, strings.TrimPrefix(address, "127.0.0.1:")) {
			t.Errorf("clients of %s at %s are told %q", name, address, got)
		}
	}
}

// A broker behind a name that only its clients can resolve creates its topics all the same.
func TestStartTopicsDoNotDependOnTheAdvertisedAddress(t *testing.T) {
	http := freeport.Address(t)
	p := start(t, "serve", "--in-memory", "--http", http, "--topic", "t", "-X", "listeners=A://0.0.0.0:0", "-X", "advertised.listeners=A://nobody.invalid:1")
	eventually(t, "the banner is out", func() bool { return strings.Contains(p.stderr.String(), bannerKafka+"  ") })
	eventually(t, "the broker is ready", func() bool {
		return cli(t, "", "cluster", "health", "--local", "--http", http).code == 0
	})
}
