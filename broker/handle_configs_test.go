package broker

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func describeRequest(version int16, kind kmsg.ConfigResourceType, name string, settings ...string) *kmsg.DescribeConfigsRequest {
	r := kmsg.NewPtrDescribeConfigsRequest()
	r.SetVersion(version)
	r.IncludeSynonyms, r.IncludeDocumentation = true, true
	resource := kmsg.NewDescribeConfigsRequestResource()
	resource.ResourceType, resource.ResourceName, resource.ConfigNames = kind, name, settings
	r.Resources = append(r.Resources, resource)
	return r
}

func TestDescribeConfigsOfATopicInEveryVersion(t *testing.T) {
	b := startBroker(t, Options{Config: map[string]string{"log.retention.hours": "3"}}, nil)
	if got := dial(t, b).ask(createRequest(5, topicToCreate("a", 1, 1, "segment.ms", "70000"))).(*kmsg.CreateTopicsResponse); got.Topics[0].ErrorCode != 0 {
		t.Fatalf("%+v", got)
	}
	c := dial(t, b)
	for version := int16(1); version <= 4; version++ {
		got := c.ask(describeRequest(version, kmsg.ConfigResourceTypeTopic, "a")).(*kmsg.DescribeConfigsResponse).Resources[0]
		if got.ErrorCode != 0 || len(got.Configs) < 34 {
			t.Fatalf("version %d: code %d, %d settings", version, got.ErrorCode, len(got.Configs))
		}
		described := map[string]string{}
		for _, s := range got.Configs {
			if s.ReadOnly || s.IsSensitive || s.Value == nil || version >= 3 && (s.ConfigType == 0 || s.Documentation == nil || *s.Documentation == "") {
				t.Errorf("version %d: %+v", version, s)
			}
			described[s.Name] = fmt.Sprintf("%s/%d %d", *s.Value, s.Source, len(s.ConfigSynonyms))
			if version >= 3 {
				described[s.Name] += " " + s.ConfigType.String()
			}
		}
		for name, want := range map[string]string{
			"segment.ms": "70000/1 2 LONG", "retention.ms": "10800000/4 2 LONG", "cleanup.policy": "delete/5 1 LIST",
			"preallocate": "false/5 1 BOOLEAN", "min.cleanable.dirty.ratio": "0.5/5 1 DOUBLE", "flush": "commit/5 1 STRING",
			"remote.storage.enable": "false/5 0 BOOLEAN", "max.message.bytes": "1048588/5 1 INT",
		} {
			if version < 3 {
				want = want[:strings.LastIndexByte(want, ' ')]
			}
			if described[name] != want {
				t.Errorf("version %d: %s is %q, want %q", version, name, described[name], want)
			}
		}
	}
	request := describeRequest(4, kmsg.ConfigResourceTypeTopic, "a", "segment.ms", "no.such.thing")
	request.IncludeSynonyms, request.IncludeDocumentation = false, false
	got := c.ask(request).(*kmsg.DescribeConfigsResponse).Resources[0]
	if len(got.Configs) != 1 || got.Configs[0].Name != "segment.ms" || got.Configs[0].ConfigSynonyms != nil || got.Configs[0].Documentation != nil {
		t.Errorf("one setting: %+v", got.Configs)
	}
}

func TestDescribeConfigsOfTheBroker(t *testing.T) {
	b := startBroker(t, Options{Config: map[string]string{"node.id": "7", "num.partitions": "4"}}, nil)
	c := dial(t, b)
	got := c.ask(describeRequest(4, kmsg.ConfigResourceTypeBroker, "7")).(*kmsg.DescribeConfigsResponse).Resources[0]
	if got.ErrorCode != 0 {
		t.Fatalf("%+v", got)
	}
	i := slices.IndexFunc(got.Configs, func(s kmsg.DescribeConfigsResponseResourceConfig) bool { return s.Name == "num.partitions" })
	if i < 0 || *got.Configs[i].Value != "4" || got.Configs[i].Source != kmsg.ConfigSourceStaticBrokerConfig || !got.Configs[i].ReadOnly {
		t.Errorf("num.partitions: %+v", got.Configs)
	}
	if got := c.ask(describeRequest(4, kmsg.ConfigResourceTypeBroker, "")).(*kmsg.DescribeConfigsResponse).Resources[0]; got.ErrorCode != 0 || len(got.Configs) != 0 {
		t.Errorf("all brokers: %+v", got)
	}
}

func TestDescribeConfigsOfWhatHasNone(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	c := dial(t, b)
	for _, r := range []struct {
		kind kmsg.ConfigResourceType
		name string
		want int16
	}{
		{kmsg.ConfigResourceTypeTopic, "absent", unknownTopicOrPartition},
		{kmsg.ConfigResourceTypeTopic, "a b", invalidTopicException},
		{kmsg.ConfigResourceTypeBroker, "2", invalidRequest},
		{kmsg.ConfigResourceTypeBroker, "one", invalidRequest},
		{kmsg.ConfigResourceTypeBrokerLogger, "1", invalidRequest},
		{77, "x", invalidRequest},
	} {
		got := c.ask(describeRequest(2, r.kind, r.name)).(*kmsg.DescribeConfigsResponse).Resources[0]
		if got.ErrorCode != r.want || got.ErrorMessage == nil || len(got.Configs) > 0 || got.ResourceName != r.name || got.ResourceType != r.kind {
			t.Errorf("%+v: %+v", r, got)
		}
	}
}

// alter changes one resource incrementally and returns the error code.
func alter(c *client, version int16, kind kmsg.ConfigResourceType, name string, validateOnly bool, operations ...kmsg.IncrementalAlterConfigsRequestResourceConfig) int16 {
	r := kmsg.NewPtrIncrementalAlterConfigsRequest()
	r.SetVersion(version)
	r.ValidateOnly = validateOnly
	resource := kmsg.NewIncrementalAlterConfigsRequestResource()
	resource.ResourceType, resource.ResourceName, resource.Configs = kind, name, operations
	r.Resources = append(r.Resources, resource)
	return c.ask(r).(*kmsg.IncrementalAlterConfigsResponse).Resources[0].ErrorCode
}

func operation(name string, op kmsg.IncrementalAlterConfigOp, value ...string) kmsg.IncrementalAlterConfigsRequestResourceConfig {
	o := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	o.Name, o.Op = name, op
	if len(value) > 0 {
		o.Value = &value[0]
	}
	return o
}

func TestIncrementalAlterConfigsTakesEffect(t *testing.T) {
	const set, remove, add, subtract = kmsg.IncrementalAlterConfigOpSet, kmsg.IncrementalAlterConfigOpDelete, kmsg.IncrementalAlterConfigOpAppend, kmsg.IncrementalAlterConfigOpSubtract
	b := startBroker(t, Options{}, nil)
	createTopic(t, b, "a", 2)
	c := dial(t, b)
	for i, step := range []struct {
		operations []kmsg.IncrementalAlterConfigsRequestResourceConfig
		validate   bool
		code       int16
		configs    string
	}{
		{[]kmsg.IncrementalAlterConfigsRequestResourceConfig{operation("retention.ms", set, "5"), operation("max.message.bytes", set, "100")}, true, 0, "map[]"},
		{[]kmsg.IncrementalAlterConfigsRequestResourceConfig{operation("retention.ms", set, "5"), operation("max.message.bytes", set, "100")}, false, 0, "map[max.message.bytes:100 retention.ms:5]"},
		{[]kmsg.IncrementalAlterConfigsRequestResourceConfig{operation("cleanup.policy", add, "compact")}, false, 0, "map[cleanup.policy:delete,compact max.message.bytes:100 retention.ms:5]"},
		{[]kmsg.IncrementalAlterConfigsRequestResourceConfig{operation("cleanup.policy", subtract, "delete"), operation("retention.ms", remove)}, false, 0, "map[cleanup.policy:compact max.message.bytes:100]"},
		{[]kmsg.IncrementalAlterConfigsRequestResourceConfig{operation("retention.ms", set, "6"), operation("retention.ms", set, "7")}, false, invalidRequest, "map[cleanup.policy:compact max.message.bytes:100]"},
		{[]kmsg.IncrementalAlterConfigsRequestResourceConfig{operation("retention.ms", add, "6")}, false, invalidConfig, "map[cleanup.policy:compact max.message.bytes:100]"},
		{[]kmsg.IncrementalAlterConfigsRequestResourceConfig{operation("retention.ms", set, "never")}, false, invalidConfig, "map[cleanup.policy:compact max.message.bytes:100]"},
		{[]kmsg.IncrementalAlterConfigsRequestResourceConfig{operation("retention.ms", set, "never")}, true, invalidConfig, "map[cleanup.policy:compact max.message.bytes:100]"},
		{[]kmsg.IncrementalAlterConfigsRequestResourceConfig{operation("retention.ms", set)}, false, invalidRequest, "map[cleanup.policy:compact max.message.bytes:100]"},
	} {
		if code := alter(c, int16(i%2), kmsg.ConfigResourceTypeTopic, "a", step.validate, step.operations...); code != step.code {
			t.Errorf("step %d: code %d, want %d", i, code, step.code)
		}
		if got := fmt.Sprint(b.controller.image().Topic("a").Configs); got != step.configs {
			t.Errorf("step %d: %s, want %s", i, got, step.configs)
		}
	}
	for index := range int32(2) {
		settings := b.partitions.lookup("a", index).Config()
		if settings.MaxMessageBytes != 100 || !settings.Log.Compacted || settings.Log.DeleteOldSegments || settings.Log.RetentionMs != 604800000 {
			t.Errorf("partition %d works by %+v", index, settings)
		}
	}
}

func TestAlterConfigsOfWhatCannotBeChanged(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	c := dial(t, b)
	change := operation("retention.ms", kmsg.IncrementalAlterConfigOpSet, "5")
	for _, r := range []struct {
		kind kmsg.ConfigResourceType
		name string
		want int16
	}{
		{kmsg.ConfigResourceTypeTopic, "absent", unknownTopicOrPartition},
		{kmsg.ConfigResourceTypeBroker, "1", invalidRequest}, // topics have that setting
		{kmsg.ConfigResourceTypeBroker, "", invalidRequest},
		{kmsg.ConfigResourceTypeBroker, "2", invalidRequest},
		{kmsg.ConfigResourceTypeBroker, "01", invalidRequest},
		{kmsg.ConfigResourceTypeBrokerLogger, "1", invalidRequest},
		{77, "x", invalidRequest},
	} {
		if got := alter(c, 1, r.kind, r.name, false, change); got != r.want {
			t.Errorf("%+v: code %d", r, got)
		}
	}
}

// A resource that comes twice is refused each time; the others are changed.
func TestAlterConfigsChangesTheOtherResources(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	r := kmsg.NewPtrIncrementalAlterConfigsRequest()
	r.SetVersion(1)
	for _, name := range []string{"a", "twice", "b", "twice"} {
		if b.controller.image().Topic(name) == nil {
			createTopic(t, b, name, 1)
		}
		resource := kmsg.NewIncrementalAlterConfigsRequestResource()
		resource.ResourceType, resource.ResourceName = kmsg.ConfigResourceTypeTopic, name
		resource.Configs = append(resource.Configs, operation("retention.ms", kmsg.IncrementalAlterConfigOpSet, "5"))
		r.Resources = append(r.Resources, resource)
	}
	r.Resources[2].Configs[0].Value = kmsg.StringPtr("wrong")
	var codes []int16
	for _, resource := range dial(t, b).ask(r).(*kmsg.IncrementalAlterConfigsResponse).Resources {
		codes = append(codes, resource.ErrorCode)
	}
	if want := []int16{0, invalidRequest, invalidConfig, invalidRequest}; !slices.Equal(codes, want) {
		t.Errorf("codes %v, want %v", codes, want)
	}
	for name, want := range map[string]string{"a": "map[retention.ms:5]", "twice": "map[]", "b": "map[]"} {
		if got := fmt.Sprint(b.controller.image().Topic(name).Configs); got != want {
			t.Errorf("%s has %s, want %s", name, got, want)
		}
	}
}

func TestAlterConfigsReplacesAllSettings(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	createTopic(t, b, "a", 1)
	c := dial(t, b)
	for i, step := range []struct {
		settings []string
		validate bool
		code     int16
		configs  string
	}{
		{[]string{"retention.ms", "5", "segment.ms", "6"}, false, 0, "map[retention.ms:5 segment.ms:6]"},
		{[]string{"segment.ms", "7"}, true, 0, "map[retention.ms:5 segment.ms:6]"},
		{[]string{"segment.ms", "7"}, false, 0, "map[segment.ms:7]"},
		{[]string{"segment.ms", "0"}, false, invalidConfig, "map[segment.ms:7]"},
		{[]string{"segment.ms", "8", "segment.ms", "8"}, false, invalidRequest, "map[segment.ms:7]"},
		{nil, false, 0, "map[]"},
	} {
		r := kmsg.NewPtrAlterConfigsRequest()
		r.SetVersion(int16(i % 3))
		r.ValidateOnly = step.validate
		resource := kmsg.NewAlterConfigsRequestResource()
		resource.ResourceType, resource.ResourceName = kmsg.ConfigResourceTypeTopic, "a"
		for j := 0; j < len(step.settings); j += 2 {
			resource.Configs = append(resource.Configs, kmsg.AlterConfigsRequestResourceConfig{Name: step.settings[j], Value: &step.settings[j+1]})
		}
		r.Resources = append(r.Resources, resource)
		if got := c.ask(r).(*kmsg.AlterConfigsResponse).Resources[0]; got.ErrorCode != step.code {
			t.Errorf("step %d: %+v", i, got)
		}
		if got := fmt.Sprint(b.controller.image().Topic("a").Configs); got != step.configs {
			t.Errorf("step %d: %s, want %s", i, got, step.configs)
		}
	}
}

// What a tool that reads, modifies and writes back gets to see is all there is.
func TestAdminClientReadsAndWritesSettings(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	createTopic(t, b, "a", 1)
	admin, ctx := adminOf(t, b), t.Context()
	answers, err := admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "retention.ms", Value: kadm.StringPtr("5")}}, "a")
	if err != nil || answers[0].Err != nil {
		t.Fatalf("%v, %+v", err, answers)
	}
	described, err := admin.DescribeTopicConfigs(ctx, "a")
	if err != nil || len(described) != 1 || described[0].Err != nil {
		t.Fatalf("%v, %+v", err, described)
	}
	i := slices.IndexFunc(described[0].Configs, func(c kadm.Config) bool { return c.Key == "retention.ms" })
	if i < 0 || described[0].Configs[i].MaybeValue() != "5" || described[0].Configs[i].Source != kmsg.ConfigSourceDynamicTopicConfig {
		t.Errorf("retention.ms: %+v", described[0].Configs)
	}
	if broker, err := admin.DescribeBrokerConfigs(ctx, 1); err != nil || broker[0].Err != nil || len(broker[0].Configs) < 40 {
		t.Errorf("broker: %v, %+v", err, broker)
	}
}

// Errors quote what was sent, and the strings of the older versions end at 32767 bytes.
func TestAnErrorAboutALongValueIsAnAnswer(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	createTopic(t, b, "t", 1)
	r := kmsg.NewPtrIncrementalAlterConfigsRequest()
	resource := kmsg.NewIncrementalAlterConfigsRequestResource()
	resource.ResourceType, resource.ResourceName = kmsg.ConfigResourceTypeTopic, "t"
	resource.Configs = append(resource.Configs, operation("retention.ms", setConfig, strings.Repeat("\u00e9", 16_000)))
	r.Resources = append(r.Resources, resource)
	got := dial(t, b).ask(r).(*kmsg.IncrementalAlterConfigsResponse).Resources[0]
	if got.ErrorCode != kerr.InvalidConfig.Code || got.ErrorMessage == nil || len(*got.ErrorMessage) > errorMessageBytesMax+3 ||
		!utf8.ValidString(*got.ErrorMessage) || !strings.Contains(*got.ErrorMessage, "retention.ms") {
		t.Errorf("got %+v", got)
	}
}
