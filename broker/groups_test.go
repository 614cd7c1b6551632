package broker

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/internal/disk"
	"github.com/millrace/millrace/internal/memnet"
)

const groupBrokerAddress = "10.0.0.1:9092"

// groupBroker is a broker on an in-memory network and disk, which can be restarted.
type groupBroker struct {
	t       *testing.T
	network *memnet.Network
	files   disk.FS
	config  map[string]string
	broker  *Broker
}

func newGroupBroker(t *testing.T, config map[string]string) *groupBroker {
	t.Helper()
	all := map[string]string{"offsets.topic.num.partitions": "4", "num.partitions": "4"}
	for name, value := range config {
		all[name] = value
	}
	g := &groupBroker{t: t, network: memnet.New(), files: disk.NewMem(), config: all}
	g.start()
	t.Cleanup(func() { g.stop() })
	return g
}

func (g *groupBroker) start() {
	g.t.Helper()
	listener, err := g.network.Listen(groupBrokerAddress)
	if err != nil {
		g.t.Fatal(err)
	}
	b, err := New(Options{DataDir: "/data", Listener: listener, Config: g.config, Logger: testLogger(), fileSystem: g.files})
	if err != nil {
		g.t.Fatal(err)
	}
	if err := b.Start(context.Background()); err != nil {
		g.t.Fatal(err)
	}
	g.broker = b
}

func (g *groupBroker) stop() {
	if err := g.broker.Shutdown(context.Background()); err != nil {
		g.t.Error(err)
	}
}

// member starts a client in a group that reads topic t. The client is closed when the test ends.
func (g *groupBroker) member(options ...kgo.Opt) *kgo.Client {
	g.t.Helper()
	c, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(groupBrokerAddress),
		kgo.Dialer(g.network.Dial),
		kgo.ConsumeTopics("t"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.ConsumerGroup("g"),
		kgo.DisableAutoCommit(),
		kgo.FetchMaxWait(500 * time.Millisecond),
	}, options...)...)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(c.CloseAllowingRebalance)
	return c
}

// admin is a client that reads nothing.
func (g *groupBroker) admin() *kadm.Client {
	g.t.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(groupBrokerAddress), kgo.Dialer(g.network.Dial))
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(c.Close)
	return kadm.NewClient(c)
}

// topic creates topic t with four partitions and one record in each.
func (g *groupBroker) topic() {
	g.t.Helper()
	createTopic(g.t, g.broker, "t", 4)
	c, err := kgo.NewClient(kgo.SeedBrokers(groupBrokerAddress), kgo.Dialer(g.network.Dial), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		g.t.Fatal(err)
	}
	defer c.Close()
	for i := range int32(4) {
		r := &kgo.Record{Topic: "t", Partition: i, Value: fmt.Appendf(nil, "value %d", i)}
		if err := c.ProduceSync(g.t.Context(), r).FirstErr(); err != nil {
			g.t.Fatal(err)
		}
	}
}

// poller polls a client in the background until it is closed, which keeps it in its group.
func poller(c *kgo.Client) {
	go func() {
		for !c.PollFetches(context.Background()).IsClientClosed() {
			c.AllowRebalance()
		}
	}()
}

// settle lets a minute of the bubble's time pass at most, until the group is stable and its members have these
// numbers of partitions, and returns the members' client ids with what they have.
func (g *groupBroker) settle(want ...int) kadm.DescribedGroup {
	g.t.Helper()
	admin := g.admin()
	var last kadm.DescribedGroup
	for range 120 {
		<-time.After(500 * time.Millisecond)
		described, err := admin.DescribeGroups(g.t.Context(), "g")
		if err != nil {
			g.t.Fatal(err)
		}
		last = described["g"]
		if last.State == "Stable" && slices.Equal(sizes(last), want) {
			synctest.Wait() // the members may still have to take note of it, and to ask for their offsets
			return last
		}
	}
	g.t.Fatalf("after a minute the group is %s with %v partitions, want %v: %+v", last.State, sizes(last), want, last)
	return last
}

// sizes are the numbers of partitions that members have, sorted.
func sizes(d kadm.DescribedGroup) []int {
	var sizes []int
	for _, m := range d.Members {
		count := 0
		if assigned, ok := m.Assigned.AsConsumer(); ok {
			for _, t := range assigned.Topics {
				count += len(t.Partitions)
			}
		}
		sizes = append(sizes, count)
	}
	slices.Sort(sizes)
	return sizes
}

func TestMembersShareAndHandOverPartitions(t *testing.T) {
	balancers := map[string]kgo.GroupBalancer{"eager": kgo.RangeBalancer(), "cooperative": kgo.CooperativeStickyBalancer()}
	for name, balancer := range balancers {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGroupBroker(t, nil)
				g.topic()
				first := g.member(kgo.Balancers(balancer))
				poller(first)
				g.settle(4)
				second := g.member(kgo.Balancers(balancer))
				poller(second)
				g.settle(2, 2)
				second.CloseAllowingRebalance()
				g.settle(4)
			})
		})
	}
}

func TestMemberWithoutHeartbeatsLosesItsPartitions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroupBroker(t, nil)
		g.topic()
		first := g.member(kgo.Balancers(kgo.RangeBalancer()))
		poller(first)
		g.settle(4)
		network := &cutNetwork{network: g.network}
		second := g.member(kgo.Balancers(kgo.RangeBalancer()), kgo.Dialer(network.dial), kgo.SessionTimeout(10*time.Second))
		poller(second)
		g.settle(2, 2)
		began := time.Now()
		network.cut()
		g.settle(4)
		if took := time.Since(began); took < 10*time.Second || took > 20*time.Second {
			t.Errorf("the partitions were handed over after %v, the session is 10s", took)
		}
	})
}

func TestStaticMemberComesBackWithoutRebalance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroupBroker(t, nil)
		g.topic()
		first := g.member(kgo.InstanceID("one"))
		poller(first)
		second := g.member(kgo.InstanceID("two"))
		poller(second)
		g.settle(2, 2)
		_, generation := first.GroupMetadata()
		second.Close() // a static member does not leave
		again := g.member(kgo.InstanceID("two"))
		poller(again)
		for memberID := ""; memberID == ""; <-time.After(time.Second) {
			memberID, _ = again.GroupMetadata()
		}
		g.settle(2, 2)
		if _, now := first.GroupMetadata(); now != generation {
			t.Errorf("the first member is in generation %d, was in %d", now, generation)
		}
		if _, now := again.GroupMetadata(); now != generation {
			t.Errorf("the member that came back is in generation %d, the group was in %d", now, generation)
		}
	})
}

func TestGroupGoesOnThroughRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroupBroker(t, nil)
		g.topic()
		c := g.member()
		poller(c)
		g.settle(4)
		memberID, generation := c.GroupMetadata()
		offsets := map[string]map[int32]kgo.EpochOffset{"t": {0: {Epoch: 0, Offset: 1}, 3: {Epoch: -1, Offset: 1}}}
		commitAs(t, c, offsets)
		g.stop()
		g.start()
		for range 30 { // heartbeats of half a minute
			<-time.After(time.Second)
		}
		g.settle(4)
		if id, now := c.GroupMetadata(); id != memberID || now != generation {
			t.Errorf("after the restart the member is %q in generation %d, was %q in %d", id, now, memberID, generation)
		}
		fetched, err := g.admin().FetchOffsets(t.Context(), "g")
		if err != nil {
			t.Fatal(err)
		}
		if o, ok := fetched.Lookup("t", 0); !ok || o.At != 1 || o.LeaderEpoch != 0 {
			t.Errorf("t/0 is committed as %+v", o)
		}
		if o, ok := fetched.Lookup("t", 3); !ok || o.At != 1 || o.LeaderEpoch != -1 {
			t.Errorf("t/3 is committed as %+v", o)
		}
		if o, ok := fetched.Lookup("t", 1); ok {
			t.Errorf("t/1 was not committed and is %+v", o)
		}
	})
}

// commitAs commits as the member that the client is.
func commitAs(t *testing.T, c *kgo.Client, offsets map[string]map[int32]kgo.EpochOffset) {
	t.Helper()
	var failed error
	c.CommitOffsetsSync(t.Context(), offsets, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, response *kmsg.OffsetCommitResponse, err error) {
		failed = err
		if err == nil {
			eachErrorCode(response, func(code int16) { failed = kerr.ErrorForCode(code) })
		}
	})
	if failed != nil {
		t.Fatal("commit: ", failed)
	}
}

// cutNetwork is a way to a network that can be cut.
type cutNetwork struct {
	network *memnet.Network
	mu      struct {
		sync.Mutex
		isCut bool
		conns []net.Conn
	}
}

func (n *cutNetwork) dial(ctx context.Context, network, address string) (net.Conn, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.mu.isCut {
		return nil, syscall.ENETUNREACH
	}
	c, err := n.network.Dial(ctx, network, address)
	if err == nil {
		n.mu.conns = append(n.mu.conns, c)
	}
	return c, err
}

func (n *cutNetwork) cut() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mu.isCut = true
	for _, c := range n.mu.conns {
		_ = c.Close()
	}
}
