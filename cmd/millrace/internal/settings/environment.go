package settings

import (
	"regexp"
	"slices"
	"strings"
)

// Prefixes of environment variables that hold settings, the later wins.
const (
	kafkaPrefix = "KAFKA_"
	ownPrefix   = "MILLRACE_"
)

// notSettings are variables with a prefix of ours that configure something else: Kafka's start
// scripts and its image, the clients of this program.
var notSettings = map[string]bool{
	"KAFKA_BOOTSTRAP_SERVERS": true, "KAFKA_BROKERS": true, "KAFKA_CLUSTER_ID": true, "KAFKA_DEBUG": true, "KAFKA_GC_LOG_OPTS": true, "KAFKA_HEAP_OPTS": true, "KAFKA_HOME": true,
	"KAFKA_JMX_HOSTNAME": true, "KAFKA_JMX_OPTS": true, "KAFKA_JMX_PORT": true, "KAFKA_JVM_PERFORMANCE_OPTS": true,
	"KAFKA_LOG4J_LOGGERS": true, "KAFKA_LOG4J_OPTS": true, "KAFKA_LOG4J_ROOT_LOGLEVEL": true, "KAFKA_OPTS": true,
	"KAFKA_SCALA_VERSION": true, "KAFKA_TOOLS_LOG4J_LOGLEVEL": true, "KAFKA_VERSION": true,
	"MILLRACE_BROKERS": true, "MILLRACE_PROFILE": true,
}

// notSettingPrefixes begin the variables of the clients, and of this project's own tests and benchmarks.
var notSettingPrefixes = []string{"MILLRACE_CLIENT_", "MILLRACE_TEST_", "MILLRACE_BENCH_", "MILLRACE_LONG"}

// serviceLink is a variable with which Kubernetes tells a pod about a service that is called kafka or millrace.
var serviceLink = regexp.MustCompile(`_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_[0-9]+_(TCP|UDP)(_(PROTO|PORT|ADDR))?)$`)

func isServiceLink(name, value string) bool {
	return serviceLink.MatchString(name) || strings.HasSuffix(name, "_PORT") && strings.Contains(value, "://")
}

func isSetting(name, value string) bool {
	return !notSettings[name] && !isServiceLink(name, value) && !slices.ContainsFunc(notSettingPrefixes, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
}

// ReadEnvironment stores the settings among the variables environ ("NAME=value"), in the scheme of
// Kafka's image: KAFKA_LOG_SEGMENT_BYTES is log.segment.bytes, two underscores are one, three are a
// dash. MILLRACE_ works like KAFKA_ and wins over it. Variables named in except, and empty ones, are not settings.
func (s *Settings) ReadEnvironment(environ []string, except ...string) {
	for _, prefix := range []string{kafkaPrefix, ownPrefix} {
		for _, variable := range environ {
			name, value, _ := strings.Cut(variable, "=")
			rest, found := strings.CutPrefix(name, prefix)
			if !found || rest == "" || value == "" || !isSetting(name, value) || slices.Contains(except, name) {
				continue
			}
			s.Set(keyOf(rest), value, Source{Environment, "environment variable " + name})
		}
	}
}

// keyOf turns the rest of a variable's name into a key.
func keyOf(rest string) string {
	const dash, underscore = "\x00", "\x01"
	rest = strings.ReplaceAll(rest, "___", dash)
	rest = strings.ReplaceAll(rest, "__", underscore)
	rest = strings.ReplaceAll(rest, "_", ".")
	rest = strings.ReplaceAll(rest, underscore, "_")
	return strings.ToLower(strings.ReplaceAll(rest, dash, "-"))
}
