package config

import (
	"maps"
	"slices"
	"strings"
)

// Source says where a setting's value comes from. The numbers are those of DescribeConfigs (KIP-226).
type Source int8

// The sources that settings here can have.
const (
	SourceTopic          Source = 1
	SourceDynamicBroker  Source = 2 // set at run time for this broker
	SourceDynamicDefault Source = 3 // set at run time for all brokers
	SourceStaticBroker   Source = 4
	SourceDefault        Source = 5
	SourceBrokerLogger   Source = 6
)

// Description is what DescribeConfigs says of one setting.
type Description struct {
	*Setting
	Value  *string // nil: none
	Source Source
	// Values are all that would give the setting its value, strongest first; the first one does.
	Values []NamedValue
}

// NamedValue is a value under the name that it was given by.
type NamedValue struct {
	Name   string
	Value  string
	Source Source
}

// DescribeTopic describes every topic setting, sorted by name, for a topic with valid overrides.
func (b *Broker) DescribeTopic(overrides map[string]string) []Description {
	return b.describe(topicTable, overrides)
}

// Describe describes every setting of the broker, sorted by name.
func (b *Broker) Describe() []Description { return b.describe(brokerTable, nil) }

// DescribeDefaults describes the settings that were set at run time for all brokers, sorted by name.
func (b *Broker) DescribeDefaults() []Description {
	var descriptions []Description
	for _, l := range b.layers {
		if l.source != SourceDynamicDefault {
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(l.values)) {
			setting := brokerSettings[name]
			text := setting.canonical(l.values[name])
			descriptions = append(descriptions, Description{Setting: setting, Value: &text, Source: l.source,
				Values: []NamedValue{{name, text, l.source}}})
		}
	}
	return descriptions
}

func (b *Broker) describe(table []Setting, overrides map[string]string) []Description {
	descriptions := make([]Description, 0, len(table))
	for i := range table {
		setting := &table[i]
		d := Description{Setting: setting, Source: SourceDefault}
		if text, ok := b.resolve(setting, overrides); ok {
			text = setting.canonical(text)
			d.Value = &text
		}
		if text, ok := overrides[setting.Name]; ok {
			d.Values = append(d.Values, NamedValue{setting.Name, setting.canonical(text), SourceTopic})
		}
		d.Values = append(d.Values, b.namedValues(setting)...)
		if len(d.Values) > 0 {
			d.Source = d.Values[0].Source
		}
		descriptions = append(descriptions, d)
	}
	return descriptions
}

// namedValues are the values that the layers have, then those of all names that have a default, as Kafka orders them.
// A topic setting shares its default with its synonyms; a broker's own default ends the list.
func (b *Broker) namedValues(setting *Setting) []NamedValue {
	var given, defaults []NamedValue
	for _, l := range b.layers {
		for _, name := range setting.names() {
			if text, ok := l.values[name.Name]; ok {
				given = append(given, NamedValue{name.Name, brokerSettings[name.Name].canonical(text), l.source})
			}
		}
	}
	for _, synonym := range setting.Synonyms {
		if row := brokerSettings[synonym.Name]; !row.NoDefault {
			defaults = append(defaults, NamedValue{row.Name, row.canonical(row.Default), SourceDefault})
		}
	}
	if brokerSettings[setting.Name] == setting && !setting.NoDefault {
		defaults = append(defaults, NamedValue{setting.Name, setting.canonical(setting.Default), SourceDefault})
	}
	return append(given, defaults...)
}

// Append is a list setting's value with the elements of text appended to the present one, each that is not there
// already (IncrementalAlterConfigs). overrides are the topic's own settings.
func (b *Broker) Append(setting *Setting, overrides map[string]string, text string) string {
	present, _ := b.resolve(setting, overrides)
	var list []string
	known := map[string]bool{}
	for _, element := range append(splitList(present), splitList(text)...) {
		if !known[element] {
			list = append(list, element)
		}
		known[element] = true
	}
	return strings.Join(list, ",")
}

// Subtract is a list setting's value with the elements of text removed from the present one
// (IncrementalAlterConfigs). overrides are the topic's own settings.
func (b *Broker) Subtract(setting *Setting, overrides map[string]string, text string) string {
	present, _ := b.resolve(setting, overrides)
	gone := map[string]bool{}
	for _, element := range splitList(text) {
		gone[element] = true
	}
	list := slices.DeleteFunc(splitList(present), func(element string) bool { return gone[element] })
	return strings.Join(list, ",")
}
