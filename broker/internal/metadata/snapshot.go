package metadata

import (
	"fmt"
	"maps"
	"slices"
)

// Snapshot returns the records of a snapshot: applied to any image, they lead to this one. A log that begins with them
// needs nothing of what was before. They begin and end with Kafka's records of a transaction (KIP-868), and belong into
// one batch, so that a crash leaves all of them or none.
//
// Whatever an Image holds is written here; a test fails for a field that is not.
func (image *Image) Snapshot() []Record {
	records := append([]Record{&BeginTransactionRecord{}}, Format()...)
	if image.transactionsBelow > 0 {
		records = append(records, &FeatureLevelRecord{Name: FeatureTransaction, Level: image.TransactionVersion()})
	}
	if image.brokerEpoch >= 0 {
		records = append(records, image.registration(image.brokerEpoch, [16]byte{}))
	}
	for _, name := range slices.Sorted(maps.Keys(image.brokerConfigs)) {
		records = append(records, configRecords(resourceBroker, name, nil, image.brokerConfigs[name])...)
	}
	for _, t := range image.topics {
		records = append(records, image.creation(t)...)
	}
	records = append(records, quotaRecords(image.quotas)...)
	if image.nextProducerID > 0 {
		records = append(records, image.ProducerIDs(0))
	}
	return append(records, &EndTransactionRecord{})
}

// BeginsSnapshot says whether the records of a batch are a snapshot.
func BeginsSnapshot(records []Record) bool {
	if len(records) == 0 {
		return false
	}
	_, begins := records[0].(*BeginTransactionRecord)
	return begins
}

// beginSnapshot goes back to an empty image, which the records of the snapshot fill.
func (d *draft) beginSnapshot() error {
	if d.replaced != nil {
		return fmt.Errorf("%w: a snapshot within a snapshot", ErrCorrupt)
	}
	replaced := d.Image
	*d = draft{Image: *Empty(d.clusterID, d.nodeID), replaced: &replaced}
	return nil
}

// endSnapshot holds the snapshot against what it replaces: what only grows must not have shrunk.
func (d *draft) endSnapshot() error {
	if d.replaced == nil {
		return fmt.Errorf("%w: the end of a snapshot that has no beginning", ErrCorrupt)
	}
	if before := d.replaced; d.brokerEpoch < before.brokerEpoch || d.nextProducerID < before.nextProducerID {
		return fmt.Errorf("%w: snapshot with broker epoch %d and next producer id %d after %d and %d", ErrCorrupt,
			d.brokerEpoch, d.nextProducerID, before.brokerEpoch, before.nextProducerID)
	}
	d.replaced = nil
	return nil
}
