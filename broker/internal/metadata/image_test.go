package metadata

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func id(n byte) [16]byte { return [16]byte{15: n} }

// describe is an image in words.
func describe(image *Image) string {
	var s strings.Builder
	fmt.Fprintf(&s, "%s/%d epoch %d producer ids from %d", image.ClusterID(), image.NodeID(), image.LeaderEpoch(), image.NextProducerID())
	if len(image.brokerConfigs) > 0 {
		fmt.Fprintf(&s, "; brokers %v", image.brokerConfigs)
	}
	for _, t := range image.Topics() {
		fmt.Fprintf(&s, "; %s %x x%d %v", t.Name, t.ID[12:], t.Partitions, t.Configs)
		if t.Internal {
			s.WriteString(" internal")
		}
	}
	for _, entity := range image.Quotas().Entities() {
		fmt.Fprintf(&s, "; %v %v", entity, image.Quotas().Of(entity))
	}
	return s.String()
}

func mustApply(t testing.TB, image *Image, records ...Record) *Image {
	t.Helper()
	after, err := image.Apply(records...)
	if err != nil {
		t.Fatal(err)
	}
	return after
}

func TestApplyLeavesTheImageBeforeAsItWas(t *testing.T) {
	first := mustApply(t, Empty("c", 1), &TopicRecord{"a", id(1)}, &PartitionRecord{TopicID: id(1)},
		&ConfigRecord{2, "a", "retention.ms", text("1")})
	before := describe(first)
	topic := first.Topic("a")
	second := mustApply(t, first, &PartitionRecord{TopicID: id(1), PartitionID: 1}, &ConfigRecord{2, "a", "retention.ms", text("2")},
		&TopicRecord{"b", id(2)}, &ProducerIDsRecord{NextProducerID: 1000}, &RegisterBrokerRecord{BrokerEpoch: 0})
	third := mustApply(t, second, &RemoveTopicRecord{id(1)})
	if got := describe(first); got != before {
		t.Errorf("the first image became %s, was %s", got, before)
	}
	if first.Topic("a") != topic || first.TopicByID(id(1)) != topic {
		t.Error("the first image has another topic now")
	}
	if got, want := describe(second), "c/1 epoch 0 producer ids from 1000; a 00000001 x2 map[retention.ms:2]; b 00000002 x0 map[]"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got, want := describe(third), "c/1 epoch 0 producer ids from 1000; b 00000002 x0 map[]"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if third.Topic("b") != second.Topic("b") {
		t.Error("a topic that did not change is not shared")
	}
}

func TestARemovedTopicTakesItsSettingsWithIt(t *testing.T) {
	image := mustApply(t, Empty("c", 1), &TopicRecord{"a", id(1)}, &PartitionRecord{TopicID: id(1)},
		&ConfigRecord{2, "a", "retention.ms", text("1")}, &RemoveTopicRecord{id(1)}, &TopicRecord{"a", id(2)})
	if got, want := describe(image), "c/1 epoch -1 producer ids from 0; a 00000002 x0 map[]"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if image.TopicByID(id(1)) != nil {
		t.Error("the removed topic is found by its id")
	}
}

func TestApplyRefusesWhatCannotFollow(t *testing.T) {
	image := mustApply(t, Empty("c", 1), &TopicRecord{"a", id(1)}, &PartitionRecord{TopicID: id(1)},
		&RegisterBrokerRecord{BrokerEpoch: 3}, &ProducerIDsRecord{NextProducerID: 1000})
	for _, c := range []struct {
		record Record
		want   error
	}{
		{&TopicRecord{"a", id(2)}, ErrCorrupt},
		{&TopicRecord{"b", id(1)}, ErrCorrupt},
		{&PartitionRecord{TopicID: id(9)}, ErrCorrupt},
		{&PartitionRecord{TopicID: id(1), PartitionID: 0}, ErrCorrupt},
		{&PartitionRecord{TopicID: id(1), PartitionID: 2}, ErrCorrupt},
		{&ConfigRecord{2, "b", "retention.ms", text("1")}, ErrCorrupt},
		{&ConfigRecord{8, "1", "retention.ms", text("1")}, ErrNewer},
		{&RemoveTopicRecord{id(9)}, ErrCorrupt},
		{&RegisterBrokerRecord{BrokerEpoch: 3}, ErrCorrupt},
		{&RegisterBrokerRecord{BrokerEpoch: 1 << 31}, ErrCorrupt},
		{&ProducerIDsRecord{NextProducerID: 999}, ErrCorrupt},
		{&FeatureLevelRecord{"metadata.version", levelMetadata + 1}, ErrNewer},
		{&FeatureLevelRecord{"millrace.version", levelMillrace + 1}, ErrNewer},
		{&FeatureLevelRecord{"time.travel", 1}, ErrNewer},
	} {
		before := describe(image)
		if _, err := image.Apply(&TopicRecord{"z", id(26)}, c.record); !errors.Is(err, c.want) {
			t.Errorf("%T%+v: %v, want %v", c.record, c.record, err, c.want)
		}
		if describe(image) != before {
			t.Errorf("%T%+v changed the image", c.record, c.record)
		}
	}
	mustApply(t, image, &FeatureLevelRecord{"time.travel", 0})
	mustApply(t, image, Format()...)
}

func TestEachRegistrationIsANewEpoch(t *testing.T) {
	image := Empty("c", 1)
	for want := range int32(4) {
		image = mustApply(t, image, image.Registration(id(byte(want))))
		if got := image.LeaderEpoch(); got != want {
			t.Errorf("start %d has epoch %d", want, got)
		}
	}
}

func TestProducerIDsAreTakenOnce(t *testing.T) {
	image := Empty("c", 1)
	for want := int64(0); want < 5000; want += 1000 {
		if got := image.NextProducerID(); got != want {
			t.Fatalf("next producer id %d, want %d", got, want)
		}
		image = mustApply(t, image, image.ProducerIDs(1000))
	}
}

func BenchmarkCreateTopicAmongThousands(b *testing.B) {
	image := Empty("c", 1)
	var records []Record
	for i := range 5000 {
		topic := [16]byte{0: byte(i >> 8), 1: byte(i)}
		records = append(records, &TopicRecord{fmt.Sprintf("topic-%d", i), topic}, &PartitionRecord{TopicID: topic})
	}
	image = mustApply(b, image, records...)
	b.ReportAllocs()
	for b.Loop() {
		mustApply(b, image, &TopicRecord{"another", id(255)}, &PartitionRecord{TopicID: id(255)})
	}
}
