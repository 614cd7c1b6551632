package broker

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// addCodes are the codes of an answer by topic and partition, of the one transaction that it is about.
func addCodes(answer kmsg.Response) map[string]map[int32]int16 {
	codes := map[string]map[int32]int16{}
	add := func(topic string, partition int32, code int16) {
		if codes[topic] == nil {
			codes[topic] = map[int32]int16{}
		}
		codes[topic][partition] = code
	}
	r := answer.(*kmsg.AddPartitionsToTxnResponse)
	for _, t := range r.Topics {
		for _, p := range t.Partitions {
			add(t.Topic, p.Partition, p.ErrorCode)
		}
	}
	for _, x := range r.Transactions {
		for _, t := range x.Topics {
			for _, p := range t.Partitions {
				add(t.Topic, p.Partition, p.ErrorCode)
			}
		}
	}
	return codes
}

// inVersion is an AddPartitionsToTxn request in another version.
func inVersion(r *kmsg.AddPartitionsToTxnRequest, version int16, verifyOnly bool) *kmsg.AddPartitionsToTxnRequest {
	r.SetVersion(version)
	if version < 4 {
		return r
	}
	x := kmsg.NewAddPartitionsToTxnRequestTransaction()
	x.TransactionalID, x.ProducerID, x.ProducerEpoch, x.VerifyOnly = r.TransactionalID, r.ProducerID, r.ProducerEpoch, verifyOnly
	for _, t := range r.Topics {
		x.Topics = append(x.Topics, kmsg.AddPartitionsToTxnRequestTransactionTopic{Topic: t.Topic, Partitions: t.Partitions})
	}
	r.Transactions = append(r.Transactions, x)
	return r
}

// TestProducersThatAreNotThePresentOneAreRefused asks for everything about a transaction as somebody else, in every
// version.
func TestProducersThatAreNotThePresentOneAreRefused(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	createTopic(t, b, "t", 1)
	c := dial(t, b)
	owner := newTransactor(t, c, "app", false)
	owner.init()
	owner.init() // so that there is an older epoch
	wantNone(t, "AddPartitionsToTxn", owner.add("t", 0))
	fenced := func(version, first int16) *kerr.Error {
		if version < first {
			return kerr.InvalidProducerEpoch
		}
		return kerr.ProducerFenced
	}
	same := func(err *kerr.Error) func(int16, int16) *kerr.Error {
		return func(int16, int16) *kerr.Error { return err }
	}
	for name, test := range map[string]struct {
		id       string
		producer int64
		epoch    int16
		want     func(version, first int16) *kerr.Error
	}{
		"empty id":         {"", owner.producerID, owner.epoch, same(kerr.InvalidRequest)},
		"unknown id":       {"nobody", owner.producerID, owner.epoch, same(kerr.InvalidProducerIDMapping)},
		"unknown producer": {"app", owner.producerID + 1, owner.epoch, same(kerr.InvalidProducerIDMapping)},
		"fenced":           {"app", owner.producerID, owner.epoch - 1, fenced},
		"epoch to come":    {"app", owner.producerID, owner.epoch + 1, fenced},
	} {
		t.Run(name, func(t *testing.T) {
			other := newTransactor(t, c, test.id, false)
			other.producerID, other.epoch = test.producer, test.epoch
			for version := int16(0); version <= 5; version++ {
				for _, verifyOnly := range []bool{false, version >= 4} {
					want := test.want(version, firstTxnVersionFenced).Code
					if code := addCodes(c.ask(inVersion(other.addRequest("t", 0), version, verifyOnly)))["t"][0]; code != want {
						t.Errorf("AddPartitionsToTxn %d, verify only %t: %d, want %d", version, verifyOnly, code, want)
					}
				}
			}
			for version := int16(0); version <= 4; version++ {
				r := kmsg.NewPtrAddOffsetsToTxnRequest()
				r.SetVersion(version)
				r.TransactionalID, r.ProducerID, r.ProducerEpoch, r.Group = other.id, other.producerID, other.epoch, "g"
				want := test.want(version, firstTxnVersionFenced).Code
				if code := c.ask(r).(*kmsg.AddOffsetsToTxnResponse).ErrorCode; code != want {
					t.Errorf("AddOffsetsToTxn %d: %d, want %d", version, code, want)
				}
			}
			for version := int16(0); version <= 5; version++ {
				for _, commit := range []bool{true, false} {
					r := other.endRequest(commit)
					r.SetVersion(version)
					want := test.want(version, firstTxnVersionFenced).Code
					if code := c.ask(r).(*kmsg.EndTxnResponse).ErrorCode; code != want {
						t.Errorf("EndTxn %d, commit %t: %d, want %d", version, commit, code, want)
					}
				}
			}
		})
	}
	owner.commit()
	awaitQuiet(t, b)
}

func TestInitProducerIDTimeoutsAndEpochs(t *testing.T) {
	b := startBroker(t, Options{Config: map[string]string{"transaction.max.timeout.ms": "1000"}}, nil)
	c := dial(t, b)
	id := "app"
	var latest *kmsg.InitProducerIDResponse
	ask := func(version int16, timeoutMs int32, producerID int64, epoch int16) int16 {
		r := kmsg.NewPtrInitProducerIDRequest()
		r.SetVersion(version)
		r.TransactionalID, r.TransactionTimeoutMillis, r.ProducerID, r.ProducerEpoch = &id, timeoutMs, producerID, epoch
		latest = c.ask(r).(*kmsg.InitProducerIDResponse)
		return latest.ErrorCode
	}
	for version := int16(0); version <= 5; version++ {
		for _, timeoutMs := range []int32{1001, 0, -1} {
			if code := ask(version, timeoutMs, -1, -1); code != kerr.InvalidTransactionTimeout.Code || latest.ProducerID != -1 || latest.ProducerEpoch != -1 {
				t.Errorf("version %d, timeout %d ms: %+v", version, timeoutMs, latest)
			}
		}
		wantNone(t, "at the maximum", ask(version, 1000, -1, -1))
		if latest.ProducerEpoch != version {
			t.Errorf("version %d: epoch %d, want one more for each", version, latest.ProducerEpoch)
		}
	}
	present := *latest
	for version := int16(3); version <= 5; version++ {
		want := kerr.ProducerFenced.Code
		if version < 4 {
			want = kerr.InvalidProducerEpoch.Code
		}
		if code := ask(version, 1000, present.ProducerID, present.ProducerEpoch-1); code != want {
			t.Errorf("version %d with an older epoch: %d, want %d", version, code, want)
		}
		if code := ask(version, 1000, present.ProducerID+1, 0); code != want {
			t.Errorf("version %d with another id: %d, want %d", version, code, want)
		}
	}
	wantNone(t, "with the present epoch", ask(5, 1000, present.ProducerID, present.ProducerEpoch))
	if latest.ProducerID != present.ProducerID || latest.ProducerEpoch != present.ProducerEpoch+1 {
		t.Errorf("after %+v: %+v", present, latest)
	}
	wantNone(t, "the same again", ask(5, 1000, present.ProducerID, present.ProducerEpoch))
	if latest.ProducerEpoch != present.ProducerEpoch+1 {
		t.Errorf("a repeat got another epoch: %+v", latest)
	}
}

// TestPartitionsThatDoNotExistKeepTheOthersOut: all or none of a request's partitions become part of the transaction.
func TestPartitionsThatDoNotExistKeepTheOthersOut(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	createTopic(t, b, "t", 2)
	c := dial(t, b)
	x := newTransactor(t, c, "app", false)
	x.init()
	ends := func() (ends []int64) {
		for _, p := range b.partitions.of("t") {
			ends = append(ends, p.Offsets().LogEnd)
		}
		return ends
	}
	for version := int16(0); version <= 5; version++ {
		r := x.addRequest("t", 0, 1, 2, 0)
		r.Topics = append(r.Topics, kmsg.AddPartitionsToTxnRequestTopic{Topic: "absent", Partitions: []int32{0}},
			kmsg.AddPartitionsToTxnRequestTopic{Topic: "__consumer_offsets", Partitions: []int32{0}})
		codes := addCodes(c.ask(inVersion(r, version, false)))
		internal := kerr.TopicAuthorizationFailed.Code
		if version >= 4 {
			internal = kerr.UnknownTopicOrPartition.Code // brokers may add it, once it is there
		}
		if len(codes["t"]) != 3 || codes["t"][0] != kerr.OperationNotAttempted.Code || codes["t"][1] != kerr.OperationNotAttempted.Code ||
			codes["t"][2] != kerr.UnknownTopicOrPartition.Code || codes["absent"][0] != kerr.UnknownTopicOrPartition.Code ||
			codes["__consumer_offsets"][0] != internal {
			t.Errorf("version %d: %v", version, codes)
		}
	}
	if code := x.end(true); code != kerr.InvalidTxnState.Code {
		t.Errorf("a transaction was begun: EndTxn %d", code)
	}
	wantNone(t, "AddPartitionsToTxn", x.add("t", 1))
	x.commit()
	if e := ends(); e[0] != 0 || e[1] != 1 {
		t.Errorf("log ends %v, want a marker in the second partition alone", e)
	}
}

// TestVerifyingAddsNothing: what is asked about is not part of the transaction for that.
func TestVerifyingAddsNothing(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	createTopic(t, b, "t", 2)
	c := dial(t, b)
	x := newTransactor(t, c, "app", false)
	x.init()
	wantNone(t, "AddPartitionsToTxn", x.add("t", 0))
	for version := int16(4); version <= 5; version++ {
		codes := addCodes(c.ask(inVersion(x.addRequest("t", 0, 1), version, true)))
		if codes["t"][0] != 0 || codes["t"][1] != kerr.TransactionAbortable.Code {
			t.Errorf("version %d: %v", version, codes)
		}
	}
	r := inVersion(x.addRequest("t", 1), 4, false) // several transactions in one request, one of them unknown
	r.Transactions = append(r.Transactions, kmsg.AddPartitionsToTxnRequestTransaction{TransactionalID: "nobody",
		Topics: []kmsg.AddPartitionsToTxnRequestTransactionTopic{{Topic: "t", Partitions: []int32{0}}}})
	answer := c.ask(r).(*kmsg.AddPartitionsToTxnResponse)
	if len(answer.Transactions) != 2 || answer.Transactions[0].Topics[0].Partitions[0].ErrorCode != 0 ||
		answer.Transactions[1].Topics[0].Partitions[0].ErrorCode != kerr.InvalidProducerIDMapping.Code {
		t.Errorf("%+v", answer)
	}
	x.commit()
	for _, p := range b.partitions.of("t") {
		if end := p.Offsets().LogEnd; end != 1 {
			t.Errorf("%s-%d ends at %d, want a marker", p.Topic(), p.Index(), end)
		}
	}
}

func TestEndTxnWithoutATransaction(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	createTopic(t, b, "t", 1)
	c := dial(t, b)
	x := newTransactor(t, c, "app", false)
	x.init()
	end := func(version int16, commit bool) *kmsg.EndTxnResponse {
		r := x.endRequest(commit)
		r.SetVersion(version)
		return c.ask(r).(*kmsg.EndTxnResponse)
	}
	for version := int16(0); version <= 4; version++ {
		for _, commit := range []bool{true, false} {
			if answer := end(version, commit); answer.ErrorCode != kerr.InvalidTxnState.Code {
				t.Errorf("version %d, commit %t: %+v", version, commit, answer)
			}
		}
	}
	if answer := end(5, true); answer.ErrorCode != kerr.InvalidTxnState.Code || answer.ProducerID != -1 || answer.ProducerEpoch != -1 {
		t.Errorf("version 5, commit: %+v", answer)
	}
	answer := end(5, false)
	if answer.ErrorCode != 0 || answer.ProducerID != x.producerID || answer.ProducerEpoch != x.epoch+1 {
		t.Errorf("version 5, abort: %+v after %d, %d", answer, x.producerID, x.epoch)
	}
	if again := end(5, false); again.ErrorCode != 0 || again.ProducerEpoch != answer.ProducerEpoch {
		t.Errorf("the same once more: %+v", again)
	}
}

// TestDecidedTransactionsKeepTheirOutcome: a repeat is answered the same, and the other outcome is refused.
func TestDecidedTransactionsKeepTheirOutcome(t *testing.T) {
	bothProtocols(t, func(t *testing.T, newer bool) {
		b := startBroker(t, Options{}, nil)
		createTopic(t, b, "t", 1)
		c := dial(t, b)
		x := newTransactor(t, c, "app", newer)
		x.init()
		for _, commit := range []bool{true, false} {
			wantNone(t, "add", addCodes(c.ask(inVersion(x.addRequest("t", 0), pick[int16](x, 3, 4), false)))["t"][0])
			first, repeat, other := x.endRequest(commit), x.endRequest(commit), x.endRequest(!commit)
			answer := c.ask(first).(*kmsg.EndTxnResponse)
			wantNone(t, "EndTxn", answer.ErrorCode)
			if again := c.ask(repeat).(*kmsg.EndTxnResponse); again.ErrorCode != 0 || again.ProducerID != answer.ProducerID || again.ProducerEpoch != answer.ProducerEpoch {
				t.Errorf("a repeat: %+v, first %+v", again, answer)
			}
			if opposite := c.ask(other).(*kmsg.EndTxnResponse); opposite.ErrorCode != kerr.InvalidTxnState.Code {
				t.Errorf("the opposite of commit %t: %+v", commit, opposite)
			}
			if newer {
				x.epoch = answer.ProducerEpoch
			}
		}
		if end := b.partitions.lookup("t", 0).Offsets().LogEnd; end != 2 {
			t.Errorf("%d markers, want one for each transaction", end)
		}
	})
}
