package broker

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestNamesOfKafkaExporterAreServedOnRequest(t *testing.T) {
	b := startBroker(t, Options{HTTP: "127.0.0.1:0"}, nil)
	createTopic(t, b, "clicks", 2)
	c := dial(t, b)
	c.ask(produceRequest("clicks", -1, batchOf(t, "a", "b", "c")))
	commit(t, c, "clicks", 1)
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(&kafkaExporter{newCollector(b)})
	err := testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP kafka_brokers Number of Brokers in the Kafka Cluster.
# TYPE kafka_brokers gauge
kafka_brokers 1
# HELP kafka_consumergroup_current_offset Current Offset of a ConsumerGroup at Topic/Partition
# TYPE kafka_consumergroup_current_offset gauge
kafka_consumergroup_current_offset{consumergroup="g",partition="0",topic="clicks"} 1
# HELP kafka_consumergroup_current_offset_sum Current Offset of a ConsumerGroup at Topic for all partitions
# TYPE kafka_consumergroup_current_offset_sum gauge
kafka_consumergroup_current_offset_sum{consumergroup="g",topic="clicks"} 1
# HELP kafka_consumergroup_lag Current Approximate Lag of a ConsumerGroup at Topic/Partition
# TYPE kafka_consumergroup_lag gauge
kafka_consumergroup_lag{consumergroup="g",partition="0",topic="clicks"} 2
# HELP kafka_consumergroup_lag_sum Current Approximate Lag of a ConsumerGroup at Topic for all partitions
# TYPE kafka_consumergroup_lag_sum gauge
kafka_consumergroup_lag_sum{consumergroup="g",topic="clicks"} 2
# HELP kafka_consumergroup_members Amount of members in a consumer group
# TYPE kafka_consumergroup_members gauge
kafka_consumergroup_members{consumergroup="g"} 0
# HELP kafka_topic_partition_current_offset Current Offset of a Broker at Topic/Partition
# TYPE kafka_topic_partition_current_offset gauge
kafka_topic_partition_current_offset{partition="0",topic="clicks"} 3
kafka_topic_partition_current_offset{partition="1",topic="clicks"} 0
# HELP kafka_topic_partition_in_sync_replica Number of In-Sync Replicas for this Topic/Partition
# TYPE kafka_topic_partition_in_sync_replica gauge
kafka_topic_partition_in_sync_replica{partition="0",topic="clicks"} 1
kafka_topic_partition_in_sync_replica{partition="1",topic="clicks"} 1
# HELP kafka_topic_partition_leader Leader Broker ID of this Topic/Partition
# TYPE kafka_topic_partition_leader gauge
kafka_topic_partition_leader{partition="0",topic="clicks"} 1
kafka_topic_partition_leader{partition="1",topic="clicks"} 1
# HELP kafka_topic_partition_leader_is_preferred 1 if Topic/Partition is using the Preferred Broker
# TYPE kafka_topic_partition_leader_is_preferred gauge
kafka_topic_partition_leader_is_preferred{partition="0",topic="clicks"} 1
kafka_topic_partition_leader_is_preferred{partition="1",topic="clicks"} 1
# HELP kafka_topic_partition_oldest_offset Oldest Offset of a Broker at Topic/Partition
# TYPE kafka_topic_partition_oldest_offset gauge
kafka_topic_partition_oldest_offset{partition="0",topic="clicks"} 0
kafka_topic_partition_oldest_offset{partition="1",topic="clicks"} 0
# HELP kafka_topic_partition_replicas Number of Replicas for this Topic/Partition
# TYPE kafka_topic_partition_replicas gauge
kafka_topic_partition_replicas{partition="0",topic="clicks"} 1
kafka_topic_partition_replicas{partition="1",topic="clicks"} 1
# HELP kafka_topic_partition_under_replicated_partition 1 if Topic/Partition is under Replicated
# TYPE kafka_topic_partition_under_replicated_partition gauge
kafka_topic_partition_under_replicated_partition{partition="0",topic="clicks"} 0
kafka_topic_partition_under_replicated_partition{partition="1",topic="clicks"} 0
# HELP kafka_topic_partitions Number of partitions for this Topic
# TYPE kafka_topic_partitions gauge
kafka_topic_partitions{topic="clicks"} 2
`), "kafka_brokers", "kafka_consumergroup_current_offset", "kafka_consumergroup_current_offset_sum", "kafka_consumergroup_lag",
		"kafka_consumergroup_lag_sum", "kafka_consumergroup_members", "kafka_topic_partition_current_offset",
		"kafka_topic_partition_in_sync_replica", "kafka_topic_partition_leader", "kafka_topic_partition_leader_is_preferred",
		"kafka_topic_partition_oldest_offset", "kafka_topic_partition_replicas",
		"kafka_topic_partition_under_replicated_partition", "kafka_topic_partitions")
	if err != nil {
		t.Error(err)
	}
	for query, want := range map[string]bool{"": false, "?compat=none": false, "?compat=kafka_exporter": true} {
		status, body := get(t, b, "/metrics"+query)
		if status != http.StatusOK || strings.Contains(body, "kafka_consumergroup_lag_sum") != want || !strings.Contains(body, "millrace_ready 1") {
			t.Errorf("%q: status %d, other names wanted: %v", query, status, want)
		}
	}
	if status, body := get(t, b, "/metrics?compat=jmx"); status != http.StatusBadRequest || !strings.Contains(body, "jmx") {
		t.Errorf("unknown: %d %s", status, body)
	}
}

func TestNamesOfKafkaExporterBySetting(t *testing.T) {
	b := startBroker(t, Options{HTTP: "127.0.0.1:0", Config: map[string]string{"millrace.metrics.compat": "kafka_exporter"}}, nil)
	if _, body := get(t, b, "/metrics"); !strings.Contains(body, "kafka_brokers 1") {
		t.Error("the setting has no effect")
	}
	if _, body := get(t, b, "/metrics?compat=none"); strings.Contains(body, "kafka_brokers") {
		t.Error("the query does not win")
	}
}

func TestMetricsInTheFormatThatIsAskedFor(t *testing.T) {
	b := startBroker(t, Options{HTTP: "127.0.0.1:0"}, nil)
	dial(t, b).ask(kmsg.NewPtrApiVersionsRequest())
	for accept, want := range map[string]string{
		"":                             "text/plain",
		"application/openmetrics-text": "application/openmetrics-text",
		"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited": "application/vnd.google.protobuf",
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+b.HTTPAddr().String()+"/metrics", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Accept", accept)
		response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(request)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if got := response.Header.Get("Content-Type"); err != nil || !strings.HasPrefix(got, want) {
			t.Errorf("%q is answered in %q, %v", accept, got, err)
		}
		if want == "application/openmetrics-text" && !strings.HasSuffix(string(body), "# EOF\n") {
			t.Error("OpenMetrics has no end")
		}
		for _, name := range []string{"go_goroutines", "millrace_requests"} {
			if !strings.Contains(string(body), name) {
				t.Errorf("%q: no %s", accept, name)
			}
		}
	}
}

func TestVersionPage(t *testing.T) {
	b := startBroker(t, Options{HTTP: "127.0.0.1:0"}, nil)
	status, body := get(t, b, "/version")
	var answer struct{ Version, Revision, GoVersion string }
	if err := json.Unmarshal([]byte(body), &answer); err != nil || status != http.StatusOK ||
		answer.Version == "" || !strings.HasPrefix(answer.GoVersion, "go1.") {
		t.Errorf("%d %s %v", status, body, err)
	}
}

func TestDebugPagesAreServedWhenAskedFor(t *testing.T) {
	pages := []string{"/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/goroutine?debug=1", "/debug/pprof/profile?seconds=1", "/debug/flight"}
	without := startBroker(t, Options{HTTP: "127.0.0.1:0"}, nil)
	for _, page := range pages {
		if status, _ := get(t, without, page); status != http.StatusNotFound {
			t.Errorf("%s without Debug: %d", page, status)
		}
	}
	b := startBroker(t, Options{HTTP: "127.0.0.1:0", Debug: true}, nil)
	for _, page := range pages {
		if status, body := get(t, b, page); status != http.StatusOK || body == "" {
			t.Errorf("%s: %d, %d bytes", page, status, len(body))
		}
	}
	if status, _ := get(t, b, "/debug/pprof/nonsense"); status != http.StatusNotFound {
		t.Errorf("unknown profile: %d", status)
	}
}

// A process has one flight recorder: the second broker says so and serves its other pages.
func TestSecondBrokerHasNoFlightRecorder(t *testing.T) {
	startBroker(t, Options{HTTP: "127.0.0.1:0", Debug: true}, nil)
	second := startBroker(t, Options{HTTP: "127.0.0.1:0", Debug: true}, nil)
	if status, body := get(t, second, "/debug/flight"); status != http.StatusConflict || !strings.Contains(body, "another broker") {
		t.Errorf("%d %s", status, body)
	}
	if status, _ := get(t, second, "/debug/pprof/heap"); status != http.StatusOK {
		t.Errorf("heap: %d", status)
	}
}
