package broker

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/broker/internal/metadata"
	"github.com/millrace/millrace/broker/internal/txn"
	"github.com/millrace/millrace/internal/disk"
	"github.com/millrace/millrace/log"
	"github.com/millrace/millrace/log/record"
)

// offsetProducer is a producer that commits offsets of topic t with its transactions. What it asks of its coordinator goes
// without requests: they are not what is tested here.
type offsetProducer struct {
	t      *testing.T
	b      *Broker
	c      *client
	id     string
	number int64
	epoch  int16
}

func newOffsetProducer(t *testing.T, b *Broker, c *client, id string) *offsetProducer {
	t.Helper()
	if err := b.producerIDs.stock(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	answer, err := askTransaction[txn.InitAnswer](t.Context(), b.transactions, id, func(s *txn.State, _ txn.Ticket) any {
		return s.InitProducerID(txn.InitRequest{TransactionalID: id, TimeoutMs: 60_000, ProducerID: -1, ProducerEpoch: -1})
	})
	if err != nil || answer.Code != txn.None {
		t.Fatal(answer, err)
	}
	return &offsetProducer{t: t, b: b, c: c, id: id, number: answer.ProducerID, epoch: answer.ProducerEpoch}
}

// add is AddOffsetsToTxn.
func (p *offsetProducer) add(groupID string) {
	p.t.Helper()
	shards, err := p.b.groups.ensure(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	at := txn.Partition{Topic: metadata.OffsetsTopic, Partition: shardIndex(groupID, int32(len(shards.all)))}
	err = p.b.transactions.claim(p.t.Context(), txn.Claim{
		TransactionalID: p.id, ProducerID: p.number, ProducerEpoch: p.epoch, Partitions: []txn.Partition{at}, Add: true,
	})[0]
	if err != nil {
		p.t.Fatal(err)
	}
}

// end is EndTxn of the protocol that request version speaks.
func (p *offsetProducer) end(version int16, commit bool) {
	p.t.Helper()
	r := txn.EndRequest{TransactionalID: p.id, ProducerID: p.number, ProducerEpoch: p.epoch, Commit: commit}
	if version >= firstTxnOffsetCommitVersionAdds {
		r.Version = 2
	}
	answer, err := askTransaction[txn.EndAnswer](p.t.Context(), p.b.transactions, p.id, func(s *txn.State, to txn.Ticket) any { return s.End(to, r) })
	if err != nil || answer.Code != txn.None {
		p.t.Fatal(answer, err)
	}
	if r.Version == 2 {
		p.number, p.epoch = answer.ProducerID, answer.ProducerEpoch
	}
}

// request commits one offset of partition 0 of topic t.
func (p *offsetProducer) request(version int16, groupID string, offset int64) *kmsg.TxnOffsetCommitRequest {
	r := kmsg.NewPtrTxnOffsetCommitRequest()
	r.Version, r.TransactionalID, r.Group, r.ProducerID, r.ProducerEpoch = version, p.id, groupID, p.number, p.epoch
	t := kmsg.NewTxnOffsetCommitRequestTopic()
	t.Topic, t.TopicID = "t", p.b.controller.image().Topic("t").ID
	partition := kmsg.NewTxnOffsetCommitRequestTopicPartition()
	partition.Offset, partition.LeaderEpoch, partition.Metadata = offset, 3, kmsg.StringPtr("text")
	t.Partitions = append(t.Partitions, partition)
	r.Topics = append(r.Topics, t)
	return r
}

func (c *client) txnCommitCode(r *kmsg.TxnOffsetCommitRequest) int16 {
	c.t.Helper()
	answer := c.ask(r).(*kmsg.TxnOffsetCommitResponse)
	if len(answer.Topics) != len(r.Topics) || answer.Topics[0].Topic != r.Topics[0].Topic && r.Version < 6 ||
		answer.Topics[0].TopicID != r.Topics[0].TopicID && r.Version >= 6 || len(answer.Topics[0].Partitions) != len(r.Topics[0].Partitions) {
		c.t.Fatalf("%+v answered with %+v", r, answer)
	}
	return answer.Topics[0].Partitions[0].ErrorCode
}

func TestOffsetsOfTransactionsInEveryVersion(t *testing.T) {
	b, c := groupClient(t)
	for version := int16(0); version <= 6; version++ {
		p := newOffsetProducer(t, b, c, fmt.Sprint("producer ", version))
		groupID := fmt.Sprint("group ", version)
		for i, commit := range []bool{true, false, true} {
			if version < firstTxnOffsetCommitVersionAdds {
				p.add(groupID)
			}
			if code := c.txnCommitCode(p.request(version, groupID, int64(i))); code != 0 {
				t.Fatalf("v%d: error %d", version, code)
			}
			if o := c.fetchStable(8, groupID, 0, true, false); o.ErrorCode != kerr.UnstableOffsetCommit.Code {
				t.Errorf("v%d: while it is open %+v", version, o)
			}
			p.end(version, commit)
			want := []int64{0, 0, 2}[i]
			wantEpoch := int32(3)
			if version < 2 {
				wantEpoch = -1
			}
			if o := c.fetchStable(8, groupID, 0, true, false); o.ErrorCode != 0 || o.Offset != want || o.LeaderEpoch != wantEpoch || *o.Metadata != "text" {
				t.Errorf("v%d: transaction %d: %+v", version, i, o)
			}
		}
	}
	wantNoOpenTransaction(t, b)
}

// wantNoOpenTransaction checks that readers of committed records see all there is.
func wantNoOpenTransaction(t *testing.T, b *Broker) {
	t.Helper()
	for _, p := range b.partitions.sorted() {
		if o := p.Offsets(); o.LastStable != o.HighWatermark {
			t.Errorf("%s-%d: last stable offset %d, high watermark %d", p.Topic(), p.Index(), o.LastStable, o.HighWatermark)
		}
	}
}

// TestRefusedOffsetsOfTransactions: the code that a client of each version is told, and that nothing stays open.
func TestRefusedOffsetsOfTransactions(t *testing.T) {
	type request = kmsg.TxnOffsetCommitRequest
	member := func(generation int32, id string, instance *string) func(*request) {
		return func(r *request) { r.Generation, r.MemberID, r.InstanceID = generation, id, instance }
	}
	for name, test := range map[string]struct {
		versions []int16
		change   func(r *request)
		without  bool // the group has not been added to the transaction
		want     *kerr.Error
	}{
		"not added, old":              {[]int16{0, 1, 2, 3}, func(*request) {}, true, kerr.InvalidTxnState},
		"not added":                   {[]int16{4}, func(*request) {}, true, kerr.TransactionAbortable},
		"unknown transactional id":    {[]int16{0, 3, 5, 6}, func(r *request) { r.TransactionalID = "nobody" }, false, kerr.InvalidProducerIDMapping},
		"another producer id":         {[]int16{3, 5}, func(r *request) { r.ProducerID += 1000 }, false, kerr.InvalidProducerIDMapping},
		"an epoch that never was":     {[]int16{3, 5}, func(r *request) { r.ProducerEpoch++ }, false, kerr.InvalidProducerEpoch},
		"an older epoch":              {[]int16{3, 5}, func(r *request) { r.ProducerEpoch-- }, false, kerr.InvalidProducerEpoch},
		"no transactional id":         {[]int16{3, 5}, func(r *request) { r.TransactionalID = "" }, false, kerr.InvalidRequest},
		"no group":                    {[]int16{0, 3, 5}, func(r *request) { r.Group = "" }, false, kerr.InvalidGroupID},
		"unknown topic":               {[]int16{0, 3, 5}, func(r *request) { r.Topics[0].Topic = "nowhere" }, false, kerr.UnknownTopicOrPartition},
		"unknown topic id":            {[]int16{6}, func(r *request) { r.Topics[0].TopicID[0]++ }, false, kerr.UnknownTopicID},
		"unknown partition":           {[]int16{0, 5, 6}, func(r *request) { r.Topics[0].Partitions[0].Partition = 2 }, false, kerr.UnknownTopicOrPartition},
		"negative partition":          {[]int16{0, 5}, func(r *request) { r.Topics[0].Partitions[0].Partition = -1 }, false, kerr.UnknownTopicOrPartition},
		"too much metadata":           {[]int16{0, 5}, func(r *request) { r.Topics[0].Partitions[0].Metadata = kmsg.StringPtr(strings.Repeat("x", 4097)) }, false, kerr.OffsetMetadataTooLarge},
		"generation of an unknown":    {[]int16{3, 5}, member(1, "a", nil), false, kerr.IllegalGeneration},
		"an instance without a group": {[]int16{3, 5}, member(1, "a", kmsg.StringPtr("i")), false, kerr.IllegalGeneration},
	} {
		t.Run(name, func(t *testing.T) {
			b, c := groupClient(t)
			for _, version := range test.versions {
				id := fmt.Sprint("producer ", version)
				newOffsetProducer(t, b, c, id)
				p := newOffsetProducer(t, b, c, id) // of the second epoch
				if version < firstTxnOffsetCommitVersionAdds && !test.without {
					p.add("g")
				}
				r := p.request(version, "g", 1)
				test.change(r)
				if code := c.txnCommitCode(r); code != test.want.Code {
					t.Errorf("v%d: error %v, want %v", version, kerr.ErrorForCode(code), test.want)
				}
				wantNoOpenTransaction(t, b)
				if o := c.fetchStable(8, "g", 0, true, false); o.ErrorCode != 0 || o.Offset != -1 {
					t.Errorf("v%d: %+v", version, o)
				}
			}
		})
	}
}

// TestOffsetsOfTransactionsAndMembers: who commits for a group with members says in which generation (KIP-447), unless it is
// too old to say so.
func TestOffsetsOfTransactionsAndMembers(t *testing.T) {
	b, c := groupClient(t)
	joined := c.join(9, "g")
	c.ask(syncRequest(5, joined, "g"))
	static := joinRequest(9, "s", "")
	static.InstanceID = kmsg.StringPtr("i")
	first := c.ask(static).(*kmsg.JoinGroupResponse)
	second := c.ask(static).(*kmsg.JoinGroupResponse)
	p := newOffsetProducer(t, b, c, "p")
	p.add("g")
	p.add("s")
	for _, test := range []struct {
		group, member string
		instance      *string
		generation    int32
		want          *kerr.Error
	}{
		{"g", joined.MemberID, nil, joined.Generation + 1, kerr.IllegalGeneration},
		{"g", joined.MemberID, nil, joined.Generation - 1, kerr.IllegalGeneration},
		{"g", joined.MemberID, nil, -1, kerr.IllegalGeneration},
		{"g", "stranger", nil, joined.Generation, kerr.UnknownMemberID},
		{"g", "", nil, joined.Generation, kerr.UnknownMemberID},
		{"g", joined.MemberID, kmsg.StringPtr("i"), joined.Generation, kerr.UnknownMemberID},
		{"s", first.MemberID, kmsg.StringPtr("i"), second.Generation, kerr.FencedInstanceID},
	} {
		for _, version := range []int16{3, 4, 5, 6} {
			r := p.request(version, test.group, 1)
			r.MemberID, r.InstanceID, r.Generation = test.member, test.instance, test.generation
			if code := c.txnCommitCode(r); code != test.want.Code {
				t.Errorf("%+v in v%d: error %v", test, version, kerr.ErrorForCode(code))
			}
		}
	}
	r := p.request(3, "g", 5)
	r.MemberID, r.Generation = joined.MemberID, joined.Generation
	if code := c.txnCommitCode(r); code != 0 {
		t.Errorf("the member: error %d", code)
	}
	for version := int16(0); version < 3; version++ {
		if code := c.txnCommitCode(p.request(version, "g", 6)); code != 0 {
			t.Errorf("v%d, which does not know of members: error %d", version, code)
		}
	}
	p.end(3, true)
	if o := c.fetchStable(8, "g", 0, true, false); o.Offset != 6 {
		t.Errorf("%+v", o)
	}
}

// TestOffsetsOfTransactionsPartByPart: each partition of a request has its own code, and the good ones are stored.
func TestOffsetsOfTransactionsPartByPart(t *testing.T) {
	b, c := groupClient(t)
	p := newOffsetProducer(t, b, c, "p")
	r := p.request(5, "g", 7)
	for index := int32(1); index < 3; index++ {
		more := kmsg.NewTxnOffsetCommitRequestTopicPartition()
		more.Partition, more.Offset = index, 8
		r.Topics[0].Partitions = append(r.Topics[0].Partitions, more)
	}
	r.Topics[0].Partitions[1].Metadata = kmsg.StringPtr(strings.Repeat("x", 4097))
	other := kmsg.NewTxnOffsetCommitRequestTopic()
	other.Topic = "nowhere"
	other.Partitions = append(other.Partitions, kmsg.NewTxnOffsetCommitRequestTopicPartition())
	r.Topics = append(r.Topics, other)
	answer := c.ask(r).(*kmsg.TxnOffsetCommitResponse)
	var codes []int16
	for _, t := range answer.Topics {
		for _, p := range t.Partitions {
			codes = append(codes, p.ErrorCode)
		}
	}
	if fmt.Sprint(codes) != fmt.Sprint([]int16{0, 12, 3, 3}) {
		t.Errorf("codes %v", codes)
	}
	p.end(5, true)
	if o := c.fetchStable(8, "g", 0, true, false); o.Offset != 7 {
		t.Errorf("%+v", o)
	}
}

// TestLateOffsetsOfATransaction: one that comes after the end of its transaction changes nothing and opens nothing, in both
// protocols.
func TestLateOffsetsOfATransaction(t *testing.T) {
	for version, want := range map[int16]*kerr.Error{3: kerr.InvalidTxnState, 4: kerr.TransactionAbortable, 5: kerr.InvalidProducerEpoch} {
		b, c := groupClient(t)
		p := newOffsetProducer(t, b, c, "p")
		if version < firstTxnOffsetCommitVersionAdds {
			p.add("g")
		}
		late := p.request(version, "g", 5)
		if code := c.txnCommitCode(late); code != 0 {
			t.Fatal(version, code)
		}
		p.end(version, true)
		late.Topics[0].Partitions[0].Offset = 6
		if code := c.txnCommitCode(late); code != want.Code {
			t.Errorf("v%d: error %v", version, kerr.ErrorForCode(code))
		}
		if o := c.fetchStable(8, "g", 0, true, false); o.ErrorCode != 0 || o.Offset != 5 {
			t.Errorf("v%d: %+v", version, o)
		}
		wantNoOpenTransaction(t, b)
	}
}

// TestFullDiskInATransactionOfOffsets: the client is told to come again, and the transaction can be ended.
func TestFullDiskInATransactionOfOffsets(t *testing.T) {
	files, b, c := faultyGroups(t)
	p := newOffsetProducer(t, b, c, "p")
	p.add("g")
	files.SetRules(disk.Rule{Kinds: []disk.Kind{disk.OpWriteAt, disk.OpAllocate, disk.OpCreate}, Err: syscall.ENOSPC})
	if code := c.txnCommitCode(p.request(3, "g", 1)); code != kerr.CoordinatorNotAvailable.Code {
		t.Errorf("on a full disk: error %d", code)
	}
	files.SetRules()
	if code := c.txnCommitCode(p.request(3, "g", 2)); code != 0 {
		t.Errorf("once there is room: error %d", code)
	}
	p.end(3, true)
	if o := c.fetchStable(8, "g", 0, true, false); o.ErrorCode != 0 || o.Offset != 2 {
		t.Errorf("%+v", o)
	}
	p.add("g")
	files.SetRules(disk.Rule{Kinds: []disk.Kind{disk.OpSyncData, disk.OpSync}, Nth: 1, Err: syscall.EIO})
	for range 2 { // the second one is refused by the partition
		if code := c.txnCommitCode(p.request(3, "g", 3)); code != kerr.NotCoordinator.Code {
			t.Errorf("on a disk that fails: error %d", code)
		}
	}
}

// TestCodesOfCoordinatorsThatCannotSay: errors of the transaction's coordinator, as clients of each version know them.
func TestCodesOfCoordinatorsThatCannotSay(t *testing.T) {
	for _, test := range []struct {
		version int16
		err     error
		want    *kerr.Error
	}{
		{1, kerr.CoordinatorLoadInProgress, kerr.CoordinatorNotAvailable},
		{2, kerr.CoordinatorLoadInProgress, kerr.CoordinatorLoadInProgress},
		{5, kerr.ConcurrentTransactions, kerr.ConcurrentTransactions},
		{5, kerr.RequestTimedOut, kerr.CoordinatorNotAvailable},
		{5, kerr.NotCoordinator, kerr.NotCoordinator},
		{5, kerr.ProducerFenced, kerr.InvalidProducerEpoch},
		{3, kerr.TransactionAbortable, kerr.InvalidTxnState},
		{4, kerr.TransactionAbortable, kerr.TransactionAbortable},
		{4, log.ErrInvalidTxnState, kerr.InvalidTxnState},
		{4, errors.New("anything else"), kerr.UnknownServerError},
	} {
		commit := transactionalCommit{version: test.version}
		if code := commit.code(fmt.Errorf("wrapped: %w", test.err)); code != test.want.Code {
			t.Errorf("v%d, %v: error %v", test.version, test.err, kerr.ErrorForCode(code))
		}
	}
}

// TestCrashDuringACommitOfOffsets: whatever a crash leaves of a transaction that was being committed, its offsets are all
// there or none, all are if the commit was answered, and nobody waits for a stable one for ever (A16).
func TestCrashDuringACommitOfOffsets(t *testing.T) {
	const id = "p"
	var p *offsetProducer
	states := crashesDuring(t, func(b *Broker) {
		createTopic(t, b, "t", 2)
		c := dial(t, b)
		c.commit(8, "g", "t", 0, 1)
		c.commit(8, "g", "t", 1, 1)
		p = newOffsetProducer(t, b, c, id)
		r := p.request(5, "g", 2)
		second := r.Topics[0].Partitions[0]
		second.Partition = 1
		r.Topics[0].Partitions = append(r.Topics[0].Partitions, second)
		if code := c.txnCommitCode(r); code != 0 {
			t.Fatal(code)
		}
	}, func(*Broker) { p.end(5, true) })
	outcomes := map[int64]int{}
	for _, state := range states {
		t.Run(state.title, func(t *testing.T) {
			b, stop := startOn(t, state.files, nil)
			defer stop()
			fence(t, b, id)
			c := dial(t, b)
			var offsets []int64
			for partition := range int32(2) {
				o := c.fetchStable(8, "g", partition, true, false)
				if o.ErrorCode != 0 {
					t.Fatalf("nobody has a transaction open: %+v", o)
				}
				offsets = append(offsets, o.Offset)
			}
			if offsets[0] != offsets[1] || state.acknowledged && offsets[0] != 2 {
				t.Errorf("offsets %v", offsets)
			}
			outcomes[offsets[0]]++
			wantNoOpenTransaction(t, b)
		})
	}
	if outcomes[1] == 0 || outcomes[2] == 0 || len(outcomes) > 2 {
		t.Errorf("outcomes %v", outcomes)
	}
}

// fence begins anew with a transactional id, which aborts what is open, or waits until what was decided is done.
func fence(t *testing.T, b *Broker, id string) {
	t.Helper()
	if err := b.producerIDs.stock(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(30 * time.Second); ; {
		answer, err := askTransaction[txn.InitAnswer](t.Context(), b.transactions, id, func(s *txn.State, _ txn.Ticket) any {
			return s.InitProducerID(txn.InitRequest{TransactionalID: id, TimeoutMs: 60_000, ProducerID: -1, ProducerEpoch: -1})
		})
		switch {
		case err == nil && answer.Code == txn.None:
			return
		case err != nil || answer.Code != txn.ConcurrentTransactions || time.Now().After(deadline):
			t.Fatal(answer, err)
		}
	}
}

// TestRefusedOffsetsLeaveNoVerification: or every request with a producer id that somebody made up would take memory.
func TestRefusedOffsetsLeaveNoVerification(t *testing.T) {
	b, c := groupClient(t)
	p := newOffsetProducer(t, b, c, "p")
	p.add("g")
	shards, err := b.groups.ensure(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	at := b.partitions.lookup(metadata.OffsetsTopic, shardIndex("g", int32(len(shards.all))))
	p.number += 1000
	before, err := at.BeginVerification(p.number, p.epoch, record.NoSequence, false)
	if err != nil {
		t.Fatal(err)
	}
	for version := int16(0); version <= 6; version++ {
		if code := c.txnCommitCode(p.request(version, "g", 1)); code != kerr.InvalidProducerIDMapping.Code {
			t.Fatalf("v%d: error %d", version, code)
		}
		after, err := at.BeginVerification(p.number, p.epoch, record.NoSequence, false)
		if err != nil || after == before {
			t.Errorf("v%d: the verification is still there (%v)", version, err)
		}
		before = after
	}
}
