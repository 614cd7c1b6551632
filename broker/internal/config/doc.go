// Package config holds every setting of the broker and of a topic: Kafka's name, type, default, allowed values,
// documentation and synonyms.
//
// The two tables (brokertable.go, topictable.go) are the only place where a setting is named. Parsing, validation,
// the typed structs Broker and Topic, and what DescribeConfigs answers all derive from them. A struct has a field
// for each setting that the broker's code reads; the field's name is the setting's in camel case.
//
// The package is pure: it opens no file and reads no clock.
package config
