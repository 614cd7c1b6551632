package config

import (
	"fmt"
	"strings"
	"testing"
)

// The stronger source wins whatever name it uses, as with Kafka.
func TestRunTimeSettingsWinOverThoseOfTheStart(t *testing.T) {
	static := mustParse(t, map[string]string{"log.retention.minutes": "1", "compression.type": "gzip", "max.connections": "9"})
	b, err := static.With(map[string]string{"log.retention.ms": "2000", "compression.type": "lz4"}, map[string]string{"log.retention.ms": "3000"})
	if err != nil {
		t.Fatal(err)
	}
	topic, err := b.Topic(nil)
	if err != nil || topic.RetentionMs != 3000 || topic.CompressionType != "lz4" || b.MaxConnections != 9 {
		t.Errorf("%v, %+v", err, topic)
	}
	values := map[string]string{}
	for _, d := range append(b.DescribeTopic(nil), b.Describe()...) {
		values[d.Name] = fmt.Sprintf("%d%v", d.Source, d.Values)
	}
	for name, want := range map[string]string{
		"retention.ms":          "2[{log.retention.ms 3000 2} {log.retention.ms 2000 3} {log.retention.minutes 1 4} {log.retention.hours 168 5}]",
		"log.retention.ms":      "2[{log.retention.ms 3000 2} {log.retention.ms 2000 3}]",
		"log.retention.minutes": "4[{log.retention.minutes 1 4}]",
		"compression.type":      "3[{compression.type lz4 3} {compression.type gzip 4} {compression.type producer 5}]",
	} {
		if values[name] != want {
			t.Errorf("%s: %s, want %s", name, values[name], want)
		}
	}
	if d := b.DescribeDefaults(); len(d) != 2 || d[0].Name != "compression.type" || *d[1].Value != "2000" || d[1].Source != SourceDynamicDefault {
		t.Errorf("%+v", d)
	}

	// What was set before is not left behind.
	if b, err = b.With(nil, map[string]string{"max.connections": "5"}); err != nil {
		t.Fatal(err)
	}
	if topic, _ = b.Topic(nil); topic.RetentionMs != 60_000 || topic.CompressionType != "gzip" || b.MaxConnections != 5 || len(b.DescribeDefaults()) != 0 {
		t.Errorf("%+v, %d connections", topic, b.MaxConnections)
	}
	if static.MaxConnections != 9 {
		t.Errorf("the settings of the start became %d", static.MaxConnections)
	}
}

func TestRunTimeSettingsThatAreRefused(t *testing.T) {
	static := mustParse(t, map[string]string{"log.cleaner.max.compaction.lag.ms": "100"})
	for name, test := range map[string]struct{ value, want string }{
		"log.retention.hours":               {"5", "restart"},
		"num.partitions":                    {"5", "restart"},
		"node.id":                           {"1", "restart"},
		"num.io.threads":                    {"5", "no use here"},
		"log.retention.msec":                {"5", `did you mean "log.retention.ms"`},
		"retention.ms":                      {"5", `the broker's is "log.retention.ms"`},
		"log.retention.ms":                  {"0", "of at least 1"},
		"max.connections":                   {"many", "whole number"},
		"log.cleaner.min.compaction.lag.ms": {"101", "is more than max.compaction.lag.ms"},
	} {
		for i, layers := range [][2]map[string]string{{{name: test.value}, nil}, {nil, {name: test.value}}} {
			if _, err := static.With(layers[0], layers[1]); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%s in layer %d: %v", name, i, err)
			}
		}
	}
}
