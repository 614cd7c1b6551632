package broker

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/broker/internal/group"
	"github.com/millrace/millrace/broker/internal/metadata"
	"github.com/millrace/millrace/internal/disk"
	"github.com/millrace/millrace/log"
	"github.com/millrace/millrace/log/record"
)

// commitPending stores an offset of topic t in a transaction that the coordinator is taken to have confirmed.
func commitPending(t *testing.T, b *Broker, groupID string, by group.Producer, partition int32, offset int64) error {
	t.Helper()
	shards, err := b.groups.ensure(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p := b.partitions.lookup(metadata.OffsetsTopic, shardIndex(groupID, int32(len(shards.all))))
	verified, err := p.BeginVerification(by.ID, by.Epoch, record.NoSequence, false)
	if err != nil {
		return err
	}
	by.Verified = verified
	type outcome struct{ err error }
	answer, err := askGroupNow(t.Context(), b.groups, groupID, func(s *group.State) outcome {
		code, _, err := s.CommitInTransaction(group.CommitRequest{
			Group: groupID, Generation: -1, RetentionMs: -1,
			Offsets: []group.CommitOffset{{TopicPartition: group.TopicPartition{Topic: "t", Partition: partition}, Offset: offset, LeaderEpoch: -1}},
		}, by)
		if code != group.None {
			err = errors.New(code.String())
		}
		return outcome{err}
	})
	if err != nil {
		t.Fatal(err)
	}
	return answer.err
}

// endPending ends a producer's transaction in the group's partition.
func endPending(t *testing.T, b *Broker, groupID string, marker record.EndTxnMarker, newEpochOnly bool) error {
	t.Helper()
	marker.TimestampMs = 1
	index := shardIndex(groupID, b.controller.image().Topic(metadata.OffsetsTopic).Partitions)
	return b.groups.endTransaction(t.Context(), index, marker, newEpochOnly)
}

// fetchStable asks for one partition's offset, in a version that can ask for stable ones.
func (c *client) fetchStable(version int16, groupID string, partition int32, stable, all bool) kmsg.OffsetFetchResponseGroupTopicPartition {
	c.t.Helper()
	r := kmsg.NewPtrOffsetFetchRequest()
	r.Version, r.RequireStable = version, stable
	if version < firstOffsetFetchVersionGroups {
		r.Group = groupID
		if !all {
			r.Topics = []kmsg.OffsetFetchRequestTopic{{Topic: "t", Partitions: []int32{partition}}}
		}
		answer := c.ask(r).(*kmsg.OffsetFetchResponse)
		if answer.ErrorCode != 0 || len(answer.Topics) != 1 {
			c.t.Fatalf("%+v", answer)
		}
		return kmsg.OffsetFetchResponseGroupTopicPartition(answer.Topics[0].Partitions[0])
	}
	wanted := kmsg.NewOffsetFetchRequestGroup()
	wanted.Group = groupID
	if !all {
		wanted.Topics = []kmsg.OffsetFetchRequestGroupTopic{{Topic: "t", Partitions: []int32{partition}}}
	}
	r.Groups = append(r.Groups, wanted)
	answer := c.ask(r).(*kmsg.OffsetFetchResponse).Groups[0]
	if answer.ErrorCode != 0 || len(answer.Topics) != 1 {
		c.t.Fatalf("%+v", answer)
	}
	return answer.Topics[0].Partitions[0]
}

// TestUnstableOffsets: who requires stable offsets waits for the end of a transaction, and others see what was committed
// last, in every version and whether or not partitions are named.
func TestUnstableOffsets(t *testing.T) {
	b, c := groupClient(t)
	by := group.Producer{ID: 7}
	for i, version := range []int16{7, 8, 9} {
		for _, all := range []bool{false, true} {
			before := int64(10 * i)
			c.commit(8, "g", "t", 0, before)
			for end, want := range map[record.ControlType]int64{record.ControlAbort: before, record.ControlCommit: before + 1} {
				if err := commitPending(t, b, "g", by, 0, before+1); err != nil {
					t.Fatal(err)
				}
				if o := c.fetchStable(version, "g", 0, true, all); o.ErrorCode != kerr.UnstableOffsetCommit.Code || o.Offset != -1 || o.LeaderEpoch != -1 || *o.Metadata != "" {
					t.Errorf("v%d: while it is open %+v", version, o)
				}
				if o := c.fetchStable(version, "g", 0, false, all); o.ErrorCode != 0 || o.Offset != before {
					t.Errorf("v%d: without a need for stable offsets %+v", version, o)
				}
				if o := c.fetchStable(version, "h", 0, true, false); o.ErrorCode != 0 || o.Offset != -1 {
					t.Errorf("v%d: of another group %+v", version, o)
				}
				if err := endPending(t, b, "g", record.EndTxnMarker{Type: end, ProducerID: by.ID, ProducerEpoch: by.Epoch}, false); err != nil {
					t.Fatal(err)
				}
				if o := c.fetchStable(version, "g", 0, true, all); o.ErrorCode != 0 || o.Offset != want {
					t.Errorf("v%d: after an %v %+v", version, end, o)
				}
				c.commit(8, "g", "t", 0, before)
			}
		}
	}
}

// TestEndOfATransactionInGroups: what the writer of markers is told.
func TestEndOfATransactionInGroups(t *testing.T) {
	b, _ := groupClient(t)
	marker := record.EndTxnMarker{Type: record.ControlCommit, ProducerID: 7, ProducerEpoch: 3, TimestampMs: 1}
	if err := b.groups.endTransaction(t.Context(), 0, marker, false); !errors.Is(err, kerr.UnknownTopicOrPartition) {
		t.Errorf("without __consumer_offsets: %v", err)
	}
	if err := commitPending(t, b, "g", group.Producer{ID: 7, Epoch: 3}, 0, 5); err != nil {
		t.Fatal(err)
	}
	for _, index := range []int32{-1, 2} {
		if err := b.groups.endTransaction(t.Context(), index, marker, false); !errors.Is(err, kerr.UnknownTopicOrPartition) {
			t.Errorf("partition %d: %v", index, err)
		}
	}
	if err := endPending(t, b, "g", marker, true); !errors.Is(err, log.ErrInvalidProducerEpoch) {
		t.Errorf("the transaction's own epoch where a newer one is due: %v", err)
	}
	old := marker
	old.ProducerEpoch = 2
	if err := endPending(t, b, "g", old, false); !errors.Is(err, log.ErrInvalidProducerEpoch) {
		t.Errorf("an older epoch: %v", err)
	}
	newer := marker
	newer.ProducerEpoch = 4
	for range 2 { // a repeat changes nothing
		if err := endPending(t, b, "g", newer, true); err != nil {
			t.Error(err)
		}
	}
	if err := commitPending(t, b, "g", group.Producer{ID: 7, Epoch: 3}, 0, 6); !errors.Is(err, log.ErrInvalidProducerEpoch) {
		t.Errorf("an offset of the epoch that is over: %v", err)
	}
}

// TestLateOffsetOpensNoTransaction: what was verified before the end of a transaction is void after it, so that no
// transaction is open that nobody ends.
func TestLateOffsetOpensNoTransaction(t *testing.T) {
	b, c := groupClient(t)
	by := group.Producer{ID: 7}
	c.commit(8, "g", "t", 0, 1)
	p := b.partitions.lookup(metadata.OffsetsTopic, shardIndex("g", 2))
	verified, err := p.BeginVerification(by.ID, by.Epoch, record.NoSequence, false)
	if err != nil || verified == nil {
		t.Fatal(verified, err)
	}
	if err := endPending(t, b, "g", record.EndTxnMarker{Type: record.ControlAbort, ProducerID: by.ID}, false); err != nil {
		t.Fatal(err)
	}
	by.Verified = verified
	_, err = askGroupNow(t.Context(), b.groups, "g", func(s *group.State) bool {
		_, _, err := s.CommitInTransaction(group.CommitRequest{
			Group: "g", Generation: -1, RetentionMs: -1, Offsets: []group.CommitOffset{{TopicPartition: group.TopicPartition{Topic: "t"}, Offset: 2}},
		}, by)
		if !errors.Is(err, log.ErrInvalidTxnState) {
			t.Errorf("the late offset: %v", err)
		}
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	if o := c.fetchStable(7, "g", 0, true, false); o.ErrorCode != 0 || o.Offset != 1 {
		t.Errorf("%+v", o)
	}
	if offsets := p.Offsets(); offsets.LastStable != offsets.HighWatermark {
		t.Errorf("last stable offset %d, high watermark %d", offsets.LastStable, offsets.HighWatermark)
	}
}

// TestPendingOffsetsSurviveARestart, and the marker that comes after it decides.
func TestPendingOffsetsSurviveARestart(t *testing.T) {
	for _, end := range []record.ControlType{record.ControlAbort, record.ControlCommit} {
		t.Run(end.String(), func(t *testing.T) {
			files := disk.NewMem()
			b, stop := startOn(t, files, map[string]string{"offsets.topic.num.partitions": "2"})
			createTopic(t, b, "t", 2)
			dial(t, b).commit(8, "g", "t", 0, 1)
			if err := commitPending(t, b, "g", group.Producer{ID: 7}, 0, 2); err != nil {
				t.Fatal(err)
			}
			stop()
			b, stop = startOn(t, files, nil)
			defer stop()
			c := dial(t, b)
			if o := c.fetchStable(8, "g", 0, true, false); o.ErrorCode != kerr.UnstableOffsetCommit.Code {
				t.Errorf("after the restart %+v", o)
			}
			if o := c.fetchStable(8, "g", 0, false, false); o.Offset != 1 {
				t.Errorf("after the restart %+v", o)
			}
			if err := endPending(t, b, "g", record.EndTxnMarker{Type: end, ProducerID: 7}, false); err != nil {
				t.Fatal(err)
			}
			want := int64(1)
			if end == record.ControlCommit {
				want = 2
			}
			if o := c.fetchStable(8, "g", 0, true, false); o.ErrorCode != 0 || o.Offset != want {
				t.Errorf("after its end %+v", o)
			}
		})
	}
}

// TestCompactionKeepsWhatOffsetsCount: a log of commits, transactions of both ends and deletions means the same once it is
// compacted.
func TestCompactionKeepsWhatOffsetsCount(t *testing.T) {
	files := disk.NewMem()
	settings := map[string]string{"offsets.topic.num.partitions": "1", "offsets.topic.segment.bytes": "2000", "log.cleaner.enable": "false"}
	b, stop := startOn(t, files, settings)
	createTopic(t, b, "t", 8)
	c := dial(t, b)
	want := func() string {
		t.Helper()
		summaries, err := b.groups.summaries(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		text := ""
		for _, s := range summaries {
			text += fmt.Sprintln(s.Group, s.Offsets)
		}
		return text
	}
	for i := range int64(40) {
		groupID, partition := fmt.Sprint("g", i%3), int32(i%8)
		by := group.Producer{ID: 1 + i%2}
		c.commit(8, groupID, "t", partition, i)
		if err := commitPending(t, b, groupID, by, partition, 1000+i); err != nil {
			t.Fatal(err)
		}
		if i%5 == 0 {
			c.commit(8, groupID, "t", partition, 500+i) // the later record
		}
		end := record.ControlCommit
		if i%4 == 0 {
			end = record.ControlAbort
		}
		if err := endPending(t, b, groupID, record.EndTxnMarker{Type: end, ProducerID: by.ID}, false); err != nil {
			t.Fatal(err)
		}
		if i == 30 {
			deleteGroup(t, b, "g1")
		}
	}
	if err := commitPending(t, b, "g0", group.Producer{ID: 9}, 0, 7777); err != nil {
		t.Fatal(err)
	}
	before := want()
	p := b.partitions.lookup(metadata.OffsetsTopic, 0)
	// The later passes find delete horizons that are over.
	free := func(context.Context, int) error { return nil }
	for pass := range int64(3) {
		done, err := p.Compact(t.Context(), 1<<(50+pass), 1<<20, free, func(int) error { return nil })
		if err != nil || pass == 0 && done.RecordsIn <= done.RecordsOut {
			t.Fatalf("compaction %+v: %v", done, err)
		}
	}
	stop()
	b, stop = startOn(t, files, settings)
	defer stop()
	c = dial(t, b)
	if after := want(); after != before {
		t.Errorf("compacted:\n%sbefore:\n%s", after, before)
	}
	if o := c.fetchStable(8, "g0", 0, true, false); o.ErrorCode != kerr.UnstableOffsetCommit.Code {
		t.Errorf("the open transaction: %+v", o)
	}
}

func deleteGroup(t *testing.T, b *Broker, groupID string) {
	t.Helper()
	code, err := askGroupNow(t.Context(), b.groups, groupID, func(s *group.State) group.Code { return s.Delete(groupID) })
	if err != nil || code != group.None {
		t.Fatal(code, err)
	}
}
