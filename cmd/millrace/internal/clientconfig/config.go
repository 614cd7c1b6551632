// Package clientconfig understands the settings of Kafka clients, by the names that librdkafka and
// the Java client have for them, and turns them into options of kgo.
package clientconfig

import (
	"maps"
	"slices"
	"strings"

	"github.com/millrace/millrace/cmd/millrace/internal/settings"
	"github.com/millrace/millrace/cmd/millrace/internal/usage"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Config holds client settings under their canonical names. The zero value is empty.
type Config struct {
	values  map[string]string
	sources map[string]string
}

// Set stores a value; a later one wins. An unknown key and a bad value are a *usage.Error that has
// the source ("-X client.id=a").
func (c *Config) Set(name, value, source string) error {
	k, found := find(name)
	switch {
	case slices.Contains(withoutEffect, name):
		return nil
	case !found:
		return usage.Errorf("%s: %v", source, usage.Unknown("setting", name, names()))
	}
	if _, err := k.options(value); err != nil {
		return usage.Errorf("%s: %s: %v", source, name, err)
	}
	if c.values == nil {
		c.values, c.sources = map[string]string{}, map[string]string{}
	}
	c.values[k.name], c.sources[k.name] = value, source
	return nil
}

// SetAll stores what was read from a file.
func (c *Config) SetAll(read *settings.Settings) error {
	values := read.Values()
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if err := c.Set(name, values[name], read.Source(name).Text); err != nil {
			return err
		}
	}
	return nil
}

// SetEnvironment stores the variables MILLRACE_CLIENT_... among environ ("NAME=value"):
// MILLRACE_CLIENT_SASL_USERNAME is sasl.username.
func (c *Config) SetEnvironment(environ []string) error {
	for _, variable := range slices.Sorted(slices.Values(environ)) {
		name, value, _ := strings.Cut(variable, "=")
		rest, found := strings.CutPrefix(name, environmentPrefix)
		if !found || value == "" {
			continue
		}
		key := strings.ToLower(strings.ReplaceAll(rest, "_", "."))
		if err := c.Set(key, value, "environment variable "+name); err != nil {
			return err
		}
	}
	return nil
}

const environmentPrefix = "MILLRACE_CLIENT_"

// Brokers returns bootstrap.servers and where it was set, "" if it was not.
func (c *Config) Brokers() (list, source string) {
	return c.values[bootstrapServers], c.sources[bootstrapServers]
}

// Has reports whether a setting was given, by its canonical name.
func (c *Config) Has(name string) bool { _, ok := c.values[name]; return ok }

// Setting is one setting for display. Value is nil when it is a secret.
type Setting struct {
	Name   string  `json:"name"`
	Value  *string `json:"value"`
	Source string  `json:"source"`
}

// Settings returns everything set, by name.
func (c *Config) Settings() []Setting {
	list := []Setting{}
	for _, name := range slices.Sorted(maps.Keys(c.values)) {
		setting := Setting{Name: name, Source: c.sources[name]}
		if k, _ := find(name); !k.secret {
			value := c.values[name]
			setting.Value = &value
		}
		list = append(list, setting)
	}
	return list
}

// Values returns a copy of everything set, secrets included.
func (c *Config) Values() map[string]string { return maps.Clone(c.values) }

// Options returns the options of a client. It reads the files that the settings name. An error is a
// *usage.Error.
func (c *Config) Options() ([]kgo.Opt, error) {
	var all []kgo.Opt
	for _, name := range slices.Sorted(maps.Keys(c.values)) {
		k, _ := find(name)
		options, err := k.options(c.values[name])
		if err != nil {
			return nil, usage.Errorf("%s: %s: %v", c.sources[name], name, err)
		}
		all = append(all, options...)
	}
	secure, err := c.security()
	if err != nil {
		return nil, err
	}
	if acks := c.values["acks"]; acks != "" && acks != "all" && acks != "-1" {
		all = append(all, kgo.DisableIdempotentWrite())
	}
	return append(all, secure...), nil
}
