package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/broker"
	"github.com/millrace/millrace/cmd/millrace/internal/settings"
	"github.com/millrace/millrace/cmd/millrace/internal/usage"
)

const (
	defaultHTTP = "127.0.0.1:9644"
	noHTTP      = "none"
)

// flagVariables are the environment variables that stand for a flag of serve.
var flagVariables = map[string]string{
	"MILLRACE_DATA_DIR": "data-dir", "MILLRACE_LISTEN": "listen", "MILLRACE_HTTP": "http", "MILLRACE_LOG_LEVEL": "log-level",
}

// servePlan is what the flags, the environment and the file of serve ask for.
type servePlan struct {
	options         broker.Options
	settings        *settings.Settings
	temporary       bool
	topics          []startTopic
	level           slog.Level
	shutdownTimeout time.Duration
	exitWithParent  bool
}

type startTopic struct {
	name       string
	partitions int32 // -1: the broker's default
}

// plan gathers every source. changed tells which flags were given.
func (f *serveFlags) plan(changed func(string) bool, environ []string) (*servePlan, error) {
	changed, err := f.fromEnvironment(changed, environ)
	if err != nil {
		return nil, err
	}
	plan := &servePlan{
		settings: &settings.Settings{}, temporary: f.dev, level: f.logLevel.level(),
		shutdownTimeout: f.shutdownTimeout, exitWithParent: f.exitWithParent,
	}
	if f.debug && f.http == noHTTP {
		return nil, usage.Errorf("serve: --debug needs an address for HTTP, see --http")
	}
	if f.shutdownTimeout <= 0 {
		return nil, usage.Errorf("serve: --shutdown-timeout must be greater than 0")
	}
	if err := f.gather(plan.settings, environ); err != nil {
		return nil, err
	}
	for _, text := range f.topics {
		topic, err := parseStartTopic(text)
		if err != nil {
			return nil, err
		}
		plan.topics = append(plan.topics, topic)
	}
	if err := f.place(plan, changed); err != nil {
		return nil, err
	}
	f.addresses(plan, changed)
	plan.options.Config = plan.settings.Values()
	plan.options.ConfigSources = plan.settings.Sources()
	if plan.options.Listen != "" {
		plan.options.ConfigSources[listenersKey] = "--listen or MILLRACE_LISTEN"
	}
	return plan, nil
}

// fromEnvironment takes flags that were not given from their variables, and returns changed with
// those counted.
func (f *serveFlags) fromEnvironment(changed func(string) bool, environ []string) (func(string) bool, error) {
	values := map[string]string{}
	for _, variable := range environ {
		name, value, _ := strings.Cut(variable, "=")
		if flag := flagVariables[name]; flag != "" && value != "" && !changed(flag) {
			values[flag] = value
		}
	}
	for flag, value := range values {
		switch flag {
		case "data-dir":
			if f.inMemory || f.dev {
				delete(values, flag) // the flags of the command line say otherwise
				continue
			}
			f.dataDir = value
		case "listen":
			f.listen = value
		case "http":
			f.http = value
		case "log-level":
			if err := f.logLevel.Set(value); err != nil {
				return nil, usage.Errorf("serve: MILLRACE_LOG_LEVEL: %v", err)
			}
		}
	}
	return func(flag string) bool { return values[flag] != "" || changed(flag) }, nil
}

// gather reads the settings in the order of their precedence.
func (f *serveFlags) gather(s *settings.Settings, environ []string) error {
	if f.file != "" {
		if err := s.ReadFile(f.file); err != nil {
			return usage.Errorf("serve: -c: %v", err)
		}
	}
	var flagNames []string
	for name := range flagVariables {
		flagNames = append(flagNames, name)
	}
	s.ReadEnvironment(environ, flagNames...)
	for _, pair := range f.pairs {
		key, value, err := settings.ParsePair("serve: -X", pair)
		if err != nil {
			return err
		}
		s.Set(key, value, settings.Source{Kind: settings.Flag, Text: "-X " + pair})
	}
	return nil
}

func parseStartTopic(text string) (startTopic, error) {
	name, count, found := strings.Cut(text, ":")
	topic := startTopic{name: name, partitions: -1}
	if found {
		n, err := strconv.ParseInt(count, 10, 32)
		if err != nil || n < 1 {
			return topic, usage.Errorf("serve: --topic: %q is not NAME[:PARTITIONS]", text)
		}
		topic.partitions = int32(n)
	}
	if name == "" {
		return topic, usage.Errorf("serve: --topic: %q is not NAME[:PARTITIONS]", text)
	}
	return topic, nil
}

// place decides where the data is: a flag, its variable, log.dirs or log.dir, or the default.
func (f *serveFlags) place(plan *servePlan, changed func(string) bool) error {
	given := 0
	for _, is := range []bool{changed("data-dir"), f.inMemory, f.dev} {
		if is {
			given++
		}
	}
	if given > 1 {
		return usage.Errorf("serve: --data-dir, --in-memory and --dev exclude each other")
	}
	configured := ""
	for _, key := range []string{"log.dir", "log.dirs"} { // log.dirs wins, as in Kafka
		if value, ok := plan.settings.Get(key); ok {
			configured = value
			plan.settings.Delete(key)
		}
	}
	switch {
	case f.inMemory:
		plan.options.InMemory = true
		return nil
	case f.dev:
		return nil
	case changed("data-dir") && f.dataDir == "":
		return usage.Errorf("serve: --data-dir needs a directory")
	case f.dataDir != "":
		plan.options.DataDir = f.dataDir
	case strings.Contains(configured, ","):
		return usage.Errorf("serve: log.dirs: one directory only, found %q", configured)
	case configured != "":
		plan.options.DataDir = strings.TrimPrefix(configured, "file:")
	default:
		dir, err := defaultDataDir()
		if err != nil {
			return usage.Errorf("serve: --data-dir is needed: %v", err)
		}
		plan.options.DataDir = dir
	}
	return nil
}

// defaultDataDir is the system's place for root and the user's own for everybody else.
func defaultDataDir() (string, error) {
	if os.Geteuid() == 0 {
		return "/var/lib/millrace", nil
	}
	if dir := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "millrace"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(home, ".local", "share", "millrace"), nil
}
