package broker

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// api is one kind of request that the broker answers.
type api struct {
	key      int16
	name     string // Kafka's name for it
	min, max int16  // versions that are served
	shape    shape
	handler
}

// handler decodes and answers one kind of request.
type handler struct {
	newRequest func() kmsg.Request
	serve      func(*Broker, *call, kmsg.Request) (reply, error)
}

// apiTable is everything that the broker speaks, by key. ApiVersions, docs/KAFKA.md and the tests derive from it.
// What is not served is not in it: a client that sends it anyway loses its connection, as with Kafka.
//
// It is a function because a package variable would be an initialization cycle: the table holds apiVersions, which
// reads the table.
func apiTable() apis {
	table := apis{
		{key: 0, name: "Produce", min: 3, max: 13, handler: raw((*Broker).produce)},
		{key: 1, name: "Fetch", min: 4, max: 18, handler: raw((*Broker).fetch)},
		{key: 2, name: "ListOffsets", min: 1, max: 11, handler: plain((*Broker).listOffsets)},
		{key: 3, name: "Metadata", min: 0, max: 13, handler: plain((*Broker).metadata)},
		{key: 8, name: "OffsetCommit", min: 2, max: 10, handler: plain((*Broker).offsetCommit)},
		{key: 9, name: "OffsetFetch", min: 1, max: 10, handler: plain((*Broker).offsetFetch)},
		{key: 10, name: "FindCoordinator", min: 0, max: 5, handler: plain((*Broker).findCoordinator)},
		{key: 11, name: "JoinGroup", min: 0, max: 9, handler: plain((*Broker).joinGroup)},
		{key: 12, name: "Heartbeat", min: 0, max: 4, handler: plain((*Broker).heartbeat)},
		{key: 13, name: "LeaveGroup", min: 0, max: 5, handler: plain((*Broker).leaveGroup)},
		{key: 14, name: "SyncGroup", min: 0, max: 5, handler: plain((*Broker).syncGroup)},
		{key: 15, name: "DescribeGroups", min: 0, max: 6, handler: plain((*Broker).describeGroups)},
		{key: 16, name: "ListGroups", min: 0, max: 5, handler: plain((*Broker).listGroups)},
		{key: 18, name: "ApiVersions", min: 0, max: 5, handler: plain((*Broker).apiVersions)},
		{key: 19, name: "CreateTopics", min: 2, max: 7, handler: plain((*Broker).createTopics)},
		{key: 20, name: "DeleteTopics", min: 1, max: 6, handler: plain((*Broker).deleteTopics)},
		{key: 21, name: "DeleteRecords", min: 0, max: 2, handler: plain((*Broker).deleteRecords)},
		{key: 22, name: "InitProducerId", min: 0, max: 5, handler: plain((*Broker).initProducerID)},
		{key: 23, name: "OffsetForLeaderEpoch", min: 2, max: 4, handler: plain((*Broker).offsetForLeaderEpoch)},
		{key: 24, name: "AddPartitionsToTxn", min: 0, max: 5, handler: plain((*Broker).addPartitionsToTxn)},
		{key: 25, name: "AddOffsetsToTxn", min: 0, max: 4, handler: plain((*Broker).addOffsetsToTxn)},
		{key: 26, name: "EndTxn", min: 0, max: 5, handler: plain((*Broker).endTxn)},
		{key: 27, name: "WriteTxnMarkers", min: 1, max: 2, handler: plain((*Broker).writeTxnMarkers)},
		{key: 28, name: "TxnOffsetCommit", min: 0, max: 6, handler: plain((*Broker).txnOffsetCommit)},
		{key: 29, name: "DescribeAcls", min: 1, max: 3, handler: plain((*Broker).describeACLs)},
		{key: 30, name: "CreateAcls", min: 1, max: 3, handler: plain((*Broker).createACLs)},
		{key: 31, name: "DeleteAcls", min: 1, max: 3, handler: plain((*Broker).deleteACLs)},
		{key: 32, name: "DescribeConfigs", min: 1, max: 4, handler: plain((*Broker).describeConfigs)},
		{key: 33, name: "AlterConfigs", min: 0, max: 2, handler: plain((*Broker).alterConfigs)},
		{key: 34, name: "AlterReplicaLogDirs", min: 1, max: 2, handler: plain((*Broker).alterReplicaLogDirs)},
		{key: 35, name: "DescribeLogDirs", min: 1, max: 5, handler: plain((*Broker).describeLogDirs)},
		{key: 37, name: "CreatePartitions", min: 0, max: 3, handler: plain((*Broker).createPartitions)},
		{key: 42, name: "DeleteGroups", min: 0, max: 3, handler: plain((*Broker).deleteGroups)},
		{key: 43, name: "ElectLeaders", min: 0, max: 2, handler: plain((*Broker).electLeaders)},
		{key: 44, name: "IncrementalAlterConfigs", min: 0, max: 1, handler: plain((*Broker).incrementalAlterConfigs)},
		{key: 45, name: "AlterPartitionReassignments", min: 0, max: 1, handler: plain((*Broker).alterPartitionReassignments)},
		{key: 46, name: "ListPartitionReassignments", min: 0, max: 0, handler: plain((*Broker).listPartitionReassignments)},
		{key: 47, name: "OffsetDelete", min: 0, max: 0, handler: plain((*Broker).offsetDelete)},
		{key: 48, name: "DescribeClientQuotas", min: 0, max: 1, handler: plain((*Broker).describeClientQuotas)},
		{key: 49, name: "AlterClientQuotas", min: 0, max: 1, handler: plain((*Broker).alterClientQuotas)},
		{key: 50, name: "DescribeUserScramCredentials", min: 0, max: 0, handler: plain((*Broker).describeUsers)},
		{key: 55, name: "DescribeQuorum", min: 0, max: 2, handler: plain((*Broker).describeQuorum)},
		{key: 57, name: "UpdateFeatures", min: 0, max: 2, handler: plain((*Broker).updateFeatures)},
		{key: 60, name: "DescribeCluster", min: 0, max: 2, handler: plain((*Broker).describeCluster)},
		{key: 61, name: "DescribeProducers", min: 0, max: 0, handler: plain((*Broker).describeProducers)},
		{key: 64, name: "UnregisterBroker", min: 0, max: 0, handler: plain((*Broker).unregisterBroker)},
		{key: 65, name: "DescribeTransactions", min: 0, max: 0, handler: plain((*Broker).describeTransactions)},
		{key: 66, name: "ListTransactions", min: 0, max: 2, handler: plain((*Broker).listTransactions)},
		{key: 74, name: "ListConfigResources", min: 0, max: 1, handler: plain((*Broker).listConfigResources)},
		{key: 75, name: "DescribeTopicPartitions", min: 0, max: 0, handler: plain((*Broker).describeTopicPartitions)},
	}
	for i := range table {
		table[i].shape = requestShapes[table[i].key]
	}
	slices.SortFunc(table, func(a, b api) int { return int(a.key) - int(b.key) })
	return table
}

// advertisedMin is the lowest version that ApiVersions names. For Produce that is less than what is served:
// librdkafka 2.0 takes a broker that does not start at 0 for one that cannot compress (KAFKA-18659).
func (a *api) advertisedMin() int16 {
	if a.key == int16(kmsg.Produce) {
		return 0
	}
	return a.min
}

// apis is a table of APIs sorted by key.
type apis []api

// byKey returns the API with that key, nil if it is not served.
func (t apis) byKey(key int16) *api {
	i, ok := slices.BinarySearchFunc(t, key, func(a api, key int16) int { return int(a.key) - int(key) })
	if !ok {
		return nil
	}
	return &t[i]
}

// request is a pointer to a request type of kmsg.
type request[Q any] interface {
	*Q
	kmsg.Request
}

// plain wraps a handler whose answer is complete when it returns.
func plain[Q any, P request[Q], R kmsg.Response](handle func(*Broker, *call, P) (R, error)) handler {
	return handler{
		newRequest: func() kmsg.Request { return P(new(Q)) },
		serve: func(b *Broker, c *call, req kmsg.Request) (reply, error) {
			response, err := handle(b, c, req.(P))
			if err != nil {
				return reply{}, err
			}
			return reply{response: response}, nil
		},
	}
}

// raw wraps a handler that makes its own reply: one that comes later, or one with ranges of files in it.
func raw[Q any, P request[Q]](handle func(*Broker, *call, P) (reply, error)) handler {
	return handler{
		newRequest: func() kmsg.Request { return P(new(Q)) },
		serve: func(b *Broker, c *call, req kmsg.Request) (reply, error) {
			return handle(b, c, req.(P))
		},
	}
}
