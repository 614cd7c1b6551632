package broker

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/millrace/millrace/broker/internal/metadata"
	"github.com/millrace/millrace/internal/disk"
)

func commitOffset(t *testing.T, b *Broker, group, topic string, at int64) {
	t.Helper()
	offsets := kadm.Offsets{}
	offsets.AddOffset(topic, 0, at, -1)
	if err := adminOf(t, b).CommitAllOffsets(t.Context(), group, offsets); err != nil {
		t.Fatal(err)
	}
}

// committedOffset is -1 if there is none.
func committedOffset(t *testing.T, b *Broker, group, topic string) int64 {
	t.Helper()
	fetched, err := adminOf(t, b).FetchOffsets(t.Context(), group)
	if err != nil {
		t.Fatal(err)
	}
	if offset, ok := fetched.Lookup(topic, 0); ok {
		return offset.At
	}
	return -1
}

// A new topic begins without the offsets that groups have committed for an old one of its name: they would skip its
// first records.
func TestARecreatedTopicHasNoCommittedOffsets(t *testing.T) {
	files := disk.NewMem()
	b, stop := startOn(t, files, nil)
	for _, name := range []string{"clicks", "kept"} {
		createTopic(t, b, name, 1)
		commitOffset(t, b, "readers", name, 5)
	}
	deleteTopic(t, b, "clicks")
	createTopic(t, b, "clicks", 1)
	check := func() {
		t.Helper()
		if got := committedOffset(t, b, "readers", "clicks"); got != -1 {
			t.Errorf("the new topic has the committed offset %d", got)
		}
		if got := committedOffset(t, b, "readers", "kept"); got != 5 {
			t.Errorf("the other topic has the committed offset %d", got)
		}
	}
	check()
	stop()
	b, stop = startOn(t, files, nil)
	defer stop()
	check()
}

// A crash after the deletion of a topic and before that of its offsets is made up for before the name can be used
// again.
func TestCrashBetweenATopicAndItsOffsets(t *testing.T) {
	states := crashesDuring(t, func(b *Broker) {
		createTopic(t, b, "clicks", 1)
		commitOffset(t, b, "readers", "clicks", 5)
	}, func(b *Broker) { deleteTopic(t, b, "clicks") })
	deleted := 0
	for _, state := range states {
		b, stop := startOn(t, state.files, nil)
		want := int64(5)
		if b.controller.image().Topic("clicks") == nil {
			deleted++
			want = -1
			createTopic(t, b, "clicks", 1)
		}
		if got := committedOffset(t, b, "readers", "clicks"); got != want {
			t.Errorf("%s: committed offset %d, want %d", state.title, got, want)
		}
		stop()
	}
	if deleted == 0 || deleted == len(states) {
		t.Errorf("%d of %d states have the deletion: the test looks at nothing", deleted, len(states))
	}
}

// What the broker keeps for itself is not for clients to make, grow or delete.
func TestInternalTopicsAreTheBrokersOwn(t *testing.T) {
	b := startBroker(t, Options{Config: map[string]string{"offsets.topic.segment.bytes": "54321"}}, nil)
	c := dial(t, b)
	if got := c.ask(createRequest(5, topicToCreate(metadata.OffsetsTopic, 1, 1))); got == nil {
		t.Fatal("no answer")
	}
	if b.controller.image().Topic(metadata.OffsetsTopic) != nil {
		t.Error("a client has created the offsets topic")
	}
	createTopic(t, b, "clicks", 1)
	commitOffset(t, b, "readers", "clicks", 5)
	offsets := b.controller.image().Topic(metadata.OffsetsTopic)
	if offsets == nil || !offsets.Internal || offsets.Partitions != 16 || offsets.Configs["segment.bytes"] != "54321" {
		t.Fatalf("the offsets topic is %+v", offsets)
	}
	if codes := topicCodes(c.ask(metadataRequest(1, nil))); len(codes) != 2 {
		t.Errorf("listed %v", codes)
	}
	c.ask(deleteRequest(5, metadata.OffsetsTopic))
	if b.controller.image().Topic(metadata.OffsetsTopic) != offsets {
		t.Error("a client has deleted the offsets topic")
	}
}
