package broker

import (
	"context"
	"path"
	"strings"
	"syscall"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/internal/disk"
)

// faultyGroups is a broker whose files below __consumer_offsets fail by rules, with two topics.
func faultyGroups(t *testing.T) (*disk.Faults, *Broker, *client) {
	t.Helper()
	files := disk.NewFaults(disk.NewMem())
	b := startBroker(t, Options{DataDir: "/data", Logger: testLogger(), fileSystem: files, Config: map[string]string{
		"offsets.topic.num.partitions": "2", "group.initial.rebalance.delay.ms": "0",
	}}, nil)
	createTopic(t, b, "t", 2)
	return files, b, dial(t, b)
}

func heartbeatCode(c *client, group string, joined *kmsg.JoinGroupResponse) int16 {
	c.t.Helper()
	r := kmsg.NewPtrHeartbeatRequest()
	r.Version, r.Group, r.MemberID, r.Generation = 4, group, joined.MemberID, joined.Generation
	return c.ask(r).(*kmsg.HeartbeatResponse).ErrorCode
}

// TestFullDiskRefusesCommitsAndNothingElse: groups go on, and so do commits once there is room.
func TestFullDiskRefusesCommitsAndNothingElse(t *testing.T) {
	files, _, c := faultyGroups(t)
	joined := c.join(9, "g")
	c.ask(syncRequest(5, joined, "g"))
	if code := c.commit(8, "simple", "t", 0, 1); code != 0 {
		t.Fatal("commit", code)
	}
	files.SetRules(disk.Rule{Kinds: []disk.Kind{disk.OpWriteAt, disk.OpAllocate, disk.OpCreate}, Err: syscall.ENOSPC})
	if code := c.commit(8, "simple", "t", 0, 2); code != kerr.CoordinatorNotAvailable.Code {
		t.Errorf("commit to a full disk: error %d", code)
	}
	if o := c.fetchOffset(7, "simple", "t", 0); o.Offset != 1 {
		t.Errorf("after the refused commit there is %+v", o)
	}
	if code := heartbeatCode(c, "g", joined); code != 0 {
		t.Errorf("heartbeat: error %d", code)
	}
	files.SetRules()
	if code := c.commit(8, "simple", "t", 0, 3); code != 0 {
		t.Errorf("commit once there is room: error %d", code)
	}
}

// TestFailedSyncTakesItsGroupsAndNoOthers: until the broker restarts nobody is told anything that may not last.
func TestFailedSyncTakesItsGroupsAndNoOthers(t *testing.T) {
	files, b, c := faultyGroups(t)
	here, there := "a", "b"
	if shardIndex(here, 2) == shardIndex(there, 2) {
		t.Fatal("the groups are on one shard")
	}
	for _, group := range []string{here, there} {
		if code := c.commit(8, group, "t", 0, 1); code != 0 {
			t.Fatal("commit", code)
		}
	}
	files.SetRules(disk.Rule{Kinds: []disk.Kind{disk.OpSyncData, disk.OpSync}, Nth: 1, Err: syscall.EIO})
	if code := c.commit(8, here, "t", 0, 2); code != kerr.NotCoordinator.Code {
		t.Errorf("commit whose sync failed: error %d", code)
	}
	files.SetRules()
	if code := c.commit(8, here, "t", 0, 3); code != kerr.NotCoordinator.Code {
		t.Errorf("commit after that: error %d", code)
	}
	r := kmsg.NewPtrOffsetFetchRequest()
	r.Version, r.Group = 7, here
	if code := c.ask(r).(*kmsg.OffsetFetchResponse).ErrorCode; code != kerr.NotCoordinator.Code {
		t.Errorf("fetch after that: error %d", code)
	}
	if o := c.fetchOffset(1, here, "t", 0); o.ErrorCode != kerr.NotCoordinator.Code || o.Offset != -1 {
		t.Errorf("fetch of the first version, which has an error code per partition only: %+v", o)
	}
	if code := c.commit(8, there, "t", 0, 4); code != 0 {
		t.Errorf("commit of the other group: error %d", code)
	}
	if got := c.list(4, nil, nil); len(got) != 1 || got[0] != there {
		t.Errorf("listed %q", got)
	}
	if _, err := b.groups.summaries(t.Context()); err != nil {
		t.Errorf("summaries: %v", err)
	}
}

// TestStoppingBrokerAnswersCommitsAndSendsWaitersAway: the context of a request ends when the broker begins to stop.
func TestStoppingBrokerAnswersCommitsAndSendsWaitersAway(t *testing.T) {
	b := startBroker(t, Options{Logger: testLogger()}, nil)
	createTopic(t, b, "t", 2)
	dial(t, b).commit(8, "g", "t", 0, 1) // makes the coordinator
	stopping, stop := context.WithCancel(t.Context())
	stop()
	committed, err := b.offsetCommit(&call{ctx: stopping, version: 8}, offsetCommitRequest(nil, 8, "g", "t", 0, 2))
	if err != nil || committed.Topics[0].Partitions[0].ErrorCode != 0 {
		t.Errorf("commit: %+v, %v", committed, err)
	}
	joined, err := b.joinGroup(&call{ctx: stopping, version: 3}, joinRequest(3, "g", ""))
	if err != nil || joined.ErrorCode != kerr.NotCoordinator.Code {
		t.Errorf("join: %+v, %v", joined, err)
	}
}

// TestDamagedOffsetsPartitionTakesItsGroupsAndNoOthers flips a bit in what one shard has stored.
func TestDamagedOffsetsPartitionTakesItsGroupsAndNoOthers(t *testing.T) {
	files := disk.NewMem()
	options := Options{DataDir: "/data", Logger: testLogger(), fileSystem: files, Config: map[string]string{"offsets.topic.num.partitions": "2"}}
	b := startBroker(t, options, nil)
	createTopic(t, b, "t", 2)
	c := dial(t, b)
	for _, group := range []string{"a", "b"} {
		if code := c.commit(8, group, "t", 0, 7); code != 0 {
			t.Fatal("commit", code)
		}
	}
	if err := b.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	flipBit(t, files, path.Join("/data", partitionDirName("__consumer_offsets", shardIndex("a", 2))))
	c = dial(t, startBroker(t, options, nil))
	if code := c.commit(8, "a", "t", 0, 8); code != kerr.CoordinatorNotAvailable.Code {
		t.Errorf("commit to the damaged shard: error %d", code)
	}
	if o := c.fetchOffset(7, "b", "t", 0); o.Offset != 7 {
		t.Errorf("the other group has %+v", o)
	}
}

// flipBit changes one bit in the middle of the first segment in a directory.
func flipBit(t *testing.T, files disk.FS, dir string) {
	t.Helper()
	entries, err := files.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name, ".log") {
			continue
		}
		f, err := files.OpenWrite(path.Join(dir, e.Name))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		one := make([]byte, 1)
		if _, err := f.ReadAt(one, 70); err != nil {
			t.Fatal(err)
		}
		one[0] ^= 1
		if _, err := f.WriteAt(one, 70); err != nil {
			t.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatalf("no segment in %s", dir)
}
