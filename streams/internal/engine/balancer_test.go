package engine

import (
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"

	"github.com/millrace/millrace/streams/internal/balance"
	"github.com/millrace/millrace/streams/internal/graph"
)

// joined is a topology that joins "orders" with "users", whose partitions have to stay together.
func joined() *graph.Topology {
	t := &graph.Topology{}
	t.AddTopic(graph.Topic{Name: "orders"})
	t.AddTopic(graph.Topic{Name: "by-user", Internal: true})
	t.AddStore(graph.Store{Name: "users", Kind: "kv"})
	orders := t.Add(&graph.Node{Name: "orders", Kind: graph.Source, Topics: []string{"orders"}})
	t.Add(&graph.Node{Name: "to", Kind: graph.Sink, Topics: []string{"by-user"}, Parents: []*graph.Node{orders}})
	users := t.Add(&graph.Node{Name: "by-user", Kind: graph.Source, Topics: []string{"by-user"}})
	t.Add(&graph.Node{Name: "users", Kind: graph.Operation, Stores: []string{"users"}, Parents: []*graph.Node{users}})
	return t
}

var joinedTopics = []string{"app-by-user-repartition", "orders"}

func stored(tasks map[balance.Task]int64) func() map[balance.Task]int64 {
	return func() map[balance.Task]int64 { return tasks }
}

// plan has the leader's balancer assign partitions to members, as a client does.
func plan(t rapid.TB, leader *Balancer, partitions map[string]int32, members ...kmsg.JoinGroupResponseMember) map[string]map[string][]int32 {
	t.Helper()
	balancer, topics, err := leader.MemberBalancer(members)
	if err != nil {
		t.Fatal(err)
	}
	for topic := range partitions {
		if _, wanted := topics[topic]; !wanted {
			t.Errorf("topic %s is not asked about", topic)
		}
	}
	into, err := balancer.(kgo.GroupMemberBalancerOrError).BalanceOrError(partitions)
	if err != nil {
		t.Fatal(err)
	}
	assigned := map[string]map[string][]int32{}
	for _, a := range into.IntoSyncAssignment() {
		if assigned[a.MemberID], err = leader.ParseSyncAssignment(a.MemberAssignment); err != nil {
			t.Fatal(err)
		}
	}
	return assigned
}

func member(id string, metadata []byte) kmsg.JoinGroupResponseMember {
	m := kmsg.NewJoinGroupResponseMember()
	m.MemberID, m.ProtocolMetadata = id, metadata
	return m
}

func TestBalancerSpeaksKafkasProtocol(t *testing.T) {
	x := NewBalancer("app", "px", joined(), stored(nil))
	y := NewBalancer("app", "py", joined(), stored(map[balance.Task]int64{{Subtopology: "users", Partition: 0}: 9}))
	partitions := map[string]int32{"orders": 2, "app-by-user-repartition": 2}
	all := map[string][]int32{"orders": {0, 1}, "app-by-user-repartition": {0, 1}}
	alone := plan(t, x, partitions, member("x", x.JoinGroupMetadata(joinedTopics, nil, -1)))
	if !reflect.DeepEqual(alone["x"], all) {
		t.Fatalf("alone: %v", alone)
	}
	first := plan(t, x, partitions, member("x", x.JoinGroupMetadata(joinedTopics, all, 1)), member("y", y.JoinGroupMetadata(joinedTopics, nil, -1)))
	if len(first["y"]) != 0 || !reflect.DeepEqual(first["x"]["app-by-user-repartition"], []int32{1}) {
		t.Fatalf("while x has all: %v", first)
	}
	second := plan(t, x, partitions, member("x", x.JoinGroupMetadata(joinedTopics, first["x"], 2)), member("y", y.JoinGroupMetadata(joinedTopics, nil, 2)))
	if !reflect.DeepEqual(second["y"]["app-by-user-repartition"], []int32{0}) || len(second["y"]["orders"]) != 1 {
		t.Fatalf("in the end: %v", second)
	}
	if !x.IsCooperative() || x.ProtocolName() != "millrace-streams" {
		t.Error("another protocol")
	}
}

func TestMetadataIsTheSameEachTime(t *testing.T) {
	many := map[balance.Task]int64{}
	for p := range int32(50) {
		many[balance.Task{Subtopology: "users", Partition: p}] = int64(p)
	}
	b := NewBalancer("app", "p", joined(), stored(many))
	owned := map[string][]int32{"orders": {0}, "app-by-user-repartition": {0}, "x": {1}}
	want := b.JoinGroupMetadata(joinedTopics, owned, 3)
	for range 20 {
		if got := b.JoinGroupMetadata(joinedTopics, owned, 3); !slices.Equal(got, want) {
			t.Fatalf("%q\n%q", got, want)
		}
	}
}

// Whatever a member sends as user data, all is assigned, once, and what belongs together stays together.
func TestGarbledUserDataCostsNothingButStickiness(t *testing.T) {
	leader := NewBalancer("app", "leader", joined(), stored(nil))
	partitions := map[string]int32{"orders": 4, "app-by-user-repartition": 4}
	rapid.Check(t, func(t *rapid.T) {
		members := []kmsg.JoinGroupResponseMember{member("leader", leader.JoinGroupMetadata(joinedTopics, nil, 1))}
		for i := range rapid.IntRange(1, 3).Draw(t, "others") {
			metadata := kmsg.NewConsumerMemberMetadata()
			metadata.Version, metadata.Topics = metadataVersion, joinedTopics
			metadata.UserData = rapid.OneOf(
				rapid.SliceOf(rapid.Byte()),
				rapid.SampledFrom([][]byte{nil, []byte(`{}`), []byte(`{"version":9}`), []byte(`{"version":1,"subtopologies":[]}`),
					[]byte(`{"version":1,"subtopologies":[{"name":"users","hash":"0","sources":["app-by-user-repartition"]}],"stored":[{"partition":-5,"offsets":-1}]}`),
					[]byte(`{"version":1,"subtopologies":[{"name":"orders","hash":"0","sources":["orders","orders"]}]}`),
					[]byte(`{"version":1,"subtopologies":[{"name":"elsewhere","hash":"0","sources":["nothing"]}]}`)}),
			).Draw(t, "user data")
			members = append(members, member(fmt.Sprint("m", i), metadata.AppendTo(nil)))
		}
		owners := map[balance.Input]string{}
		for id, topics := range plan(t, leader, partitions, members...) {
			for topic, list := range topics {
				for _, partition := range list {
					input := balance.Input{Topic: topic, Partition: partition}
					if other := owners[input]; other != "" {
						t.Fatalf("%v goes to %s and %s", input, other, id)
					}
					owners[input] = id
				}
			}
		}
		if len(owners) != 8 {
			t.Fatalf("%d partitions of 8 were assigned: %v", len(owners), owners)
		}
	})
}
