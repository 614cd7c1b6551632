package broker

import (
	"log/slog"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestTheLogLevelChangesAtRunTime(t *testing.T) {
	level := new(slog.LevelVar)
	b := startBroker(t, Options{LogLevel: level}, nil)
	c := dial(t, b)
	logger := kmsg.ConfigResourceTypeBrokerLogger
	for i, step := range []struct {
		resource  string
		operation kmsg.IncrementalAlterConfigsRequestResourceConfig
		validate  bool
		code      int16
		want      slog.Level
	}{
		{"1", operation("root", setConfig, "DEBUG"), true, 0, slog.LevelInfo},
		{"1", operation("root", setConfig, "DEBUG"), false, 0, slog.LevelDebug},
		{"1", operation("root", setConfig, "fatal"), false, 0, slog.LevelError},
		{"1", operation("root", setConfig, "LOUD"), false, invalidConfig, slog.LevelError},
		{"1", operation("kafka", setConfig, "INFO"), false, invalidConfig, slog.LevelError},
		{"1", operation("root", deleteConfig), false, invalidRequest, slog.LevelError},
		{"1", operation("root", appendConfig, "INFO"), false, invalidRequest, slog.LevelError},
		{"1", operation("root", setConfig), false, invalidRequest, slog.LevelError},
		{"", operation("root", setConfig, "INFO"), false, invalidRequest, slog.LevelError},
		{"2", operation("root", setConfig, "INFO"), false, invalidRequest, slog.LevelError},
	} {
		if code := alter(c, 1, logger, step.resource, step.validate, step.operation); code != step.code || level.Level() != step.want {
			t.Errorf("step %d: code %d, level %v, want %d, %v", i, code, level.Level(), step.code, step.want)
		}
	}
	if got := brokerSetting(c, logger, "1", "root"); got != "ERROR from 6" {
		t.Errorf("described as %q", got)
	}
	old := kmsg.NewPtrAlterConfigsRequest()
	old.Resources = []kmsg.AlterConfigsRequestResource{{ResourceType: logger, ResourceName: "1"}}
	if got := c.ask(old).(*kmsg.AlterConfigsResponse).Resources[0]; got.ErrorCode != invalidRequest {
		t.Errorf("AlterConfigs, which cannot: %+v", got)
	}
}

func TestALogLevelThatIsNotTheBrokersStays(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	c := dial(t, b)
	if code := alter(c, 1, kmsg.ConfigResourceTypeBrokerLogger, "1", false, operation("root", setConfig, "DEBUG")); code != invalidRequest {
		t.Errorf("code %d", code)
	}
	got := c.ask(describeRequest(4, kmsg.ConfigResourceTypeBrokerLogger, "1")).(*kmsg.DescribeConfigsResponse).Resources[0]
	if got.ErrorCode != invalidRequest {
		t.Errorf("%+v", got)
	}
}
