package metadata

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/millrace/millrace/broker/internal/config"
)

func settings(t testing.TB, values ...string) *config.Broker {
	t.Helper()
	given := map[string]string{}
	for i := 0; i < len(values); i += 2 {
		given[values[i]] = values[i+1]
	}
	b, err := config.ParseBroker(given)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// counter returns ids 1, 2, 3 ...
func counter() func() [16]byte {
	n := byte(0)
	return func() [16]byte { n++; return id(n) }
}

func want(name string, partitions int32, factor int16) NewTopic {
	return NewTopic{Name: name, Partitions: partitions, ReplicationFactor: factor}
}

func TestCreateTopicsDecides(t *testing.T) {
	existing := mustApply(t, Empty("c", 1), &TopicRecord{"there", id(100)}, &PartitionRecord{TopicID: id(100)},
		&TopicRecord{"with.dot", id(101)}, &PartitionRecord{TopicID: id(101)},
		&TopicRecord{TransactionsTopic, id(102)}, &PartitionRecord{TopicID: id(102)})
	assigned := func(assignments ...Assignment) NewTopic {
		return NewTopic{Name: "a", Partitions: -1, ReplicationFactor: -1, Assignments: assignments}
	}
	configured := func(name string, value *string) NewTopic {
		return NewTopic{Name: "a", Partitions: 1, ReplicationFactor: 1, Configs: []ConfigValue{{name, value}}}
	}
	own := func(topic NewTopic) NewTopic { topic.Own = true; return topic }
	for _, c := range []struct {
		title      string
		wanted     NewTopic
		err        error
		partitions int32
	}{
		{"plain", want("a", 3, 1), nil, 3},
		{"default partitions", want("a", -1, 1), nil, 4},
		{"default factor", want("a", 2, -1), nil, 2},
		{"longest name", want(strings.Repeat("x", 249), 1, 1), nil, 1},
		{"name too long", want(strings.Repeat("x", 250), 1, 1), ErrInvalidTopic, 0},
		{"no name", want("", 1, 1), ErrInvalidTopic, 0},
		{"dot", want(".", 1, 1), ErrInvalidTopic, 0},
		{"dots", want("..", 1, 1), ErrInvalidTopic, 0},
		{"three dots", want("...", 1, 1), nil, 1},
		{"slash", want("a/b", 1, 1), ErrInvalidTopic, 0},
		{"umlaut", want("ä", 1, 1), ErrInvalidTopic, 0},
		{"exists", want("there", 1, 1), ErrTopicExists, 0},
		{"collides", want("with_dot", 1, 1), ErrInvalidTopic, 0},
		{"collision with itself", want("with.dot", 1, 1), ErrTopicExists, 0},
		{"no collision", want("with-dot", 1, 1), nil, 1},
		{"offsets topic", want(OffsetsTopic, 1, 1), ErrInvalidTopic, 0},
		{"internal topic that exists", want(TransactionsTopic, 1, 1), ErrTopicExists, 0},
		{"own offsets topic", own(want(OffsetsTopic, 16, -1)), nil, 16},
		{"metadata log", own(want(MetadataTopic, 1, 1)), ErrInvalidTopic, 0},
		{"no partitions", want("a", 0, 1), ErrInvalidPartitions, 0},
		{"negative partitions", want("a", -2, 1), ErrInvalidPartitions, 0},
		{"too many partitions", want("a", partitionsPerChange+1, 1), ErrPolicy, 0},
		{"factor 0", want("a", 1, 0), ErrInvalidReplicationFactor, 0},
		{"factor -2", want("a", 1, -2), ErrInvalidReplicationFactor, 0},
		{"factor 2", want("a", 1, 2), ErrInvalidReplicationFactor, 0},
		{"own with factor 3", own(want("a", 1, 3)), nil, 1},
		{"assigned", assigned(Assignment{1, []int32{1}}, Assignment{0, []int32{1}}), nil, 2},
		{"assigned and counted", NewTopic{Name: "a", Partitions: 1, ReplicationFactor: -1, Assignments: []Assignment{{0, []int32{1}}}}, ErrInvalidRequest, 0},
		{"assigned and replicated", NewTopic{Name: "a", Partitions: -1, ReplicationFactor: 1, Assignments: []Assignment{{0, []int32{1}}}}, ErrInvalidRequest, 0},
		{"assigned twice", assigned(Assignment{0, []int32{1}}, Assignment{0, []int32{1}}), ErrInvalidReplicaAssignment, 0},
		{"assigned with a gap", assigned(Assignment{0, []int32{1}}, Assignment{2, []int32{1}}), ErrInvalidReplicaAssignment, 0},
		{"assigned to a stranger", assigned(Assignment{0, []int32{2}}), ErrInvalidReplicaAssignment, 0},
		{"assigned to nobody", assigned(Assignment{0, nil}), ErrInvalidReplicaAssignment, 0},
		{"assigned to the same twice", assigned(Assignment{0, []int32{1, 1}}), ErrInvalidReplicaAssignment, 0},
		{"configured", configured("retention.ms", text("5")), nil, 1},
		{"unknown config", configured("retention.m", text("5")), ErrInvalidConfig, 0},
		{"invalid config", configured("retention.ms", text("soon")), ErrInvalidConfig, 0},
		{"null config", configured("retention.ms", nil), ErrInvalidConfig, 0},
	} {
		records, results := existing.CreateTopics(settings(t, "num.partitions", "4"), []NewTopic{c.wanted}, counter())
		if len(results) != 1 || !errors.Is(results[0].Err, c.err) || results[0].Name != c.wanted.Name {
			t.Errorf("%s: %+v, want error %v", c.title, results, c.err)
			continue
		}
		if c.err != nil {
			if len(records) > 0 || results[0].Topic != nil {
				t.Errorf("%s: refused and yet %d records", c.title, len(records))
			}
			continue
		}
		topic := mustApply(t, existing, records...).Topic(c.wanted.Name)
		if topic == nil || topic.Partitions != c.partitions || fmt.Sprint(*topic) != fmt.Sprint(*results[0].Topic) {
			t.Errorf("%s: became %+v, announced %+v", c.title, topic, results[0].Topic)
		}
	}
}

func TestDefaultReplicationFactorThatCannotBeReached(t *testing.T) {
	three := settings(t, "default.replication.factor", "3")
	_, results := Empty("c", 1).CreateTopics(three, []NewTopic{want("a", 1, -1), {Name: "b", Partitions: 1, ReplicationFactor: -1, Own: true}}, counter())
	if !errors.Is(results[0].Err, ErrInvalidReplicationFactor) || results[1].Err != nil {
		t.Errorf("got %v and %v", results[0].Err, results[1].Err)
	}
}

func TestCreateTopicsAnswersEachNameOnce(t *testing.T) {
	records, results := Empty("c", 1).CreateTopics(settings(t),
		[]NewTopic{want("a", 1, 1), want("twice", 1, 1), want("b.c", 1, 1), want("twice", 2, 1), want("b_c", 1, 1)}, counter())
	var got []string
	for _, r := range results {
		got = append(got, fmt.Sprint(r.Name, " ", errors.Is(r.Err, ErrInvalidRequest), errors.Is(r.Err, ErrInvalidTopic)))
	}
	if want := "[a false false twice true false b.c false false b_c false true]"; fmt.Sprint(got) != want {
		t.Errorf("got %v, want %s", got, want)
	}
	if image := mustApply(t, Empty("c", 1), records...); len(image.Topics()) != 2 {
		t.Errorf("created %s", describe(image))
	}
}

func TestOneRequestCreatesABoundedNumberOfPartitions(t *testing.T) {
	_, results := Empty("c", 1).CreateTopics(settings(t), []NewTopic{want("a", 6000, 1), want("b", 6000, 1), want("c", 4000, 1)}, counter())
	if results[0].Err != nil || !errors.Is(results[1].Err, ErrPolicy) || results[2].Err != nil {
		t.Errorf("got %v, %v, %v", results[0].Err, results[1].Err, results[2].Err)
	}
}

func TestDeleteTopicsDecides(t *testing.T) {
	image := mustApply(t, Empty("c", 1), &TopicRecord{"a", id(1)}, &TopicRecord{"b", id(2)}, &TopicRecord{OffsetsTopic, id(3)})
	byName := func(name string) TopicRef { return TopicRef{Name: &name} }
	byID := func(n byte) TopicRef { return TopicRef{ID: id(n)} }
	for _, c := range []struct {
		title string
		refs  []TopicRef
		errs  []error
		left  int
	}{
		{"by name", []TopicRef{byName("a")}, []error{nil}, 2},
		{"by id", []TopicRef{byID(2)}, []error{nil}, 2},
		{"both ways", []TopicRef{byName("a"), byID(2)}, []error{nil, nil}, 1},
		{"unknown name", []TopicRef{byName("x"), byName("a")}, []error{ErrUnknownTopic, nil}, 2},
		{"unknown id", []TopicRef{byID(9)}, []error{ErrUnknownTopicID}, 3},
		{"name twice", []TopicRef{byName("a"), byName("b"), byName("a")}, []error{ErrInvalidRequest, nil}, 2},
		{"id twice", []TopicRef{byID(1), byID(1)}, []error{ErrInvalidRequest}, 3},
		{"name and its id", []TopicRef{byName("a"), byID(1)}, []error{ErrInvalidRequest, ErrInvalidRequest}, 3},
		{"neither", []TopicRef{{}}, []error{ErrInvalidRequest}, 3},
		{"both", []TopicRef{{Name: text("a"), ID: id(1)}}, []error{ErrInvalidRequest}, 3},
		{"internal", []TopicRef{byName(OffsetsTopic)}, []error{ErrInvalidRequest}, 3},
	} {
		records, results := image.DeleteTopics(c.refs)
		if len(results) != len(c.errs) {
			t.Errorf("%s: %+v", c.title, results)
			continue
		}
		for i, err := range c.errs {
			if !errors.Is(results[i].Err, err) || (results[i].Topic == nil) != (err != nil) {
				t.Errorf("%s: result %d is %+v, want error %v", c.title, i, results[i], err)
			}
		}
		if got := len(mustApply(t, image, records...).Topics()); got != c.left {
			t.Errorf("%s: %d topics left, want %d", c.title, got, c.left)
		}
	}
}

func TestCreatePartitionsDecides(t *testing.T) {
	image := mustApply(t, Empty("c", 1), &TopicRecord{"a", id(1)}, &PartitionRecord{TopicID: id(1)},
		&PartitionRecord{TopicID: id(1), PartitionID: 1}, &TopicRecord{OffsetsTopic, id(2)}, &PartitionRecord{TopicID: id(2)})
	for _, c := range []struct {
		title string
		w     MorePartitions
		err   error
		after int32
	}{
		{"more", MorePartitions{Topic: "a", Count: 5}, nil, 5},
		{"same", MorePartitions{Topic: "a", Count: 2}, ErrInvalidPartitions, 2},
		{"fewer", MorePartitions{Topic: "a", Count: 1}, ErrInvalidPartitions, 2},
		{"negative", MorePartitions{Topic: "a", Count: -1}, ErrInvalidPartitions, 2},
		{"far too many", MorePartitions{Topic: "a", Count: partitionsPerChange + 3}, ErrPolicy, 2},
		{"unknown", MorePartitions{Topic: "x", Count: 3}, ErrUnknownTopic, 2},
		{"internal", MorePartitions{Topic: OffsetsTopic, Count: 3}, ErrInvalidRequest, 2},
		{"assigned", MorePartitions{"a", 4, true, [][]int32{{1}, {1}}}, nil, 4},
		{"assigned too few", MorePartitions{"a", 4, true, [][]int32{{1}}}, ErrInvalidReplicaAssignment, 2},
		{"assigned none", MorePartitions{"a", 4, true, nil}, ErrInvalidReplicaAssignment, 2},
		{"assigned to a stranger", MorePartitions{"a", 3, true, [][]int32{{7}}}, ErrInvalidReplicaAssignment, 2},
	} {
		records, results := image.CreatePartitions([]MorePartitions{c.w})
		if len(results) != 1 || !errors.Is(results[0].Err, c.err) {
			t.Errorf("%s: %+v, want error %v", c.title, results, c.err)
		}
		if got := mustApply(t, image, records...).Topic("a").Partitions; got != c.after {
			t.Errorf("%s: %d partitions, want %d", c.title, got, c.after)
		}
	}
	records, results := image.CreatePartitions([]MorePartitions{{Topic: "a", Count: 3}, {Topic: "a", Count: 4}})
	if len(results) != 1 || !errors.Is(results[0].Err, ErrInvalidRequest) || len(records) != 0 {
		t.Errorf("twice: %+v, %d records", results, len(records))
	}
}

func TestChangeConfigsDecides(t *testing.T) {
	image := mustApply(t, Empty("c", 1), &TopicRecord{"a", id(1)}, &ConfigRecord{2, "a", "retention.ms", text("1")},
		&ConfigRecord{2, "a", "cleanup.policy", text("compact")})
	for _, c := range []struct {
		title   string
		changes []ConfigChange
		err     error
		after   string
	}{
		{"set", []ConfigChange{{"segment.ms", ConfigSet, text("5")}}, nil, "map[cleanup.policy:compact retention.ms:1 segment.ms:5]"},
		{"set again", []ConfigChange{{"retention.ms", ConfigSet, text("2")}}, nil, "map[cleanup.policy:compact retention.ms:2]"},
		{"set the same", []ConfigChange{{"retention.ms", ConfigSet, text("1")}}, nil, ""},
		{"delete", []ConfigChange{{"retention.ms", ConfigDelete, nil}}, nil, "map[cleanup.policy:compact]"},
		{"delete what is not set", []ConfigChange{{"segment.ms", ConfigDelete, nil}}, nil, ""},
		{"append", []ConfigChange{{"cleanup.policy", ConfigAppend, text("delete")}}, nil, "map[cleanup.policy:compact,delete retention.ms:1]"},
		{"append what is there", []ConfigChange{{"cleanup.policy", ConfigAppend, text("compact")}}, nil, ""},
		{"append nonsense", []ConfigChange{{"cleanup.policy", ConfigAppend, text("shrink")}}, ErrInvalidConfig, ""},
		{"subtract", []ConfigChange{{"cleanup.policy", ConfigSubtract, text("delete")}}, nil, ""},
		{"subtract all", []ConfigChange{{"cleanup.policy", ConfigSubtract, text("compact")}}, ErrInvalidConfig, ""},
		{"append to a number", []ConfigChange{{"retention.ms", ConfigAppend, text("1")}}, ErrInvalidConfig, ""},
		{"subtract from nothing known", []ConfigChange{{"x", ConfigSubtract, text("1")}}, ErrInvalidConfig, ""},
		{"unknown", []ConfigChange{{"x", ConfigSet, text("1")}}, ErrInvalidConfig, ""},
		{"invalid", []ConfigChange{{"retention.ms", ConfigSet, text("-7")}}, ErrInvalidConfig, ""},
		{"null", []ConfigChange{{"retention.ms", ConfigSet, nil}}, ErrInvalidRequest, ""},
		{"unknown operation", []ConfigChange{{"retention.ms", 4, text("1")}}, ErrInvalidRequest, ""},
		{"twice", []ConfigChange{{"retention.ms", ConfigSet, text("3")}, {"retention.ms", ConfigDelete, nil}}, ErrInvalidRequest, ""},
		{"one of two invalid", []ConfigChange{{"retention.ms", ConfigSet, text("3")}, {"segment.ms", ConfigSet, text("0")}}, ErrInvalidConfig, ""},
	} {
		records, err := image.ChangeConfigs(settings(t), "a", c.changes)
		checkConfigs(t, c.title, image, records, err, c.err, c.after)
	}
	for topic, want := range map[string]error{"x": ErrUnknownTopic, "a b": ErrInvalidTopic, "": ErrInvalidRequest} {
		if _, err := image.ChangeConfigs(settings(t), topic, nil); !errors.Is(err, want) {
			t.Errorf("topic %q: %v", topic, err)
		}
	}
}

func TestReplaceConfigsDecides(t *testing.T) {
	image := mustApply(t, Empty("c", 1), &TopicRecord{"a", id(1)}, &ConfigRecord{2, "a", "retention.ms", text("1")},
		&ConfigRecord{2, "a", "cleanup.policy", text("compact")})
	for _, c := range []struct {
		title  string
		values []ConfigValue
		err    error
		after  string
	}{
		{"other", []ConfigValue{{"segment.ms", text("5")}}, nil, "map[segment.ms:5]"},
		{"one of two", []ConfigValue{{"retention.ms", text("1")}}, nil, "map[retention.ms:1]"},
		{"none", nil, nil, "map[]"},
		{"same", []ConfigValue{{"cleanup.policy", text("compact")}, {"retention.ms", text("1")}}, nil, ""},
		{"null", []ConfigValue{{"retention.ms", nil}}, ErrInvalidRequest, ""},
		{"twice", []ConfigValue{{"retention.ms", text("1")}, {"retention.ms", text("1")}}, ErrInvalidRequest, ""},
		{"unknown", []ConfigValue{{"x", text("1")}}, ErrInvalidConfig, ""},
	} {
		records, err := image.ReplaceConfigs(settings(t), "a", c.values)
		checkConfigs(t, c.title, image, records, err, c.err, c.after)
	}
	for topic, want := range map[string]error{"x": ErrUnknownTopic, "a b": ErrInvalidTopic, "": ErrInvalidRequest} {
		if _, err := image.ReplaceConfigs(settings(t), topic, nil); !errors.Is(err, want) {
			t.Errorf("topic %q: %v", topic, err)
		}
	}
}

// checkConfigs holds what became of topic a's settings against after; empty means that there are no records.
func checkConfigs(t *testing.T, title string, image *Image, records []Record, err, wantErr error, after string) {
	t.Helper()
	if !errors.Is(err, wantErr) || (after == "") != (len(records) == 0) {
		t.Errorf("%s: %d records, error %v, want %v", title, len(records), err, wantErr)
		return
	}
	if after == "" {
		return
	}
	if got := fmt.Sprint(mustApply(t, image, records...).Topic("a").Configs); got != after {
		t.Errorf("%s: %s, want %s", title, got, after)
	}
}
