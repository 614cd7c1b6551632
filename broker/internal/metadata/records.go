package metadata

import (
	"fmt"

	"github.com/millrace/millrace/broker/internal/quota"
)

// Record is one of Kafka's metadata records. The types of this file are all there are.
type Record interface {
	// kind is the record's number and the one version of it that is written here.
	kind() (apiKey uint64, version uint64)
	fields(c *coder)
}

// Numbers of Kafka's metadata records, and the version of each that is written and read here.
// They are those of metadata.version 3.3-IV3, the oldest that Kafka 4 reads, and the later ones of transactions.
const (
	keyRegisterBroker   = 0
	keyTopic            = 2
	keyPartition        = 3
	keyConfig           = 4
	keyRemoveTopic      = 9
	keyFeatureLevel     = 12
	keyClientQuota      = 14
	keyProducerIDs      = 15
	keyBeginTransaction = 23
	keyEndTransaction   = 24

	frameVersion = 1
)

// RegisterBrokerRecord is written at each start of the broker.
type RegisterBrokerRecord struct {
	BrokerID             int32
	IncarnationID        [16]byte
	BrokerEpoch          int64 // one more than at the start before
	EndPoints            []EndPoint
	Features             []Feature
	Rack                 *string
	Fenced               bool
	InControlledShutdown bool
}

// EndPoint is an address that a broker listens on.
type EndPoint struct {
	Name             string
	Host             string
	Port             uint16
	SecurityProtocol int16
}

// Feature is the range of levels of a feature that a broker supports.
type Feature struct {
	Name       string
	MinVersion int16
	MaxVersion int16
}

// TopicRecord creates a topic without partitions.
type TopicRecord struct {
	Name string
	ID   [16]byte
}

// PartitionRecord adds a partition to a topic.
type PartitionRecord struct {
	PartitionID      int32
	TopicID          [16]byte
	Replicas         []int32
	Isr              []int32
	RemovingReplicas []int32
	AddingReplicas   []int32
	Leader           int32
	LeaderEpoch      int32
	PartitionEpoch   int32
}

// ConfigRecord sets a setting of a resource, or removes it if Value is nil.
type ConfigRecord struct {
	ResourceType int8 // resourceTopic or resourceBroker
	ResourceName string
	Name         string
	Value        *string
}

// Types of resources with settings (ConfigResource.Type). An empty name of a broker means all of them.
const (
	resourceTopic  = 2
	resourceBroker = 4
)

// RemoveTopicRecord removes a topic with its partitions and settings.
type RemoveTopicRecord struct {
	ID [16]byte
}

// FeatureLevelRecord says which level of a feature a reader must know. It is the first record of a log.
type FeatureLevelRecord struct {
	Name  string
	Level int16
}

// ClientQuotaRecord sets a quota of an entity, or removes it.
type ClientQuotaRecord struct {
	Entity []quota.Part
	Key    string
	Value  float64 // without meaning if Remove is set
	Remove bool
}

// ProducerIDsRecord gives the producer ids below NextProducerID, and from the last record's on, to the broker.
type ProducerIDsRecord struct {
	BrokerID       int32
	BrokerEpoch    int64
	NextProducerID int64
}

// BeginTransactionRecord begins a snapshot: what is before it is forgotten. It is the first record of its batch.
type BeginTransactionRecord struct{}

// EndTransactionRecord ends a snapshot. It is the last record of the batch that the snapshot begins with.
type EndTransactionRecord struct{}

func (*RegisterBrokerRecord) kind() (uint64, uint64)   { return keyRegisterBroker, 1 }
func (*TopicRecord) kind() (uint64, uint64)            { return keyTopic, 0 }
func (*PartitionRecord) kind() (uint64, uint64)        { return keyPartition, 0 }
func (*ConfigRecord) kind() (uint64, uint64)           { return keyConfig, 0 }
func (*RemoveTopicRecord) kind() (uint64, uint64)      { return keyRemoveTopic, 0 }
func (*FeatureLevelRecord) kind() (uint64, uint64)     { return keyFeatureLevel, 0 }
func (*ClientQuotaRecord) kind() (uint64, uint64)      { return keyClientQuota, 0 }
func (*ProducerIDsRecord) kind() (uint64, uint64)      { return keyProducerIDs, 0 }
func (*BeginTransactionRecord) kind() (uint64, uint64) { return keyBeginTransaction, 0 }
func (*EndTransactionRecord) kind() (uint64, uint64)   { return keyEndTransaction, 0 }

func (r *RegisterBrokerRecord) fields(c *coder) {
	c.int32(&r.BrokerID)
	c.uuid(&r.IncarnationID)
	c.int64(&r.BrokerEpoch)
	array(c, &r.EndPoints, func(c *coder, e *EndPoint) {
		c.string(&e.Name)
		c.string(&e.Host)
		c.uint16(&e.Port)
		c.int16(&e.SecurityProtocol)
		c.tags()
	})
	array(c, &r.Features, func(c *coder, f *Feature) {
		c.string(&f.Name)
		c.int16(&f.MinVersion)
		c.int16(&f.MaxVersion)
		c.tags()
	})
	c.nullableString(&r.Rack)
	c.bool(&r.Fenced)
	c.bool(&r.InControlledShutdown)
}

func (r *TopicRecord) fields(c *coder) {
	c.string(&r.Name)
	c.uuid(&r.ID)
}

func (r *PartitionRecord) fields(c *coder) {
	c.int32(&r.PartitionID)
	c.uuid(&r.TopicID)
	for _, brokers := range []*[]int32{&r.Replicas, &r.Isr, &r.RemovingReplicas, &r.AddingReplicas} {
		array(c, brokers, (*coder).int32)
	}
	c.int32(&r.Leader)
	c.int32(&r.LeaderEpoch)
	c.int32(&r.PartitionEpoch)
}

func (r *ConfigRecord) fields(c *coder) {
	c.int8(&r.ResourceType)
	c.string(&r.ResourceName)
	c.string(&r.Name)
	c.nullableString(&r.Value)
}

func (r *RemoveTopicRecord) fields(c *coder) { c.uuid(&r.ID) }

func (r *FeatureLevelRecord) fields(c *coder) {
	c.string(&r.Name)
	c.int16(&r.Level)
}

func (r *ClientQuotaRecord) fields(c *coder) {
	array(c, &r.Entity, func(c *coder, part *quota.Part) {
		c.string(&part.Type)
		c.nullableString(&part.Name)
		c.tags()
	})
	c.string(&r.Key)
	c.float64(&r.Value)
	c.bool(&r.Remove)
}

func (r *ProducerIDsRecord) fields(c *coder) {
	c.int32(&r.BrokerID)
	c.int64(&r.BrokerEpoch)
	c.int64(&r.NextProducerID)
}

func (*BeginTransactionRecord) fields(*coder) {}

func (*EndTransactionRecord) fields(*coder) {}

func newRecord(apiKey uint64) Record {
	switch apiKey {
	case keyRegisterBroker:
		return new(RegisterBrokerRecord)
	case keyTopic:
		return new(TopicRecord)
	case keyPartition:
		return new(PartitionRecord)
	case keyConfig:
		return new(ConfigRecord)
	case keyRemoveTopic:
		return new(RemoveTopicRecord)
	case keyFeatureLevel:
		return new(FeatureLevelRecord)
	case keyClientQuota:
		return new(ClientQuotaRecord)
	case keyProducerIDs:
		return new(ProducerIDsRecord)
	case keyBeginTransaction:
		return new(BeginTransactionRecord)
	case keyEndTransaction:
		return new(EndTransactionRecord)
	}
	return nil
}

// Encode returns the record as the value of a record of the metadata log:
//
//	frame version (1) | api key | version | fields | tagged fields
//
// The first three are unsigned variable-length numbers.
func Encode(r Record) []byte {
	apiKey, version := r.kind()
	frame := uint64(frameVersion)
	c := coder{}
	c.uvarint(&frame)
	c.uvarint(&apiKey)
	c.uvarint(&version)
	r.fields(&c)
	c.tags()
	return c.buf
}

// Decode is the inverse of Encode. The record does not share memory with value. It returns ErrNewer for a record
// that only a newer version knows, and ErrCorrupt for what is no record at all.
func Decode(value []byte) (Record, error) {
	c := coder{reading: true, buf: value}
	var frame, apiKey, version uint64
	c.uvarint(&frame)
	c.uvarint(&apiKey)
	c.uvarint(&version)
	if c.err != nil {
		return nil, c.err
	}
	if frame != frameVersion {
		return nil, fmt.Errorf("%w: frame version %d", ErrNewer, frame)
	}
	r := newRecord(apiKey)
	if r == nil {
		return nil, fmt.Errorf("%w: record type %d, version %d", ErrNewer, apiKey, version)
	}
	if _, known := r.kind(); version != known {
		return nil, fmt.Errorf("%w: version %d of record type %d, which is read up to %d", ErrNewer, version, apiKey, known)
	}
	r.fields(&c)
	c.tags()
	if c.err != nil {
		return nil, fmt.Errorf("record type %d: %w", apiKey, c.err)
	}
	if len(c.buf) > 0 {
		return nil, fmt.Errorf("%w: %d bytes after record type %d", ErrCorrupt, len(c.buf), apiKey)
	}
	return r, nil
}
