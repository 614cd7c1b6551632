package config

import (
	"strings"
	"testing"
)

func TestANumberWithAUnitIsToldWithoutIt(t *testing.T) {
	for _, c := range []struct{ name, value, want string }{
		{"log.segment.bytes", "1GB", "write it without a unit, 1073741824"},
		{"log.segment.bytes", "1 MiB", "write it without a unit, 1048576"},
		{"log.segment.bytes", "1_000_000", "write it without a unit, 1000000"},
		{"log.retention.ms", "7d", "write it without a unit, 604800000"},
		{"log.retention.ms", "1.5h", "write it without a unit, 5400000"},
		{"log.retention.minutes", "2h", "write it without a unit, 120"},
		{"log.retention.hours", "7d", "write it without a unit, 168"},
		{"log.retention.hours", "30m", ""}, // half an hour
		{"log.retention.ms", "7 apples", ""},
		{"num.partitions", "3s", ""},
		{"num.partitions", "many", ""},
		{"millrace.flush", "1s", ""},
	} {
		_, err := ParseBroker(map[string]string{c.name: c.value})
		if err == nil {
			t.Errorf("%s=%s is accepted", c.name, c.value)
			continue
		}
		if !strings.HasSuffix(err.Error(), c.want) || c.want == "" && strings.Contains(err.Error(), "without a unit") {
			t.Errorf("%s=%s: %q, want %q at its end", c.name, c.value, err, c.want)
		}
	}
}
