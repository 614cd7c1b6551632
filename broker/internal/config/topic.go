package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
)

// Topic is the configuration of one topic: each field is the setting of that name, resolved.
type Topic struct {
	CleanupPolicy               []string // "delete", "compact" or both
	CompressionGzipLevel        int32
	DeleteRetentionMs           int64
	MaxCompactionLagMs          int64
	MinCleanableDirtyRatio      float64 // within [0, 1]
	MinCompactionLagMs          int64
	CompressionLz4Level         int32
	CompressionType             string // "producer": as sent
	CompressionZstdLevel        int32
	Flush                       string // FlushCommit, FlushInterval or FlushOS
	FlushMessages               int64
	FlushMs                     int64
	IndexIntervalBytes          int32
	MaxMessageBytes             int32
	MessageTimestampAfterMaxMs  int64
	MessageTimestampBeforeMaxMs int64
	MessageTimestampType        string // "CreateTime" or "LogAppendTime"
	Preallocate                 bool
	RetentionBytes              int64 // negative: no limit
	RetentionMs                 int64 // -1: no limit
	SegmentBytes                int32
	SegmentIndexBytes           int32
	SegmentJitterMs             int64
	SegmentMs                   int64
	Write                       string // WriteBuffered or WriteDirect
}

// Topic resolves a topic's settings: its own overrides, else the broker's, else the defaults.
// A name that no topic setting has is an error that names the nearest; so is a value that does not parse, is out of
// range or contradicts another one. overrides is not kept.
func (b *Broker) Topic(overrides map[string]string) (Topic, error) {
	for _, name := range slices.Sorted(maps.Keys(overrides)) {
		if topicSettings[name] == nil {
			return Topic{}, fmt.Errorf("unknown topic config %q%s", name, suggestion(name, namesOf(topicTable)))
		}
	}
	var t Topic
	target := reflect.ValueOf(&t).Elem()
	for i := range topicTable {
		setting := &topicTable[i]
		text, _ := b.resolve(setting, overrides)
		value, err := setting.parse(text)
		if err != nil {
			return Topic{}, err
		}
		if field := target.FieldByName(fieldName(setting.Name)); field.IsValid() {
			field.Set(reflect.ValueOf(value))
		}
	}
	return t, b.checkCompactionLag(overrides)
}

func (b *Broker) checkCompactionLag(overrides map[string]string) error {
	lag := func(name string) int64 {
		setting := topicSettings[name]
		text, _ := b.resolve(setting, overrides)
		value, _ := setting.parse(text)
		return value.(int64)
	}
	low, high := lag("min.compaction.lag.ms"), lag("max.compaction.lag.ms")
	if low > high {
		return fmt.Errorf("min.compaction.lag.ms: %d is more than max.compaction.lag.ms, %d", low, high)
	}
	return nil
}

// Compacts says whether the topic keeps the last record of each key.
func (t *Topic) Compacts() bool { return slices.Contains(t.CleanupPolicy, "compact") }

// Deletes says whether the topic drops old segments by time and size.
func (t *Topic) Deletes() bool { return slices.Contains(t.CleanupPolicy, "delete") }

// TopicSetting returns the row of a topic setting, or nil.
func TopicSetting(name string) *Setting { return topicSettings[name] }
