package streams_test

import (
	"cmp"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/consumer"
	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams"
	"github.com/millrace/millrace/streams/internal/engine"
	"github.com/millrace/millrace/streams/serde"
)

// TestDiskFullInApply is the row "disk full in APPLY": what Kafka has committed cannot be put into the store. The App ends with an
// error that says so, and the next one replays what is missing.
func TestDiskFullInApply(t *testing.T) {
	c := newCluster(t)
	c.wordTopics(2)
	var full atomic.Bool
	injector := errorfs.InjectorFunc(func(op errorfs.Op) error {
		if full.Load() && (op.Kind == errorfs.OpFileWrite || op.Kind == errorfs.OpCreate) {
			return syscall.ENOSPC
		}
		return nil
	})
	dir := t.TempDir()
	app := c.runAdapted(counting(nil), streams.Config{StateDir: dir}, func(o *engine.Options) {
		o.State.FS, o.State.FlushRecords = errorfs.Wrap(vfs.Default, injector), 1
	})
	c.sendWords(2, 7, 0, 100)
	c.awaitCounts(7, 100)
	full.Store(true)
	n := 100
	c.eventually("an end", func() bool { // what was written in the background fails a later commit
		c.sendWords(2, 7, n, n+10)
		n += 10
		return app.State() == streams.Failed
	})
	if err := app.wait(); !errors.Is(err, state.ErrBroken) || !strings.Contains(err.Error(), dir) {
		t.Fatalf("Run returned %v", err)
	}
	full.Store(false)
	next := c.run(counting(nil), streams.Config{StateDir: dir})
	c.awaitCounts(7, n)
	next.mustStop()
	if next.log.says("wiped") {
		t.Error("state was wiped")
	}
}

// TestRebalanceInOpen is the row "rebalance in OPEN": tasks move while transactions are open, again and again, and each record counts
// once.
func TestRebalanceInOpen(t *testing.T) {
	c := newCluster(t)
	c.wordTopics(4)
	const each = 100
	first := c.run(counting(nil), streams.Config{CommitInterval: time.Minute})
	c.eventually("a start", func() bool { return first.State() == streams.Running })
	n := 0
	for range 3 {
		c.sendWords(4, 7, n, n+each)
		n += each
		other := c.run(counting(nil), streams.Config{})
		c.eventually("both have tasks", func() bool {
			return other.State() == streams.Running && other.tasks() > 0 && first.State() == streams.Running && first.tasks() > 0
		})
		c.sendWords(4, 7, n, n+each)
		n += each
		other.mustStop()
	}
	first.mustStop()
	last := c.run(counting(nil), streams.Config{})
	c.awaitCounts(7, n)
	last.mustStop()
}

// TestPausedProcess is the row "a paused process resumes": the group has dropped it, and its task is somebody else's. What it did
// and does is undone.
func TestPausedProcess(t *testing.T) {
	c := newCluster(t)
	c.wordTopics(1)
	begun, goOn := make(chan struct{}), make(chan struct{})
	var once sync.Once
	hold := func(string) {
		once.Do(func() { close(begun); <-goOn })
	}
	net := newNetwork(fault{})
	zombie := c.run(counting(hold), streams.Config{ProcessTimeout: time.Minute, Client: []kgo.Opt{net.option(), kgo.SessionTimeout(time.Second), kgo.HeartbeatInterval(100 * time.Millisecond)}})
	c.sendWords(1, 7, 0, 100)
	<-begun
	net.lose(kmsg.Heartbeat)
	next := c.run(counting(nil), streams.Config{})
	c.awaitCounts(7, 100) // once the zombie's session is over
	close(goOn)
	c.sendWords(1, 7, 100, 150)
	c.awaitCounts(7, 150)
	next.mustStop()
	net.lose(-1)
	if err := zombie.stop(); err != nil {
		t.Logf("the zombie ended with %v", err)
	}
	c.awaitCounts(7, 150)
}

// TestPausedProcessWithoutInput is the row "a zombie's transaction without offsets": what a timer of a paused process produced is
// undone like everything else, because its transaction has offsets though none has moved.
func TestPausedProcessWithoutInput(t *testing.T) {
	c := newCluster(t)
	c.topic("lines", 1)
	c.topic("ticks", 1)
	begun, goOn := make(chan struct{}), make(chan struct{})
	var once sync.Once
	net := newNetwork(fault{})
	zombie := c.run(ticking("zombie", func() {
		once.Do(func() { close(begun); <-goOn })
	}), streams.Config{ProcessTimeout: time.Minute, Client: []kgo.Opt{net.option(), kgo.SessionTimeout(time.Second), kgo.HeartbeatInterval(100 * time.Millisecond)}})
	<-begun
	net.lose(kmsg.Heartbeat)
	next := c.run(ticking("next", nil), streams.Config{})
	ticks := func(name string) (n int) {
		for _, r := range c.read("ticks") {
			if string(r.Value) == name {
				n++
			}
		}
		return n
	}
	c.eventually("a tick of the next process", func() bool { return ticks("next") > 0 })
	close(goOn)
	c.eventually("the zombie undoes its work", func() bool { return zombie.log.says("undoing") || zombie.log.says("lost partitions") })
	seen := ticks("next")
	c.eventually("more ticks of the next process", func() bool { return ticks("next") > seen })
	if n := ticks("zombie"); n > 0 {
		t.Errorf("%d ticks of the zombie are committed", n)
	}
	next.mustStop()
	_ = zombie.stop()
}

// ticking writes its name to "ticks" at each tick of the wall clock.
func ticking(name string, before func()) *streams.Topology {
	t := streams.NewTopology()
	ticks := streams.NewTopic("ticks", serde.String, serde.String)
	streams.Process(streams.From(t, lines), "ticker", func() streams.Processor[string, string, string, string] {
		return &ticker{name: name, before: before}
	}, streams.ProcessOptions{}).To(ticks)
	return t
}

type ticker struct {
	name   string
	before func()
}

func (k *ticker) Init(ctx *streams.Context[string, string]) error {
	ctx.Schedule(streams.WallClock, 10*time.Millisecond, func(ctx *streams.Context[string, string], _ time.Time) error {
		err := ctx.Forward(streams.Record[string, string]{Key: k.name, Value: k.name})
		if k.before != nil {
			k.before()
		}
		return err
	})
	return nil
}

func (k *ticker) Process(*streams.Context[string, string], streams.Record[string, string]) error {
	return nil
}

// TestChangelogCreatedAnew is the row "changelog recreated": the state is wiped, loudly, and what the topic has is all there is.
func TestChangelogCreatedAnew(t *testing.T) {
	c := newCluster(t)
	c.wordTopics(1)
	c.sendWords(1, 7, 0, 70)
	dir := t.TempDir()
	app := c.run(counting(nil), streams.Config{StateDir: dir})
	c.awaitCounts(7, 70)
	app.mustStop()
	if _, err := c.admin.DeleteTopics(t.Context(), "app-word-counts-changelog", "counts"); err != nil {
		t.Fatal(err)
	}
	c.topic("counts", 1)
	app = c.run(counting(nil), streams.Config{StateDir: dir})
	c.sendWords(1, 7, 0, 70)
	c.awaitCounts(7, 70) // from one, of a new output
	app.mustStop()
	if !app.log.says("was created anew") {
		t.Error("nobody was told of it")
	}
}

// TestChangelogTruncated is the row "changelog truncated": records are gone that the state has not seen.
func TestChangelogTruncated(t *testing.T) {
	c := newCluster(t)
	c.wordTopics(1)
	c.sendWords(1, 7, 0, 70)
	dir := t.TempDir()
	app := c.run(counting(nil), streams.Config{StateDir: dir})
	c.awaitCounts(7, 70)
	app.mustStop()
	old := c.image(dir)
	app = c.run(counting(nil), streams.Config{StateDir: dir})
	c.sendWords(1, 7, 70, 140)
	c.awaitCounts(7, 140)
	app.mustStop()
	c.configure("app-word-counts-changelog", "cleanup.policy", "compact,delete") // otherwise brokers delete nothing
	c.deleteRecords("app-word-counts-changelog", 0)
	app = c.run(counting(nil), streams.Config{StateDir: old})
	c.eventually("the event", func() bool { return app.log.says("what is between is deleted") })
	app.mustStop()
}

// TestDiskOlderThanDeletions is the row "local disk older than delete.retention.ms": deletions may be gone that it has not seen.
func TestDiskOlderThanDeletions(t *testing.T) {
	c := newCluster(t)
	c.wordTopics(1)
	c.sendWords(1, 7, 0, 70)
	dir := t.TempDir()
	app := c.run(counting(nil), streams.Config{StateDir: dir})
	c.awaitCounts(7, 70)
	app.mustStop()
	old := c.image(dir)
	app = c.run(counting(nil), streams.Config{StateDir: dir})
	c.sendWords(1, 7, 70, 140)
	c.awaitCounts(7, 140)
	app.mustStop()
	c.configure("app-word-counts-changelog", "delete.retention.ms", "1")
	app = c.run(counting(nil), streams.Config{StateDir: old})
	c.sendWords(1, 7, 140, 210)
	c.awaitCounts(7, 210)
	app.mustStop()
	if !app.log.says("delete.retention.ms") {
		t.Error("nobody was told that the state was wiped")
	}
}

// TestCommittedOffsetsExpired is the row "committed input offset expired": records were deleted before they were processed, or the
// group's offsets are gone. Nothing is processed until somebody decides.
func TestCommittedOffsetsExpired(t *testing.T) {
	records := func(c *cluster) { c.deleteRecords("lines", 0) }
	offsets := func(c *cluster) {
		if _, err := c.admin.DeleteGroups(c.t.Context(), "app"); err != nil {
			c.t.Fatal(err)
		}
	}
	for name, test := range map[string]struct {
		restores bool // the state is another process's, that has restored it and processed nothing
		expire   func(*cluster)
	}{
		"records": {expire: records}, "offsets": {expire: offsets}, "offsets behind a restore": {restores: true, expire: offsets},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t)
			c.wordTopics(1)
			c.sendWords(1, 7, 0, 70)
			dir := t.TempDir()
			app := c.run(counting(nil), streams.Config{StateDir: dir})
			c.awaitCounts(7, 70)
			app.mustStop()
			if test.restores {
				dir = t.TempDir()
				c.run(counting(nil), streams.Config{StateDir: dir}).awaitRunning().mustStop()
			}
			c.sendWords(1, 7, 70, 140)
			test.expire(c)
			app = c.run(counting(nil), streams.Config{StateDir: dir})
			var lost *engine.LostOffsetsError
			if err := app.wait(); !errors.As(err, &lost) || !strings.Contains(err.Error(), "OnLostOffsets") {
				t.Errorf("Run returned %v", err)
			}
			app = c.run(counting(nil), streams.Config{StateDir: dir, OnLostOffsets: streams.ContinueWhenLost})
			c.sendWords(1, 7, 140, 147)
			c.eventually("what is left", func() bool { return len(c.read("counts")) >= 77 })
			app.mustStop()
			if !app.log.says("records were lost") {
				t.Error("nobody was told of it")
			}
		})
	}
}

// TestTwoProcessesOnOneStateDirectory is the row of that name: the second is refused at once.
func TestTwoProcessesOnOneStateDirectory(t *testing.T) {
	c := newCluster(t)
	c.wordTopics(1)
	dir := t.TempDir()
	first := c.run(counting(nil), streams.Config{StateDir: dir})
	c.eventually("a start", func() bool { return first.State() == streams.Running })
	second := c.run(counting(nil), streams.Config{StateDir: dir})
	if err := second.wait(); err == nil || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "in use by process") {
		t.Errorf("Run returned %v", err)
	}
	first.mustStop()
}

// TestRestartOfTheBroker has the broker die, again and again, and stay away for a while.
func TestRestartOfTheBroker(t *testing.T) {
	for name, guarantee := range map[string]streams.Guarantee{"exactly once": streams.ExactlyOnce, "at least once": streams.AtLeastOnce} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t)
			c.wordTopics(2)
			app := c.run(counting(nil), streams.Config{Guarantee: guarantee})
			n := 0
			for i := range 4 {
				c.sendWords(2, 7, n, n+100)
				n += 100
				if i%2 == 0 {
					c.broker.Close()
					c.eventually("the App says so", func() bool { return app.State() == streams.Unreachable })
					c.start()
				} else {
					c.broker.Close()
					c.start()
				}
				c.eventually("it goes on", func() bool { return app.State() == streams.Running })
			}
			if guarantee == streams.ExactlyOnce {
				c.awaitCounts(7, n)
			} else {
				c.awaitCountsAtLeast(7, n)
			}
			app.mustStop()
		})
	}
}

// deleteRecords deletes everything in a partition.
func (c *cluster) deleteRecords(topic string, partition int32) {
	c.t.Helper()
	ends, err := c.admin.ListEndOffsets(c.t.Context(), topic)
	if err != nil {
		c.t.Fatal(err)
	}
	end, _ := ends.Lookup(topic, partition)
	offsets := kadm.Offsets{}
	offsets.AddOffset(topic, partition, end.Offset, -1)
	responses, err := c.admin.DeleteRecords(c.t.Context(), offsets)
	if err = cmp.Or(err, responses.Error()); err != nil {
		c.t.Fatal(err)
	}
}

// configure changes a setting of a topic.
func (c *cluster) configure(topic, key, value string) {
	c.t.Helper()
	setting := kadm.AlterConfig{Op: kadm.SetConfig, Name: key, Value: kadm.StringPtr(value)}
	if _, err := c.admin.AlterTopicConfigs(c.t.Context(), []kadm.AlterConfig{setting}, topic); err != nil {
		c.t.Fatal(err)
	}
}

// TestPlanOfARestore is the decision about local state, case by case.
func TestPlanOfARestore(t *testing.T) {
	one, other, none := [16]byte{1}, [16]byte{2}, [16]byte{}
	const day = 24 * 60 * 60 * 1000
	for _, c := range []struct {
		name             string
		id               [16]byte
		next             int64
		found            engine.ChangelogFound
		writtenMs, nowMs int64
		from             int64
		wipe             string
	}{
		{"nothing stored", none, 0, engine.ChangelogFound{TopicID: one, Start: 5, End: 9}, 0, day, 5, ""},
		{"up to date", one, 9, engine.ChangelogFound{TopicID: one, End: 9, DeleteRetentionMs: day}, 0, 9 * day, 9, ""},
		{"behind", one, 4, engine.ChangelogFound{TopicID: one, End: 9, DeleteRetentionMs: day}, 1, day / 4, 4, ""},
		{"behind by a marker, for long", one, 8, engine.ChangelogFound{TopicID: one, End: 9, DeleteRetentionMs: day}, 1, 9 * day, 8, ""},
		{"behind for long", one, 4, engine.ChangelogFound{TopicID: one, End: 9, DeleteRetentionMs: day}, 1, day, 0, "deletions"},
		{"created anew", one, 4, engine.ChangelogFound{TopicID: other, Start: 1, End: 9}, 0, 0, 1, "created anew"},
		{"a broker without ids", one, 4, engine.ChangelogFound{TopicID: none, End: 9}, 0, 0, 4, ""},
		{"shorter than the state", one, 12, engine.ChangelogFound{TopicID: one, End: 9}, 0, 0, 0, "truncated"},
		{"a marker deleted behind the state", one, 8, engine.ChangelogFound{TopicID: one, Start: 9, End: 9, DeleteRetentionMs: day}, 1, 9 * day, 9, ""},
		{"deleted behind the state", one, 4, engine.ChangelogFound{TopicID: one, Start: 6, End: 9}, 0, 0, 6, "deleted"},
	} {
		log := engine.Changelog{Store: "s", Topic: "t", Partition: 3, Changelog: state.Changelog{TopicID: c.id, NextOffset: c.next}}
		plan := engine.PlanRestore([]engine.Changelog{log}, map[string]engine.ChangelogFound{"s": c.found}, c.writtenMs, c.nowMs)
		want := consumer.Span{TopicPartition: consumer.TopicPartition{Topic: "t", Partition: 3}, From: c.from, To: c.found.End}
		if len(plan.Spans) != 1 || plan.Spans[0].Span != want || plan.Spans[0].TopicID != c.found.TopicID {
			t.Errorf("%s: %+v", c.name, plan)
		}
		if (c.wipe == "") != (plan.Wipe == "") || !strings.Contains(plan.Wipe, c.wipe) {
			t.Errorf("%s: wipe %q, want %q", c.name, plan.Wipe, c.wipe)
		}
	}
}
