package txn

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/log/record"
)

// The records of __transaction_state, as Kafka writes them (TransactionLogKey/Value): the key is an int16 0 and the
// transactional id, the value all that is known of it. A record without value is a tombstone.
const (
	keyVersion      = 0
	valueVersionOld = 0 // without tagged fields: what transaction.version 0 can read
	valueVersion    = 1

	previousProducerIDTag       = 0
	nextProducerIDTag           = 1
	clientTransactionVersionTag = 2
	// lastProducerEpochTag is a tagged field of our own, which Kafka passes over: Kafka 4.3 forgets the epoch at a
	// restart, and then fences a producer that asks again for the epoch it was given. The number is far from Kafka's.
	lastProducerEpochTag = 10_000
)

// ErrRecord means that a record of __transaction_state does not parse.
var ErrRecord = errors.New("transaction record does not parse")

// record is the record of a transactional id. A transaction of the new protocol needs fields that the old record does not
// have, whatever the feature's level has become meanwhile.
func (s *State) record(transactionalID string, m *metadata) record.Record {
	value := kmsg.NewTxnMetadataValue()
	value.Version = valueVersionOld
	if max(s.environment.TransactionVersion(), m.version) >= 1 {
		value.Version = valueVersion
	}
	value.ProducerID = m.producerID
	value.ProducerEpoch = m.producerEpoch
	value.TimeoutMillis = m.timeoutMs
	value.State = kmsg.TransactionState(m.phase)
	value.Topics = topicsOf(m)
	value.LastUpdateTimestamp = m.updatedMs
	value.StartTimestamp = m.startMs
	value.PreviousProducerID = m.previousProducerID
	value.NextProducerID = m.nextProducerID
	value.ClientTransactionVersion = m.version
	if m.lastProducerEpoch != noProducerEpoch {
		value.UnknownTags.Set(lastProducerEpochTag, binary.BigEndian.AppendUint16(nil, uint16(m.lastProducerEpoch)))
	}
	return record.Record{Key: recordKey(transactionalID), Value: value.AppendTo(nil)}
}

// topicsOf groups the partitions by topic; only an Empty one has null.
func topicsOf(m *metadata) []kmsg.TxnMetadataValueTopic {
	if m.phase == Empty {
		return nil
	}
	topics := []kmsg.TxnMetadataValueTopic{}
	for _, p := range m.partitions {
		if last := len(topics) - 1; last >= 0 && topics[last].Topic == p.Topic {
			topics[last].Partitions = append(topics[last].Partitions, p.Partition)
			continue
		}
		topics = append(topics, kmsg.TxnMetadataValueTopic{Topic: p.Topic, Partitions: []int32{p.Partition}})
	}
	return topics
}

func tombstone(transactionalID string) record.Record {
	return record.Record{Key: recordKey(transactionalID)}
}

func recordKey(transactionalID string) []byte {
	key := kmsg.TxnMetadataKey{Version: keyVersion, TransactionalID: transactionalID}
	return key.AppendTo(nil)
}

// Replay applies one record; a nil value is a tombstone. Neither slice is kept. Keys of a kind that is not known are
// passed over, as Kafka does. ErrRecord changes nothing.
func (s *State) Replay(key, value []byte) error {
	if len(key) < 2 {
		return fmt.Errorf("%w: key of %d bytes", ErrRecord, len(key))
	}
	if kind := binary.BigEndian.Uint16(key); kind != keyVersion {
		s.logger.Debug("record of an unknown kind passed over", "kind", kind)
		return nil
	}
	var k kmsg.TxnMetadataKey
	if err := k.ReadFrom(key); err != nil {
		return fmt.Errorf("%w: key: %w", ErrRecord, err)
	}
	if k.TransactionalID == "" {
		return fmt.Errorf("%w: key without transactional id", ErrRecord)
	}
	if value == nil {
		delete(s.transactions, k.TransactionalID)
		return nil
	}
	m, err := readValue(value)
	if err != nil {
		return fmt.Errorf("%w: transactional id %q: %w", ErrRecord, k.TransactionalID, err)
	}
	s.transactions[k.TransactionalID] = &transaction{id: k.TransactionalID, metadata: m, unwritten: m.partitions, position: -1}
	return nil
}

// readValue parses a value and says whether a State can have written it.
func readValue(value []byte) (metadata, error) {
	d := decoder{rest: value}
	m, err := d.metadata()
	switch {
	case err != nil:
		return metadata{}, err
	case m.phase < Empty || m.phase > CompleteAbort:
		return metadata{}, fmt.Errorf("state %d, which is never written", m.phase)
	case m.producerID < 0 || m.producerEpoch < 0:
		return metadata{}, fmt.Errorf("producer id %d with epoch %d", m.producerID, m.producerEpoch)
	case m.nextProducerID < noProducerID:
		return metadata{}, fmt.Errorf("next producer id %d", m.nextProducerID)
	}
	slices.SortFunc(m.partitions, comparePartitions)
	m.partitions = slices.Compact(m.partitions)
	if m.phase != Ongoing && !m.phase.decided() {
		m.partitions = nil
	}
	return m, nil
}
