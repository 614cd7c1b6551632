package metadata

import (
	"errors"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/millrace/millrace/broker/internal/quota"
)

// fullImage is an image in which no field is zero.
func fullImage(t testing.TB) *Image {
	t.Helper()
	return mustApply(t, Empty("cluster", 7),
		&FeatureLevelRecord{Name: FeatureTransaction, Level: 1},
		&RegisterBrokerRecord{BrokerID: 7, BrokerEpoch: 4},
		&TopicRecord{Name: "clicks", ID: id(1)}, &PartitionRecord{TopicID: id(1)}, &PartitionRecord{TopicID: id(1), PartitionID: 1},
		&ConfigRecord{ResourceType: resourceTopic, ResourceName: "clicks", Name: "retention.ms", Value: text("1000")},
		&ConfigRecord{ResourceType: resourceTopic, ResourceName: "clicks", Name: "cleanup.policy", Value: text("")},
		&ConfigRecord{ResourceType: resourceBroker, ResourceName: "7", Name: "log.retention.ms", Value: text("1000")},
		&ConfigRecord{ResourceType: resourceBroker, ResourceName: AllBrokers, Name: "compression.type", Value: text("lz4")},
		&TopicRecord{Name: OffsetsTopic, ID: id(2)}, &PartitionRecord{TopicID: id(2)},
		&ProducerIDsRecord{NextProducerID: 3000},
		&ClientQuotaRecord{Entity: []quota.Part{{Type: quota.TypeUser}, {Type: quota.TypeClientID, Name: text("app")}}, Key: "request_percentage", Value: 12.5},
		&ClientQuotaRecord{Entity: []quota.Part{{Type: quota.TypeUser}, {Type: quota.TypeClientID, Name: text("app")}}, Key: "consumer_byte_rate", Value: 1024},
		&ClientQuotaRecord{Entity: []quota.Part{{Type: quota.TypeIP, Name: text("10.0.0.1")}}, Key: "connection_creation_rate", Value: 5},
	)
}

// Who adds a field to Image or Topic makes fullImage set it, and then Snapshot write it.
func TestASnapshotHasAllOfAnImage(t *testing.T) {
	image := fullImage(t)
	for title, value := range map[string]reflect.Value{
		"Image": reflect.ValueOf(*image),
		"Topic": reflect.ValueOf(*image.Topic("clicks")),
	} {
		for i := range value.NumField() {
			name := value.Type().Field(i).Name
			if value.Field(i).IsZero() && title+"."+name != "Topic.Internal" {
				t.Errorf("fullImage leaves %s.%s empty: this test cannot see whether a snapshot has it", title, name)
			}
		}
	}
	if !image.Topic(OffsetsTopic).Internal {
		t.Error("fullImage has no internal topic")
	}
	for title, before := range map[string]*Image{
		"empty": Empty("cluster", 7),
		"same":  image,
		"older": mustApply(t, Empty("cluster", 7), &TopicRecord{Name: "gone", ID: id(9)}, &ProducerIDsRecord{NextProducerID: 1000}),
	} {
		if after := mustApply(t, before, recoded(t, image.Snapshot())...); !reflect.DeepEqual(after, image) {
			t.Errorf("over an image that is %s: %s\nwant %s\n%+v\n%+v", title, describe(after), describe(image), after, image)
		}
	}
}

// recoded is records as they come back from a log.
func recoded(t interface{ Fatal(...any) }, records []Record) []Record {
	decoded := make([]Record, len(records))
	for i, r := range records {
		var err error
		if decoded[i], err = Decode(Encode(r)); err != nil {
			t.Fatal(err)
		}
	}
	return decoded
}

// Snapshots in the middle of a history change nothing, and the history from the latest one on is enough.
func TestAHistoryFromItsSnapshotOnIsTheWholeHistory(t *testing.T) {
	b := settings(t)
	rapid.Check(t, func(t *rapid.T) {
		image := mustApplyRapid(t, Empty("c", 1), Format()...)
		var sinceSnapshot []Record
		next := counterWide()
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			if rapid.IntRange(0, 4).Draw(t, "snapshot") == 0 {
				sinceSnapshot = recoded(t, image.Snapshot())
				again := mustApplyRapid(t, image, sinceSnapshot...)
				if !reflect.DeepEqual(again, image) {
					t.Fatalf("after the snapshot %s\nbefore         %s", describe(again), describe(image))
				}
				continue
			}
			records := recoded(t, decideSomething(t, b, image, next))
			image = mustApplyRapid(t, image, records...)
			sinceSnapshot = append(sinceSnapshot, records...)
		}
		if replayed := mustApplyRapid(t, Empty("c", 1), sinceSnapshot...); !reflect.DeepEqual(replayed, image) {
			t.Fatalf("replayed %s\nhad      %s", describe(replayed), describe(image))
		}
	})
}

func TestASnapshotIsWholeAndNeverGoesBack(t *testing.T) {
	image := fullImage(t)
	for title, records := range map[string][]Record{
		"no end":         {&BeginTransactionRecord{}, &RegisterBrokerRecord{BrokerEpoch: 9}, &ProducerIDsRecord{NextProducerID: 9000}},
		"no beginning":   {&EndTransactionRecord{}},
		"one in another": {&BeginTransactionRecord{}, &BeginTransactionRecord{}, &EndTransactionRecord{}},
		"older epoch":    {&BeginTransactionRecord{}, &RegisterBrokerRecord{BrokerEpoch: 3}, &ProducerIDsRecord{NextProducerID: 9000}, &EndTransactionRecord{}},
		"older ids":      {&BeginTransactionRecord{}, &RegisterBrokerRecord{BrokerEpoch: 9}, &ProducerIDsRecord{NextProducerID: 2000}, &EndTransactionRecord{}},
	} {
		if after, err := image.Apply(records...); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v, %v", title, after, err)
		}
	}
}
