package metadata

import "errors"

// The reasons for which a decision refuses. Errors returned by decisions wrap one of them and say more.
var (
	ErrTopicExists              = errors.New("topic exists")
	ErrUnknownTopic             = errors.New("unknown topic")
	ErrUnknownTopicID           = errors.New("unknown topic id")
	ErrInvalidTopic             = errors.New("invalid topic name")
	ErrInvalidPartitions        = errors.New("invalid number of partitions")
	ErrInvalidReplicationFactor = errors.New("invalid replication factor")
	ErrInvalidReplicaAssignment = errors.New("invalid replica assignment")
	ErrInvalidConfig            = errors.New("invalid config")
	ErrInvalidRequest           = errors.New("invalid request")
	ErrPolicy                   = errors.New("limit exceeded")
)

// Reasons for which a record cannot be read.
var (
	// ErrCorrupt means that the bytes are not a metadata record.
	ErrCorrupt = errors.New("corrupt metadata record")
	// ErrNewer means that the record was written by a version of the broker that knows more than this one.
	ErrNewer = errors.New("metadata written by a newer version")
)
