package cluster

import (
	"errors"
	"slices"
	"strconv"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"
)

func record(topic, key, value string) *kgo.Record {
	return &kgo.Record{Topic: topic, Partition: -1, Key: []byte(key), Value: []byte(value)}
}

// values reads a log to its end, limit records at a time.
func values(t interface{ Fatal(...any) }, log *Log, limit int) (all []string, next int64) {
	next = log.Start()
	for {
		records, after, err := log.Read(next, limit)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			all = append(all, string(r.Value))
		}
		if after == next {
			return all, next
		}
		next = after
	}
}

func one(t testing.TB, topic string, partitions int) (*Cluster, []*Log) {
	t.Helper()
	c := New()
	created, err := c.Create(topic, partitions)
	if err != nil {
		t.Fatal(err)
	}
	return c, created.Partitions
}

func TestRecordsBehindAnOpenTransactionAreNotSeenUntilItEnds(t *testing.T) {
	c, logs := one(t, "a", 1)
	first, second := c.Producer("first"), c.Producer("second")
	for _, step := range []error{
		first.Produce(record("a", "k", "1")), second.Produce(record("a", "k", "2")), second.Commit(),
	} {
		if step != nil {
			t.Fatal(step)
		}
	}
	if got, next := values(t, logs[0], 10); len(got) != 0 || next != 0 || logs[0].Stable() != 0 {
		t.Errorf("read %q up to %d, last stable offset %d, behind an open transaction", got, next, logs[0].Stable())
	}
	if err := first.Abort(); err != nil {
		t.Fatal(err)
	}
	if got, next := values(t, logs[0], 10); !slices.Equal(got, []string{"2"}) || next != 4 {
		t.Errorf("read %q up to %d, want the committed record and a position behind both markers, 4", got, next)
	}
}

func TestOffsetsCommitWithTheirTransactionOnly(t *testing.T) {
	c, _ := one(t, "a", 1)
	p, input := c.Producer("p"), Partition{"a", 0}
	commit := func(at int64, end func() error) (int64, bool) {
		if err := p.CommitOffsets(0, map[Partition]Offset{input: {At: at, Metadata: strconv.FormatInt(at, 10)}}); err != nil {
			t.Fatal(err)
		}
		if !c.IsPending(input) || c.IsPending(Partition{"a", 1}) {
			t.Error("an offset of an open transaction is not pending, or another is")
		}
		if err := end(); err != nil {
			t.Fatal(err)
		}
		offset, found := c.Committed(input)
		return offset.At, found
	}
	if at, found := commit(3, p.Abort); found {
		t.Errorf("offset %d of an aborted transaction", at)
	}
	if at, _ := commit(5, p.Commit); at != 5 {
		t.Errorf("committed offset %d, want 5", at)
	}
	if c.IsPending(input) {
		t.Error("an offset is pending without a transaction")
	}
	if c.Forget(input); len(c.committed) != 0 {
		t.Error("a forgotten offset is still there")
	}
}

func TestANewerProducerOfTheIDFencesTheEarlier(t *testing.T) {
	c, logs := one(t, "a", 1)
	zombie := c.Producer("p")
	if err := zombie.Produce(record("a", "k", "lost")); err != nil {
		t.Fatal(err)
	}
	p := c.Producer("p")
	for name, err := range map[string]error{
		"produce": zombie.Produce(record("a", "k", "v")), "commit": zombie.Commit(), "abort": zombie.Abort(),
		"offsets": zombie.CommitOffsets(0, nil),
	} {
		if !errors.Is(err, kerr.ProducerFenced) {
			t.Errorf("%s of a fenced producer: %v", name, err)
		}
	}
	if err := errors.Join(p.Produce(record("a", "k", "kept")), p.Commit()); err != nil {
		t.Fatal(err)
	}
	if got, _ := values(t, logs[0], 1); !slices.Equal(got, []string{"kept"}) {
		t.Errorf("read %q, want the records of the newer producer", got)
	}
}

func TestOffsetsOfAnEarlierGenerationAreRefused(t *testing.T) {
	c, _ := one(t, "a", 1)
	generation := c.Rebalance()
	c.Rebalance()
	for _, p := range []*Producer{c.Producer("p"), c.Producer("")} {
		if err := p.CommitOffsets(generation, map[Partition]Offset{{"a", 0}: {At: 1}}); !errors.Is(err, kerr.IllegalGeneration) {
			t.Errorf("offsets of an earlier generation: %v", err)
		}
	}
}

func TestKeysGoToThePartitionKafkasClientsChoose(t *testing.T) {
	c, _ := one(t, "a", 6)
	p := c.Producer("")
	// The hashes are those of Kafka's own tests: 21 -973932308, abc 479470107, a-little-bit-long-string -985981536.
	for key, want := range map[string]int32{"21": 0, "abc": 3, "a-little-bit-long-string": 2} {
		r := record("a", key, "")
		if err := p.Produce(r); err != nil || r.Partition != want {
			t.Errorf("%s is in partition %d (%v), want %d", key, r.Partition, err, want)
		}
	}
	for want := range int32(6) {
		r := &kgo.Record{Topic: "a", Partition: -1}
		if err := p.Produce(r); err != nil || r.Partition != want {
			t.Errorf("a record without key is in partition %d (%v), want them in turn: %d", r.Partition, err, want)
		}
	}
}

func TestMistakesOfTopics(t *testing.T) {
	c, logs := one(t, "a", 2)
	c.Topic("a").Reject = func(r *kgo.Record) error {
		if string(r.Value) == "large" {
			return kerr.MessageTooLarge
		}
		return nil
	}
	p := c.Producer("")
	create := func(name string, n int) error { _, err := c.Create(name, n); return err }
	read := func(from int64) error { _, _, err := logs[0].Read(from, 1); return err }
	logs[0].Truncate(3)
	for _, mistake := range []struct {
		err  error
		want error
	}{
		{create("a", 1), kerr.TopicAlreadyExists},
		{create("b", 0), kerr.InvalidPartitions},
		{p.Produce(record("b", "k", "v")), kerr.UnknownTopicOrPartition},
		{p.Produce(&kgo.Record{Topic: "a", Partition: 2}), kerr.UnknownTopicOrPartition},
		{p.Produce(record("a", "k", "large")), kerr.MessageTooLarge},
		{read(1), kerr.OffsetOutOfRange},
		{read(-1), kerr.OffsetOutOfRange},
	} {
		if !errors.Is(mistake.err, mistake.want) {
			t.Errorf("%v, want %v", mistake.err, mistake.want)
		}
	}
}

func TestATopicOfTheSameNameIsAnother(t *testing.T) {
	c, _ := one(t, "a", 1)
	id := c.Topic("a").ID
	if err := c.Producer("").CommitOffsets(0, map[Partition]Offset{{"a", 0}: {At: 7}}); err != nil {
		t.Fatal(err)
	}
	c.Delete("a")
	if _, err := c.Create("a", 1); err != nil {
		t.Fatal(err)
	}
	if _, found := c.Committed(Partition{"a", 0}); found || c.Topic("a").ID == id {
		t.Error("a topic that was created again has the id or the offsets of the earlier")
	}
}

func TestCompactionKeepsTheLastOfEachKeyAndWhatIsNotStable(t *testing.T) {
	c, logs := one(t, "a", 1)
	p := c.Producer("p")
	deletion := record("a", "gone", "")
	deletion.Value = nil
	for _, r := range []*kgo.Record{record("a", "k", "1"), record("a", "gone", "2"), record("a", "k", "3"), deletion} {
		if err := p.Produce(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(p.Commit(), p.Produce(record("a", "k", "4"))); err != nil {
		t.Fatal(err)
	}
	logs[0].Compact(0)
	if got, next := values(t, logs[0], 1); !slices.Equal(got, []string{"3", ""}) || next != 5 {
		t.Errorf("read %q up to %d, want 3 and the deletion up to the last stable offset, 5", got, next)
	}
	logs[0].Compact(1)
	if got, next := values(t, logs[0], 1); !slices.Equal(got, []string{"3"}) || next != 5 {
		t.Errorf("read %q up to %d, want 3 up to the last stable offset, 5", got, next)
	}
	if err := p.Commit(); err != nil {
		t.Fatal(err)
	}
	if got, next := values(t, logs[0], 1); !slices.Equal(got, []string{"3", "4"}) || next != 7 {
		t.Errorf("read %q up to %d, want 3 and 4 up to 7", got, next)
	}
}

// TestWhatIsReadIsWhatWasCommitted lets producers append, commit and abort in any order, and holds what is read, with any
// limit, against what they committed.
func TestWhatIsReadIsWhatWasCommitted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := New()
		topic, err := c.Create("a", 1)
		if err != nil {
			t.Fatal(err)
		}
		log := topic.Partitions[0]
		producers := []*Producer{c.Producer(""), c.Producer("p"), c.Producer("q")}
		state := map[string]outcome{} // by value
		pending := make([][]string, len(producers))
		var order []string
		must := func(err error) {
			if err != nil {
				t.Fatal(err)
			}
		}
		for n := range rapid.IntRange(0, 40).Draw(t, "steps") {
			i := rapid.IntRange(0, 2).Draw(t, "producer")
			p := producers[i]
			how := rapid.SampledFrom([]outcome{open, open, committed, aborted}).Draw(t, "step")
			switch how {
			case open:
				value := strconv.Itoa(n)
				must(p.Produce(record("a", "k", value)))
				order, pending[i] = append(order, value), append(pending[i], value)
			case committed:
				must(p.Commit())
			case aborted:
				must(p.Abort())
			}
			if i == 0 {
				how = committed
			}
			if how != open {
				for _, value := range pending[i] {
					state[value] = how
				}
				pending[i] = nil
			}
		}
		var want []string
		for _, value := range order {
			if state[value] == open {
				break
			}
			if state[value] == committed {
				want = append(want, value)
			}
		}
		got, next := values(t, log, rapid.IntRange(1, 9).Draw(t, "limit"))
		if !slices.Equal(got, want) || next != log.Stable() {
			t.Fatalf("read %q up to %d of %d, want %q", got, next, log.Stable(), want)
		}
	})
}
