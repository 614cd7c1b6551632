package broker

import (
	"fmt"
	"log/slog"
	"strings"

	"github.com/millrace/millrace/broker/internal/config"
	"github.com/millrace/millrace/broker/internal/metadata"
)

// The broker's one logger as a resource of DescribeConfigs and IncrementalAlterConfigs (KIP-412). Its level is that of
// the process: a restart forgets what it was set to.

// rootLogger is Kafka's name for the logger that all others take their level from.
const rootLogger = "root"

// logLevels are Kafka's names of levels. There are fewer levels than names.
var logLevels = map[string]slog.Level{
	"TRACE": slog.LevelDebug, "DEBUG": slog.LevelDebug, "INFO": slog.LevelInfo, "WARN": slog.LevelWarn,
	"ERROR": slog.LevelError, "FATAL": slog.LevelError,
}

var rootLoggerSetting = config.Setting{Name: rootLogger, Kind: config.String, Doc: "How much the broker logs: DEBUG, INFO, WARN or ERROR."}

func (b *Broker) checkLogger(name string) error {
	if err := b.controller.image().CheckBrokerName(name); err != nil {
		return err
	}
	if b.options.LogLevel == nil {
		return fmt.Errorf("%w: the log level of this broker cannot be changed while it runs", metadata.ErrInvalidRequest)
	}
	return nil
}

func (b *Broker) describeLogger(name string) ([]config.Description, error) {
	if err := b.checkLogger(name); err != nil {
		return nil, err
	}
	level := b.options.LogLevel.Level().String()
	return []config.Description{{Setting: &rootLoggerSetting, Value: &level, Source: config.SourceBrokerLogger}}, nil
}

// changeLogger sets the level, or only looks whether it could. Nothing is set unless all changes are right.
func (b *Broker) changeLogger(name string, changes []metadata.ConfigChange, validateOnly bool) error {
	if err := b.checkLogger(name); err != nil {
		return err
	}
	level := b.options.LogLevel.Level()
	for _, change := range changes {
		switch {
		case change.Name != rootLogger:
			return fmt.Errorf("%w: there is no logger %q, only %q", metadata.ErrInvalidConfig, change.Name, rootLogger)
		case change.Op != metadata.ConfigSet || change.Value == nil:
			return fmt.Errorf("%w: the level of %q can only be set", metadata.ErrInvalidRequest, rootLogger)
		}
		wanted, known := logLevels[strings.ToUpper(*change.Value)]
		if !known {
			return fmt.Errorf("%w: log level %q is none of DEBUG, INFO, WARN, ERROR", metadata.ErrInvalidConfig, *change.Value)
		}
		level = wanted
	}
	if !validateOnly {
		b.options.LogLevel.Set(level)
	}
	return nil
}
