package config

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestTablesAreSortedAndComplete(t *testing.T) {
	for title, table := range map[string][]Setting{"broker": brokerTable, "topic": topicTable} {
		if !slices.IsSortedFunc(table, func(a, b Setting) int { return strings.Compare(a.Name, b.Name) }) {
			t.Errorf("%s table is not sorted", title)
		}
		for i := range table {
			setting := &table[i]
			if setting.Doc == "" {
				t.Errorf("%s has no documentation", setting.Name)
			}
			if setting.NoDefault && setting.Default != "" {
				t.Errorf("%s has a default and has none", setting.Name)
			}
			if setting.NoDefault {
				continue
			}
			if _, err := setting.parse(setting.Default); err != nil {
				t.Errorf("default: %v", err)
			}
			if got := setting.canonical(setting.Default); got != setting.Default {
				t.Errorf("%s: default %q is shown as %q", setting.Name, setting.Default, got)
			}
		}
	}
	if !slices.IsSorted(ignoredNames) {
		t.Error("ignored names are not sorted")
	}
	for _, name := range ignoredNames {
		if brokerSettings[name] != nil {
			t.Errorf("%s is a setting and is ignored", name)
		}
	}
}

// A field that no setting fills would always be zero, and nobody would notice.
func TestEachFieldHasASetting(t *testing.T) {
	for _, c := range []struct {
		holder any
		table  []Setting
	}{{Broker{}, brokerTable}, {Topic{}, topicTable}} {
		names := map[string]Kind{}
		for i := range c.table {
			names[fieldName(c.table[i].Name)] = c.table[i].Kind
		}
		types := map[Kind]reflect.Type{
			Boolean: reflect.TypeFor[bool](), String: reflect.TypeFor[string](), Int: reflect.TypeFor[int32](),
			Long: reflect.TypeFor[int64](), Double: reflect.TypeFor[float64](), List: reflect.TypeFor[[]string](),
		}
		holder := reflect.TypeOf(c.holder)
		for field := range holder.Fields() {
			if field.Name == "Ignored" || !field.IsExported() {
				continue
			}
			kind, ok := names[field.Name]
			if !ok {
				t.Errorf("%s.%s has no setting", holder.Name(), field.Name)
			} else if field.Type != types[kind] {
				t.Errorf("%s.%s is %v, its setting is %s", holder.Name(), field.Name, field.Type, kind)
			}
		}
	}
}

// A topic setting that is not set anywhere is the default in its own row; one in the broker's rows is the same.
func TestSynonymsShareTheTopicSettingsDefault(t *testing.T) {
	b := mustParse(t, nil)
	for i := range topicTable {
		setting := &topicTable[i]
		for j, synonym := range setting.Synonyms {
			row := brokerSettings[synonym.Name]
			if row == nil {
				t.Fatalf("%s: no broker setting %s", setting.Name, synonym.Name)
			}
			if last := j == len(setting.Synonyms)-1; last == row.NoDefault {
				t.Errorf("%s: of the synonyms, only the last one has a default, not %s", setting.Name, synonym.Name)
			}
			if row.NoDefault {
				continue
			}
			if got := synonym.convert(row.Default); got != setting.Default {
				t.Errorf("%s is %s by default and its synonym %s says %s", setting.Name, setting.Default, row.Name, got)
			}
		}
		if text, _ := b.resolve(setting, nil); text != setting.Default {
			t.Errorf("%s resolves to %q", setting.Name, text)
		}
	}
}

// What tools read, modify and write back has to be all of what Kafka has (org.apache.kafka.common.config.TopicConfig).
func TestEveryTopicSettingOfKafkaIsThere(t *testing.T) {
	kafka := strings.Fields(`
		cleanup.policy compression.gzip.level compression.lz4.level compression.type compression.zstd.level
		delete.retention.ms file.delete.delay.ms flush.messages flush.ms follower.replication.throttled.replicas
		index.interval.bytes leader.replication.throttled.replicas local.retention.bytes local.retention.ms
		max.compaction.lag.ms max.message.bytes message.timestamp.after.max.ms message.timestamp.before.max.ms
		message.timestamp.type min.cleanable.dirty.ratio min.compaction.lag.ms min.insync.replicas preallocate
		remote.log.copy.disable remote.log.delete.on.disable remote.storage.enable retention.bytes retention.ms
		segment.bytes segment.index.bytes segment.jitter.ms segment.ms unclean.leader.election.enable`)
	own := []string{"flush", "write"}
	want := slices.Sorted(slices.Values(append(kafka, own...)))
	if got := slices.Sorted(maps.Keys(topicSettings)); !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func mustParse(t *testing.T, values map[string]string) *Broker {
	t.Helper()
	b, err := ParseBroker(values)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
