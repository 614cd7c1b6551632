package config

import (
	"slices"
	"strings"
)

// Source says where a setting's value comes from. The numbers are those of DescribeConfigs (KIP-226).
type Source int8

// The sources that settings here can have.
const (
	SourceTopic        Source = 1
	SourceStaticBroker Source = 4
	SourceDefault      Source = 5
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
	return b.describe(topicTable, SourceTopic, overrides)
}

// Describe describes every setting of the broker, sorted by name.
func (b *Broker) Describe() []Description {
	return b.describe(brokerTable, SourceStaticBroker, b.given)
}

func (b *Broker) describe(table []Setting, own Source, values map[string]string) []Description {
	descriptions := make([]Description, 0, len(table))
	for i := range table {
		setting := &table[i]
		d := Description{Setting: setting, Source: SourceDefault}
		if text, ok := b.resolve(setting, values); ok {
			text = setting.canonical(text)
			d.Value = &text
		}
		if text, ok := values[setting.Name]; ok {
			d.Values = append(d.Values, NamedValue{setting.Name, setting.canonical(text), own})
		}
		d.Values = append(d.Values, b.synonymValues(setting, own)...)
		if len(d.Values) > 0 {
			d.Source = d.Values[0].Source
		}
		descriptions = append(descriptions, d)
	}
	return descriptions
}

// synonymValues are the values of the synonyms that are given, then those of all that have a default, as Kafka
// orders them. A topic setting shares its default with its synonyms; without any, or for the broker itself, its
// own default ends the list.
func (b *Broker) synonymValues(setting *Setting, own Source) []NamedValue {
	var given, defaults []NamedValue
	for _, synonym := range setting.Synonyms {
		row := brokerSettings[synonym.Name]
		if text, ok := b.given[row.Name]; ok {
			given = append(given, NamedValue{row.Name, row.canonical(text), SourceStaticBroker})
		}
		if !row.NoDefault {
			defaults = append(defaults, NamedValue{row.Name, row.canonical(row.Default), SourceDefault})
		}
	}
	if own == SourceStaticBroker && !setting.NoDefault {
		defaults = append(defaults, NamedValue{setting.Name, setting.canonical(setting.Default), SourceDefault})
	}
	return append(given, defaults...)
}

// Append is a list setting's value with the elements of text appended to the present one, each that is not there
// already (IncrementalAlterConfigs). overrides are the topic's own settings.
func (b *Broker) Append(setting *Setting, overrides map[string]string, text string) string {
	present, _ := b.resolve(setting, overrides)
	list := splitList(present)
	for _, element := range splitList(text) {
		if !slices.Contains(list, element) {
			list = append(list, element)
		}
	}
	return strings.Join(list, ",")
}

// Subtract is a list setting's value with the elements of text removed from the present one
// (IncrementalAlterConfigs). overrides are the topic's own settings.
func (b *Broker) Subtract(setting *Setting, overrides map[string]string, text string) string {
	present, _ := b.resolve(setting, overrides)
	gone := splitList(text)
	list := slices.DeleteFunc(splitList(present), func(element string) bool { return slices.Contains(gone, element) })
	return strings.Join(list, ",")
}
