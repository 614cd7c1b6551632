package metadata

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/millrace/millrace/broker/internal/config"
	"github.com/millrace/millrace/broker/internal/quota"
)

// Whatever is decided in whatever order: the records, encoded, decoded and applied to an empty image in any grouping,
// lead to the image that the broker had, and no decision leads to records that cannot follow.
func TestReplayOfAllRecordsIsTheImage(t *testing.T) {
	b := settings(t, "num.partitions", "2")
	rapid.Check(t, func(t *rapid.T) {
		image := mustApplyRapid(t, Empty("c", 1), Format()...)
		history := Format()
		next := counterWide()
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			records := decideSomething(t, b, image, next)
			image = mustApplyRapid(t, image, records...)
			history = append(history, records...)
		}
		replayed := Empty("c", 1)
		for len(history) > 0 {
			size := rapid.IntRange(1, len(history)).Draw(t, "group")
			for i, record := range history[:size] {
				decoded, err := Decode(Encode(record))
				if err != nil {
					t.Fatal(err)
				}
				history[i] = decoded
			}
			replayed = mustApplyRapid(t, replayed, history[:size]...)
			history = history[size:]
		}
		if got, want := describe(replayed), describe(image); got != want {
			t.Fatalf("replayed %s\nhad      %s", got, want)
		}
		sorted := func(a, b *Topic) int { return strings.Compare(a.Name, b.Name) }
		if !slices.IsSortedFunc(image.Topics(), sorted) {
			t.Fatalf("not sorted: %s", describe(image))
		}
		for _, topic := range image.Topics() {
			if image.TopicByID(topic.ID) != topic || image.Topic(topic.Name) != topic || topic.Partitions == 0 {
				t.Fatalf("topic %+v is not what its name and id lead to", topic)
			}
		}
	})
}

func mustApplyRapid(t *rapid.T, image *Image, records ...Record) *Image {
	after, err := image.Apply(records...)
	if err != nil {
		t.Fatalf("decided records cannot follow: %v", err)
	}
	return after
}

func counterWide() func() [16]byte {
	n := 0
	return func() [16]byte { n++; return [16]byte{14: byte(n >> 8), 15: byte(n)} }
}

var someNames = []string{"a", "b", "c.d", "c_d", "", "bad name", OffsetsTopic}

func decideSomething(t *rapid.T, b *config.Broker, image *Image, next func() [16]byte) []Record {
	name := func() string { return rapid.SampledFrom(someNames).Draw(t, "name") }
	value := func() *string {
		return rapid.SampledFrom([]*string{nil, text("1"), text("delete"), text("compact"), text("")}).Draw(t, "value")
	}
	setting := func() string {
		return rapid.SampledFrom([]string{"retention.ms", "cleanup.policy", "segment.ms", "nonsense"}).Draw(t, "setting")
	}
	switch rapid.IntRange(0, 8).Draw(t, "kind") {
	case 0:
		var wanted []NewTopic
		for range rapid.IntRange(1, 3).Draw(t, "topics") {
			wanted = append(wanted, NewTopic{
				Name: name(), Partitions: rapid.Int32Range(-1, 3).Draw(t, "partitions"), ReplicationFactor: rapid.Int16Range(-1, 2).Draw(t, "factor"),
				Configs: []ConfigValue{{setting(), value()}}, Own: rapid.Bool().Draw(t, "own"),
			})
		}
		records, _ := image.CreateTopics(b, wanted, next)
		return records
	case 1:
		var refs []TopicRef
		for range rapid.IntRange(1, 3).Draw(t, "refs") {
			chosen := name()
			refs = append(refs, TopicRef{Name: &chosen})
		}
		if topics := image.Topics(); len(topics) > 0 {
			refs = append(refs, TopicRef{ID: rapid.SampledFrom(topics).Draw(t, "topic").ID})
		}
		records, _ := image.DeleteTopics(refs)
		return records
	case 2:
		records, _ := image.CreatePartitions([]MorePartitions{{Topic: name(), Count: rapid.Int32Range(0, 6).Draw(t, "count")}})
		return records
	case 3:
		var changes []ConfigChange
		for range rapid.IntRange(1, 2).Draw(t, "changes") {
			changes = append(changes, ConfigChange{setting(), ConfigOp(rapid.IntRange(0, 4).Draw(t, "op")), value()})
		}
		records, _ := image.ChangeConfigs(b, name(), changes)
		return records
	case 4:
		records, _ := image.ReplaceConfigs(b, name(), []ConfigValue{{setting(), value()}})
		return records
	case 5:
		name := rapid.SampledFrom([]string{AllBrokers, "1", "2"}).Draw(t, "broker")
		setting := rapid.SampledFrom([]string{"log.retention.ms", "log.cleanup.policy", "message.max.bytes", "node.id"}).Draw(t, "setting")
		records, _ := image.ChangeBrokerConfigs(b, name, []ConfigChange{{setting, ConfigOp(rapid.IntRange(0, 4).Draw(t, "op")), value()}})
		return records
	case 6:
		return []Record{image.ProducerIDs(1000)}
	case 7:
		var changes []QuotaChange
		for range rapid.IntRange(1, 2).Draw(t, "changes") {
			changes = append(changes, QuotaChange{
				Entity: []quota.Part{{Type: rapid.SampledFrom([]string{"user", "client-id", "ip"}).Draw(t, "type"), Name: rapid.SampledFrom([]*string{nil, text("a")}).Draw(t, "entity")}},
				Ops: []QuotaOp{{rapid.SampledFrom([]string{"producer_byte_rate", "connection_creation_rate"}).Draw(t, "key"),
					float64(rapid.IntRange(-1, 3).Draw(t, "value")), rapid.Bool().Draw(t, "remove")}},
			})
		}
		records, _ := image.ChangeQuotas(changes)
		return records
	default:
		return []Record{image.Registration(next())}
	}
}
