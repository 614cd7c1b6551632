package broker

import (
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestApiVersionsNamesTheTable(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	for version := int16(0); version <= 5; version++ {
		answer := dial(t, b).ask(apiVersionsRequest(version)).(*kmsg.ApiVersionsResponse)
		if answer.ErrorCode != 0 || len(answer.ApiKeys) != len(b.apis) {
			t.Fatalf("version %d: error %d, %d keys", version, answer.ErrorCode, len(answer.ApiKeys))
		}
		for i, k := range answer.ApiKeys {
			a := &b.apis[i]
			want := a.min
			if a.key == produceKey {
				want = 0
			}
			if k.ApiKey != a.key || k.MinVersion != want || k.MaxVersion != a.max {
				t.Errorf("version %d: %+v for %s %d-%d", version, k, a.name, a.min, a.max)
			}
		}
	}
}

// lowest are the versions that old clients still send: librdkafka 2.0, kafka-python 2.0, kafka-go 0.4.
var lowest = map[kmsg.Key]int16{
	kmsg.Produce: 3, kmsg.Fetch: 4, kmsg.ListOffsets: 1, kmsg.Metadata: 0, kmsg.OffsetCommit: 2, kmsg.OffsetFetch: 1,
	kmsg.FindCoordinator: 0, kmsg.JoinGroup: 0, kmsg.Heartbeat: 0, kmsg.LeaveGroup: 0, kmsg.SyncGroup: 0,
	kmsg.DescribeGroups: 0, kmsg.ListGroups: 0, kmsg.ApiVersions: 0, kmsg.CreateTopics: 2, kmsg.DeleteTopics: 1,
	kmsg.DeleteRecords: 0, kmsg.InitProducerID: 0, kmsg.OffsetForLeaderEpoch: 2, kmsg.DescribeConfigs: 1,
	kmsg.AlterConfigs: 0, kmsg.DescribeLogDirs: 1, kmsg.CreatePartitions: 0, kmsg.DeleteGroups: 0,
	kmsg.IncrementalAlterConfigs: 0, kmsg.OffsetDelete: 0, kmsg.DescribeCluster: 0, kmsg.DescribeACLs: 1, kmsg.CreateACLs: 1,
	kmsg.DeleteACLs: 1, kmsg.AlterReplicaLogDirs: 1, kmsg.ElectLeaders: 0, kmsg.AlterPartitionAssignments: 0,
	kmsg.ListPartitionReassignments: 0, kmsg.DescribeQuorum: 0, kmsg.UpdateFeatures: 0, kmsg.DescribeProducers: 0,
	kmsg.UnregisterBroker: 0, kmsg.DescribeTransactions: 0, kmsg.ListTransactions: 0, kmsg.ListConfigResources: 0,
	kmsg.AddPartitionsToTxn: 0, kmsg.AddOffsetsToTxn: 0, kmsg.EndTxn: 0, kmsg.WriteTxnMarkers: 1,
	kmsg.TxnOffsetCommit:         0,
	kmsg.DescribeTopicPartitions: 0,
	kmsg.DescribeClientQuotas:    0, kmsg.AlterClientQuotas: 0, kmsg.DescribeUserSCRAMCredentials: 0,
}

func TestTableServesWhatOldClientsSend(t *testing.T) {
	table := apiTable()
	if !slices.IsSortedFunc(table, func(a, b api) int { return int(a.key) - int(b.key) }) {
		t.Error("the table is not sorted by key")
	}
	for key, version := range lowest {
		a := table.byKey(int16(key))
		if a == nil || a.min > version {
			t.Errorf("%s version %d is not served", key.Name(), version)
		}
	}
	for i := range table {
		a := &table[i]
		req := a.newRequest()
		switch {
		case req.Key() != a.key || !strings.EqualFold(kmsg.NameForKey(a.key), a.name) && a.name != "AlterPartitionReassignments": // which kmsg calls by another name
			t.Errorf("%s: key %d of %T", a.name, a.key, req)
		case a.min > a.max || a.max > req.MaxVersion():
			t.Errorf("%s: versions %d-%d, decoded up to %d", a.name, a.min, a.max, req.MaxVersion())
		case a.shape == nil && a.key != int16(kmsg.DescribeCluster):
			t.Errorf("%s has no shape", a.name)
		}
		if _, ok := lowest[kmsg.Key(a.key)]; !ok {
			t.Errorf("%s: the lowest version that clients send is not noted", a.name)
		}
	}
}

func TestClientSoftwareIsChecked(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	c := dial(t, b)
	for name, valid := range map[string]bool{
		"a": true, "apache-kafka-java": true, "v1.2-rc.3": true, "7": true,
		"": false, "-a": false, "a-": false, ".": false, "a b": false, "ä": false, "a.": false, "a\n": false,
	} {
		for _, version := range []int16{2, 3, 5} {
			for field := range 2 {
				r := apiVersionsRequest(version)
				if field == 0 {
					r.ClientSoftwareName = name
				} else {
					r.ClientSoftwareVersion = name
				}
				want := int16(0)
				if !valid && version >= 3 {
					want = kerr.InvalidRequest.Code
				}
				answer := c.ask(r).(*kmsg.ApiVersionsResponse)
				if answer.ErrorCode != want {
					t.Errorf("%q in version %d: error %d, want %d", name, version, answer.ErrorCode, want)
				}
			}
		}
	}
}

func TestZeroFeaturesAreHiddenFromOldClients(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	for version, want := range map[int16]int{3: 1, 4: 2, 5: 2} {
		answer := dial(t, b).ask(apiVersionsRequest(version)).(*kmsg.ApiVersionsResponse)
		if len(answer.SupportedFeatures) != want {
			t.Errorf("version %d: features %+v", version, answer.SupportedFeatures)
		}
		if f := answer.FinalizedFeatures; len(f) != 2 || f[0].Name != "metadata.version" || f[0].MinVersionLevel != 7 || f[0].MaxVersionLevel != 7 ||
			f[1].Name != "transaction.version" || f[1].MinVersionLevel != 2 || f[1].MaxVersionLevel != 2 || answer.FinalizedFeaturesEpoch <= 0 {
			t.Errorf("version %d: finalized %+v in epoch %d", version, f, answer.FinalizedFeaturesEpoch)
		}
	}
}

func TestMisroutedClientIsSentBack(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	clusterID, other := b.controller.image().ClusterID(), "another"
	for name, test := range map[string]struct {
		clusterID *string
		nodeID    int32
		want      int16
	}{
		"bootstrapping": {nil, -1, 0},
		"right":         {&clusterID, 1, 0},
		"other cluster": {&other, 1, kerr.RebootstrapRequired.Code},
		"other node":    {&clusterID, 2, kerr.RebootstrapRequired.Code},
		"cluster alone": {&clusterID, -1, kerr.InvalidRequest.Code},
		"node alone":    {nil, 1, kerr.InvalidRequest.Code},
	} {
		r := apiVersionsRequest(5)
		r.ClusterID, r.NodeID = test.clusterID, test.nodeID
		if answer := dial(t, b).ask(r).(*kmsg.ApiVersionsResponse); answer.ErrorCode != test.want {
			t.Errorf("%s: error %d, want %d", name, answer.ErrorCode, test.want)
		}
	}
}
