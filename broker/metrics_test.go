package broker

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/broker/internal/partition"
)

// busyBroker returns a broker that has done a bit of everything, and a registry of its figures.
func busyBroker(t *testing.T, granularity string) (*Broker, *prometheus.Registry) {
	t.Helper()
	b := startBroker(t, Options{Config: map[string]string{
		"millrace.metrics.granularity": granularity, "group.initial.rebalance.delay.ms": "0",
	}}, nil)
	createTopic(t, b, "clicks", 2)
	c := dial(t, b)
	c.expectServed()
	c.ask(produceRequest("clicks", -1, batchOf(t, "a", "b", "c")))
	c.ask(fetchRequest("clicks", 0, 0))
	c.ask(produceRequest("no-such-topic", -1, batchOf(t, "a")))
	c.ask(joinRequest(3, "members", ""))
	commit(t, c, "clicks", 1)
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(newCollector(b))
	return b, registry
}

// openTransaction begins a transaction in partition 0 of a topic.
func openTransaction(t *testing.T, b *Broker, id, topic string) *transactor {
	t.Helper()
	x := newTransactor(t, dial(t, b), id, true)
	x.init()
	x.produce(topic, 0, "undecided")
	return x
}

// commit commits an offset of partition 0 for group g.
func commit(t *testing.T, c *client, topic string, offset int64) {
	t.Helper()
	r := kmsg.NewPtrOffsetCommitRequest()
	r.SetVersion(2)
	r.Group, r.Generation = "g", -1
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	p.Offset = offset
	rt := kmsg.NewOffsetCommitRequestTopic()
	rt.Topic, rt.Partitions = topic, []kmsg.OffsetCommitRequestTopicPartition{p}
	r.Topics = []kmsg.OffsetCommitRequestTopic{rt}
	if code := c.ask(r).(*kmsg.OffsetCommitResponse).Topics[0].Partitions[0].ErrorCode; code != 0 {
		t.Fatalf("commit: error %d", code)
	}
}

// What a busy broker answers and what the table describes are the same, in names, types, labels and help.
func TestScrapeIsWhatTheTableSays(t *testing.T) {
	b, registry := busyBroker(t, granularityPartition)
	openTransaction(t, b, "open", "clicks")
	b.cleaner.stop() // what follows is its part
	topicWith(t, b, "compacted", 1, compactedTopic)
	for c, i := dial(t, b), 0; i < 30; i++ {
		produceKeyed(t, c, "compacted", "value", "a", "b")
	}
	for tried := map[*partition.Partition]bool{}; b.cleaner.cleanOne(t.Context(), tried); {
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	scraped := map[string]Metric{}
	for _, f := range families {
		m := Metric{Name: f.GetName(), Type: strings.ToLower(f.GetType().String()), Help: f.GetHelp()}
		for _, l := range f.Metric[0].Label {
			m.Labels = append(m.Labels, l.GetName())
		}
		scraped[m.Name] = m
	}
	for _, m := range Metrics() {
		got, ok := scraped[m.Name]
		delete(scraped, m.Name)
		m.Labels = slices.Sorted(slices.Values(m.Labels))
		if !ok {
			t.Errorf("%s is in the table, and a broker that has done a bit of everything does not have it", m.Name)
		} else if !reflect.DeepEqual(got, m) {
			t.Errorf("scraped %+v\ntable   %+v", got, m)
		}
	}
	for name := range scraped {
		t.Errorf("%s is not in the table", name)
	}
}

func TestScrapeIsLintClean(t *testing.T) {
	b, registry := busyBroker(t, granularityPartition)
	openTransaction(t, b, "open", "clicks")
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestScrapeTellsWhatHappened(t *testing.T) {
	b, registry := busyBroker(t, granularityPartition)
	size := b.partitions.lookup("clicks", 0).Stats().SizeBytes
	err := testutil.GatherAndCompare(registry, strings.NewReader(fmt.Sprintf(`
# HELP millrace_consumer_group_lag_offsets Offsets between what a group has committed and the high watermark.
# TYPE millrace_consumer_group_lag_offsets gauge
millrace_consumer_group_lag_offsets{group="g",topic="clicks"} 2
# HELP millrace_fetch_bytes_total Bytes of record batches sent to clients.
# TYPE millrace_fetch_bytes_total counter
millrace_fetch_bytes_total{topic="clicks"} %[1]d
# HELP millrace_fetch_records_total Records sent to clients, as the range of their offsets.
# TYPE millrace_fetch_records_total counter
millrace_fetch_records_total{topic="clicks"} 3
# HELP millrace_partition_high_watermark Offset after the last committed record.
# TYPE millrace_partition_high_watermark gauge
millrace_partition_high_watermark{partition="0",topic="clicks"} 3
millrace_partition_high_watermark{partition="1",topic="clicks"} 0
# HELP millrace_produce_bytes_total Bytes of record batches appended for clients.
# TYPE millrace_produce_bytes_total counter
millrace_produce_bytes_total{topic="clicks"} %[1]d
# HELP millrace_produce_records_total Records appended for clients.
# TYPE millrace_produce_records_total counter
millrace_produce_records_total{topic="clicks"} 3
# HELP millrace_request_errors_total Error codes in answers.
# TYPE millrace_request_errors_total counter
millrace_request_errors_total{api="Produce",error="UNKNOWN_TOPIC_OR_PARTITION"} 1
# HELP millrace_requests_total Requests that were answered.
# TYPE millrace_requests_total counter
millrace_requests_total{api="ApiVersions"} 1
millrace_requests_total{api="Fetch"} 1
millrace_requests_total{api="JoinGroup"} 1
millrace_requests_total{api="OffsetCommit"} 1
millrace_requests_total{api="Produce"} 2
# HELP millrace_topic_log_bytes Size of a topic's logs.
# TYPE millrace_topic_log_bytes gauge
millrace_topic_log_bytes{topic="clicks"} %[1]d
`, size)), "millrace_consumer_group_lag_offsets", "millrace_fetch_bytes_total", "millrace_fetch_records_total",
		"millrace_partition_high_watermark", "millrace_produce_bytes_total", "millrace_produce_records_total",
		"millrace_request_errors_total", "millrace_requests_total", "millrace_topic_log_bytes")
	if err != nil {
		t.Error(err)
	}
}

func TestGranularityChoosesTheLabels(t *testing.T) {
	for granularity, want := range map[string]struct{ topics, partitions bool }{
		"broker": {}, "topic": {topics: true}, "partition": {topics: true, partitions: true},
	} {
		_, registry := busyBroker(t, granularity)
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		text := fmt.Sprint(families)
		if got := strings.Contains(text, `"clicks"`); got != want.topics {
			t.Errorf("%s: topics are told apart: %v", granularity, got)
		}
		if got := hasLabel(families, "partition"); got != want.partitions {
			t.Errorf("%s: partitions are told apart: %v", granularity, got)
		}
		if strings.Contains(text, "__consumer_offsets") {
			t.Errorf("%s: internal topics are shown", granularity)
		}
	}
}

func hasLabel(families []*dto.MetricFamily, name string) bool {
	return slices.ContainsFunc(families, func(f *dto.MetricFamily) bool {
		return slices.ContainsFunc(f.Metric[0].Label, func(l *dto.LabelPair) bool { return l.GetName() == name })
	})
}

func TestScrapeTellsWhichPartitionsMayLoseRecords(t *testing.T) {
	b, registry := busyBroker(t, granularityTopic)
	topicWith(t, b, "loose", 3, map[string]string{"flush": "os"})
	committed := len(b.partitions.all()) - 3
	err := testutil.GatherAndCompare(registry, strings.NewReader(fmt.Sprintf(`
# HELP millrace_partitions Partitions by their flush setting. With any but commit, acknowledged records may be lost in a power cut.
# TYPE millrace_partitions gauge
millrace_partitions{flush="commit"} %d
millrace_partitions{flush="interval"} 0
millrace_partitions{flush="os"} 3
`, committed)), "millrace_partitions")
	if err != nil {
		t.Error(err)
	}
}

func TestSeriesVanishWithTheirTopic(t *testing.T) {
	b, registry := busyBroker(t, granularityPartition)
	names := func() []string {
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		var with []string
		for _, f := range families {
			if regexp.MustCompile(`"clicks"`).MatchString(f.String()) {
				with = append(with, f.GetName())
			}
		}
		return with
	}
	if before := names(); len(before) < 10 {
		t.Errorf("series of the topic before: %v", before)
	}
	remove := kmsg.NewPtrDeleteTopicsRequest()
	remove.SetVersion(1)
	remove.TopicNames = []string{"clicks"}
	dial(t, b).ask(remove)
	if after := names(); len(after) != 0 {
		t.Errorf("series of the topic after its deletion: %v", after)
	}
}

func TestTopicsBeyondTheLimitShareASeries(t *testing.T) {
	m := newMetrics(apiTable(), 5)
	for i := range 15 {
		m.produced(uniqueName(i), 10, 1)
	}
	if n := len(m.topics.byName); n != 6 {
		t.Errorf("%d topics are counted apart", n)
	}
	if n := m.topic(otherTopics).producedRecords.Load(); n != 10 {
		t.Errorf("%d records of other topics", n)
	}
	if n := m.topic(uniqueName(0)).producedRecords.Load(); n != 1 {
		t.Errorf("%d records of the first topic", n)
	}
	m.forget(func(topic string) bool { return topic != uniqueName(2) })
	if label, _ := m.place(uniqueName(12)); label != uniqueName(12) {
		t.Errorf("the place of a topic that has gone stays empty: the next one is %s", label)
	}
}

func TestCountingAllocatesNothing(t *testing.T) {
	table := apiTable()
	m := newMetrics(table, 10)
	a, response := table.byKey(produceKey), producedAt(1)
	m.produced("t", 1, 1)
	if n := testing.AllocsPerRun(100, func() {
		m.served(a, times{total: time.Millisecond}, 100, 200, response)
		m.produced("t", 100, 1)
		m.fetched("t", 100, 1)
		m.observeAppend(1, 1, time.Millisecond)
		m.observeSync(time.Millisecond, nil)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestErrorCodesAreFoundHoweverDeep(t *testing.T) {
	join := kmsg.NewPtrJoinGroupResponse()
	join.ErrorCode = 1
	commit := kmsg.NewPtrOffsetCommitResponse()
	commit.Topics = []kmsg.OffsetCommitResponseTopic{{Partitions: []kmsg.OffsetCommitResponseTopicPartition{
		{ErrorCode: 0}, {ErrorCode: 2}, {ErrorCode: 3}}}}
	heartbeat := kmsg.NewPtrHeartbeatResponse()
	heartbeat.ErrorCode = 4
	produce := producedAt(0)
	produce.Topics[0].Partitions[0].ErrorCode = 5
	offsets := kmsg.NewPtrOffsetFetchResponse()
	offsets.Groups = []kmsg.OffsetFetchResponseGroup{{ErrorCode: 6, Topics: []kmsg.OffsetFetchResponseGroupTopic{
		{Partitions: []kmsg.OffsetFetchResponseGroupTopicPartition{{ErrorCode: 7}}}}}}
	var got []int16
	for _, r := range []kmsg.Response{join, commit, heartbeat, produce, offsets, kmsg.NewPtrSyncGroupResponse()} {
		eachErrorCode(r, func(code int16) { got = append(got, code) })
	}
	if want := []int16{1, 2, 3, 4, 5, 6, 7}; !slices.Equal(got, want) {
		t.Errorf("found %v, want %v", got, want)
	}
}

func TestMetricsPageIsServed(t *testing.T) {
	b := startBroker(t, Options{HTTP: "127.0.0.1:0"}, nil)
	status, body := get(t, b, "/metrics")
	if status != 200 || !strings.Contains(body, "millrace_ready 1") {
		t.Errorf("%d %s", status, body)
	}
}
