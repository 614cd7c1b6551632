package metadata

import "fmt"

// Features by which a metadata log says what its reader must know. The first two are Kafka's: 7 is 3.3-IV3, whose record
// versions are the ones here. The last is for what Kafka's records cannot say.
const (
	FeatureMetadata    = "metadata.version"
	FeatureTransaction = "transaction.version"
	featureMillrace    = "millrace.version"

	levelMetadata = 7
	levelMillrace = 1
)

// Version is the metadata.version that brokers tell their clients.
const Version = levelMetadata

// TransactionVersionMax is the highest level of transaction.version, and the one in force until another is set: also
// with a log from before there were transactions. 2 is KIP-890's protocol.
const TransactionVersionMax = 2

// TransactionVersion is the level of transaction.version in force, 0 to TransactionVersionMax.
func (image *Image) TransactionVersion() int16 {
	return TransactionVersionMax - image.transactionsBelow
}

// SetTransactionVersion returns the records that make level the transaction.version in force; none if it is.
func (image *Image) SetTransactionVersion(level int16) []Record {
	if level == image.TransactionVersion() {
		return nil
	}
	return []Record{&FeatureLevelRecord{Name: FeatureTransaction, Level: level}}
}

// Format returns the records that a new metadata log begins with.
func Format() []Record {
	return []Record{
		&FeatureLevelRecord{Name: FeatureMetadata, Level: levelMetadata},
		&FeatureLevelRecord{Name: featureMillrace, Level: levelMillrace},
	}
}

func (d *draft) applyFeature(r *FeatureLevelRecord) error {
	known := map[string]int16{FeatureMetadata: levelMetadata, FeatureTransaction: TransactionVersionMax, featureMillrace: levelMillrace}
	if r.Level > known[r.Name] {
		return fmt.Errorf("%w: feature %s at level %d, known up to %d", ErrNewer, r.Name, r.Level, known[r.Name])
	}
	if r.Name == FeatureTransaction {
		d.transactionsBelow = TransactionVersionMax - max(0, r.Level)
	}
	return nil
}
