package broker

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/internal/disk"
)

// brokerSetting is what DescribeConfigs says of one setting: value, source, synonyms.
func brokerSetting(c *client, kind kmsg.ConfigResourceType, resource, name string) string {
	c.t.Helper()
	got := c.ask(describeRequest(4, kind, resource, name)).(*kmsg.DescribeConfigsResponse).Resources[0]
	if got.ErrorCode != 0 || len(got.Configs) > 1 {
		c.t.Fatalf("%+v", got)
	}
	if len(got.Configs) == 0 {
		return ""
	}
	s := got.Configs[0]
	text := fmt.Sprintf("%s from %d", *s.Value, s.Source)
	if s.ReadOnly {
		text += " read-only"
	}
	for _, synonym := range s.ConfigSynonyms {
		text += fmt.Sprintf(", %s=%s from %d", synonym.Name, *synonym.Value, synonym.Source)
	}
	return text
}

const (
	setConfig    = kmsg.IncrementalAlterConfigOpSet
	deleteConfig = kmsg.IncrementalAlterConfigOpDelete
	appendConfig = kmsg.IncrementalAlterConfigOpAppend
)

// A topic without a value of its own follows the broker at once; precedence and synonyms are Kafka's.
func TestBrokerSettingsChangeAtRunTime(t *testing.T) {
	files := disk.NewCrashable(1)
	b, stop := startOn(t, files, map[string]string{"log.retention.minutes": "1"})
	createTopic(t, b, "follows", 1)
	createTopic(t, b, "own", 1)
	c := dial(t, b)
	if code := alter(c, 1, kmsg.ConfigResourceTypeTopic, "own", false, operation("retention.ms", setConfig, "5")); code != 0 {
		t.Fatal(code)
	}
	retention := func(b *Broker, topic string) int64 { return b.partitions.lookup(topic, 0).Config().Log.RetentionMs }
	for i, step := range []struct {
		broker    string
		operation kmsg.IncrementalAlterConfigsRequestResourceConfig
		validate  bool
		want      int64
	}{
		{"", operation("log.retention.ms", setConfig, "2000"), true, 60_000},
		{"", operation("log.retention.ms", setConfig, "2000"), false, 2000},
		{"1", operation("log.retention.ms", setConfig, "3000"), false, 3000},
		{"", operation("log.retention.ms", setConfig, "4000"), false, 3000},
		{"1", operation("log.retention.ms", deleteConfig), false, 4000},
		{"1", operation("log.retention.ms", deleteConfig), false, 4000},
		{"", operation("log.retention.ms", deleteConfig), false, 60_000},
		{"", operation("log.retention.ms", setConfig, "5000"), false, 5000},
		{"1", operation("log.retention.ms", setConfig, "6000"), false, 6000},
		{"1", operation("log.cleanup.policy", appendConfig, "compact"), false, 6000},
	} {
		if code := alter(c, 1, kmsg.ConfigResourceTypeBroker, step.broker, step.validate, step.operation); code != 0 {
			t.Errorf("step %d: code %d", i, code)
		}
		if got, own := retention(b, "follows"), retention(b, "own"); got != step.want || own != 5 {
			t.Errorf("step %d: %d and %d ms, want %d and 5", i, got, own, step.want)
		}
	}
	check := func(b *Broker) {
		t.Helper()
		c := dial(t, b)
		broker, topic := kmsg.ConfigResourceTypeBroker, kmsg.ConfigResourceTypeTopic
		all := "log.retention.ms=6000 from 2, log.retention.ms=5000 from 3, log.retention.minutes=1 from 4, log.retention.hours=168 from 5"
		for _, test := range []struct {
			kind           kmsg.ConfigResourceType
			resource, name string
			want           string
		}{
			{topic, "follows", "retention.ms", "6000 from 2, " + all},
			{topic, "own", "retention.ms", "5 from 1, retention.ms=5 from 1, " + all},
			{broker, "1", "log.retention.ms", "6000 from 2, log.retention.ms=6000 from 2, log.retention.ms=5000 from 3"},
			{broker, "1", "log.retention.minutes", "1 from 4 read-only, log.retention.minutes=1 from 4"},
			{broker, "1", "log.cleanup.policy", "delete,compact from 2, log.cleanup.policy=delete,compact from 2, log.cleanup.policy=delete from 5"},
			{broker, "", "log.retention.ms", "5000 from 3, log.retention.ms=5000 from 3"},
			{broker, "", "log.cleanup.policy", ""},
		} {
			if got := brokerSetting(c, test.kind, test.resource, test.name); got != test.want {
				t.Errorf("%q %s: %s\nwant %s", test.resource, test.name, got, test.want)
			}
		}
		createTopic(t, b, "later", 1)
		if got := retention(b, "later"); got != 6000 || !b.partitions.lookup("later", 0).Config().Log.Compacted {
			t.Errorf("a new topic keeps records for %d ms", got)
		}
		deleteTopic(t, b, "later")
	}
	check(b)
	crashed := files.CrashCopy(disk.Crash{})
	stop()

	again, stop := startOn(t, crashed, map[string]string{"log.retention.minutes": "1"})
	check(again)
	stop()
}

func TestBrokerSettingsThatAreRefused(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	createTopic(t, b, "lagging", 1)
	c := dial(t, b)
	if code := alter(c, 1, kmsg.ConfigResourceTypeTopic, "lagging", false, operation("min.compaction.lag.ms", setConfig, "500")); code != 0 {
		t.Fatal(code)
	}
	for _, test := range []struct {
		operations []kmsg.IncrementalAlterConfigsRequestResourceConfig
		code       int16
		says       string
	}{
		{[]kmsg.IncrementalAlterConfigsRequestResourceConfig{operation("log.retention.hours", setConfig, "1")}, invalidRequest, "restart"},
		{[]kmsg.IncrementalAlterConfigsRequestResourceConfig{operation("log.retention.mss", setConfig, "1")}, invalidRequest, "log.retention.ms"},
		{[]kmsg.IncrementalAlterConfigsRequestResourceConfig{operation("log.retention.ms", setConfig, "x")}, invalidRequest, "whole number"},
		{[]kmsg.IncrementalAlterConfigsRequestResourceConfig{operation("log.retention.ms", setConfig)}, invalidRequest, "null"},
		{[]kmsg.IncrementalAlterConfigsRequestResourceConfig{operation("log.retention.ms", appendConfig, "1")}, invalidConfig, "not a list"},
		{[]kmsg.IncrementalAlterConfigsRequestResourceConfig{operation("log.retention.ms", 7, "1")}, invalidRequest, "operation 7"},
		{[]kmsg.IncrementalAlterConfigsRequestResourceConfig{operation("log.retention.ms", setConfig, "1"), operation("log.retention.ms", setConfig, "1")}, invalidRequest, "twice"},
		{[]kmsg.IncrementalAlterConfigsRequestResourceConfig{operation("log.retention.ms", setConfig, "1"), operation("max.connections", setConfig, "-1")}, invalidRequest, "max.connections"},
		{[]kmsg.IncrementalAlterConfigsRequestResourceConfig{operation("max.connections", setConfig, "0")}, invalidRequest, "at least 1"}, // nobody could take it back
		{[]kmsg.IncrementalAlterConfigsRequestResourceConfig{operation("log.cleaner.max.compaction.lag.ms", setConfig, "400")}, invalidRequest, `topic "lagging"`},
	} {
		for _, name := range []string{"", "1"} {
			r := kmsg.NewPtrIncrementalAlterConfigsRequest()
			r.SetVersion(1)
			resource := kmsg.NewIncrementalAlterConfigsRequestResource()
			resource.ResourceType, resource.ResourceName, resource.Configs = kmsg.ConfigResourceTypeBroker, name, test.operations
			r.Resources = append(r.Resources, resource)
			got := c.ask(r).(*kmsg.IncrementalAlterConfigsResponse).Resources[0]
			if got.ErrorCode != test.code || !strings.Contains(*got.ErrorMessage, test.says) {
				t.Errorf("%q: code %d, %q; want %d, %q", name, got.ErrorCode, *got.ErrorMessage, test.code, test.says)
			}
		}
	}
	if image := b.controller.image(); len(image.BrokerConfigs(""))+len(image.BrokerConfigs("1")) != 0 {
		t.Error("something was set all the same")
	}
}

// Resources of one request are decided one after the other: two that contradict each other are not both taken.
func TestBrokerSettingsOfOneRequestSeeEachOther(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	r := kmsg.NewPtrIncrementalAlterConfigsRequest()
	for _, resource := range []kmsg.IncrementalAlterConfigsRequestResource{
		{ResourceName: "", Configs: []kmsg.IncrementalAlterConfigsRequestResourceConfig{operation("log.cleaner.min.compaction.lag.ms", setConfig, "500")}},
		{ResourceName: "1", Configs: []kmsg.IncrementalAlterConfigsRequestResourceConfig{operation("log.cleaner.max.compaction.lag.ms", setConfig, "400")}},
	} {
		resource.ResourceType = kmsg.ConfigResourceTypeBroker
		r.Resources = append(r.Resources, resource)
	}
	got := dial(t, b).ask(r).(*kmsg.IncrementalAlterConfigsResponse).Resources
	if got[0].ErrorCode != 0 || got[1].ErrorCode != invalidRequest {
		t.Errorf("%+v", got)
	}
}

func TestAlterConfigsReplacesABrokersSettings(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	c := dial(t, b)
	replace := func(settings ...string) int16 {
		r := kmsg.NewPtrAlterConfigsRequest()
		resource := kmsg.NewAlterConfigsRequestResource()
		resource.ResourceType, resource.ResourceName = kmsg.ConfigResourceTypeBroker, "1"
		for i := 0; i < len(settings); i += 2 {
			resource.Configs = append(resource.Configs, kmsg.AlterConfigsRequestResourceConfig{Name: settings[i], Value: &settings[i+1]})
		}
		r.Resources = append(r.Resources, resource)
		return c.ask(r).(*kmsg.AlterConfigsResponse).Resources[0].ErrorCode
	}
	for i, step := range []struct {
		settings []string
		code     int16
		want     string
	}{
		{[]string{"log.retention.ms", "5", "message.max.bytes", "6"}, 0, "map[log.retention.ms:5 message.max.bytes:6]"},
		{[]string{"message.max.bytes", "7"}, 0, "map[message.max.bytes:7]"},
		{[]string{"node.id", "1"}, invalidRequest, "map[message.max.bytes:7]"},
		{nil, 0, "map[]"},
	} {
		if code := replace(step.settings...); code != step.code {
			t.Errorf("step %d: code %d", i, code)
		}
		if got := fmt.Sprint(b.controller.image().BrokerConfigs("1")); got != step.want {
			t.Errorf("step %d: %s, want %s", i, got, step.want)
		}
	}
}

func TestTheConnectionLimitChangesAtRunTime(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	c := dial(t, b)
	dial(t, b).expectServed()
	if code := alter(c, 1, kmsg.ConfigResourceTypeBroker, "1", false, operation("max.connections", setConfig, "2")); code != 0 {
		t.Fatal(code)
	}
	refused, err := net.Dial("tcp", b.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	newClient(t, refused).expectClosed()
	if code := alter(c, 1, kmsg.ConfigResourceTypeBroker, "1", false, operation("max.connections", deleteConfig)); code != 0 {
		t.Fatal(code)
	}
	dial(t, b).expectServed()
}

func TestTheCleanerGoesByTheSettingsOfTheMoment(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	c := dial(t, b)
	for _, change := range []kmsg.IncrementalAlterConfigsRequestResourceConfig{
		operation("log.cleaner.backoff.ms", setConfig, "77"),
		operation("log.cleaner.dedupe.buffer.size", setConfig, "70000"),
		operation("producer.id.expiration.ms", setConfig, "5000"),
	} {
		if code := alter(c, 1, kmsg.ConfigResourceTypeBroker, "", false, change); code != 0 {
			t.Fatalf("%s: code %d", change.Name, code)
		}
	}
	if got := b.cleaner.settings(); b.cleaner.backoff() != 77*time.Millisecond || got.LogCleanerDedupeBufferSize != 70000 {
		t.Errorf("backoff %v, %d bytes for keys", b.cleaner.backoff(), got.LogCleanerDedupeBufferSize)
	}
	createTopic(t, b, "t", 1)
	if got := b.partitions.lookup("t", 0).Config().Log.ProducerExpirationMs; got != 5000 {
		t.Errorf("producers are forgotten after %d ms", got)
	}
}

// What was set at run time is not dropped when the settings of the start contradict it: topics would go by values that
// nobody asked for.
func TestSettingsOfTheStartThatContradictThoseOfTheRunTime(t *testing.T) {
	files := disk.NewMem()
	b, stop := startOn(t, files, nil)
	if code := alter(dial(t, b), 1, kmsg.ConfigResourceTypeBroker, "", false, operation("log.cleaner.min.compaction.lag.ms", setConfig, "500")); code != 0 {
		t.Fatal(code)
	}
	stop()
	again, err := New(Options{InMemory: true, Listen: "127.0.0.1:0", fileSystem: files, Config: map[string]string{"log.cleaner.max.compaction.lag.ms": "400"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "set at run time") {
		t.Errorf("started: %v", err)
	}
	_ = again.Close()
	_, stop = startOn(t, files, nil)
	stop()
}
