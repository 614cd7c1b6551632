package broker

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/broker/internal/quota"
	"github.com/millrace/millrace/internal/memnet"
)

// quotaWindow is for how long a client rests at most.
const quotaWindow = 11 * time.Second

// throttledBroker starts a broker under synctest with the topic "clicks", and connects to it.
func throttledBroker(t *testing.T, change func(*Broker)) (*Broker, *client, *memnet.Network) {
	t.Helper()
	var b *Broker
	c, network := dialMemory(t, Options{}, func(made *Broker) {
		b = made
		if change != nil {
			change(b)
		}
	})
	createTopic(t, b, "clicks", 1)
	return b, c, network
}

// expectMuted fails unless the client is served for the first time after it has rested for that long.
func (c *client) expectMuted(rest time.Duration) {
	c.t.Helper()
	before := time.Now()
	c.expectServed()
	if took := time.Since(before); took < rest || took > rest+time.Millisecond {
		c.t.Errorf("served after %v, want %v", took, rest)
	}
}

func throttleOf(response kmsg.Response) time.Duration {
	millis, _ := response.(kmsg.ThrottleResponse).Throttle()
	return time.Duration(millis) * time.Millisecond
}

func TestProduceOverTheQuotaIsAnsweredAndThenMuted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, c, network := throttledBroker(t, nil)
		setQuota(c, "client-id=test", "producer_byte_rate=1000")
		batch := batchOf(t, strings.Repeat("x", 12_000))
		before := time.Now()
		response := c.ask(produceRequest("clicks", -1, batch)).(*kmsg.ProduceResponse)
		rest := throttleOf(response)
		if response.Topics[0].Partitions[0].ErrorCode != 0 || rest < 2*time.Second || rest > 3*time.Second {
			t.Fatalf("error %d, rest %v, want about 2 s", response.Topics[0].Partitions[0].ErrorCode, rest)
		}
		if time.Since(before) >= time.Second {
			t.Errorf("answered after %v, want at once", time.Since(before))
		}
		synctest.Wait()
		if muted := b.metrics.muted.Load(); muted != 1 {
			t.Errorf("%d connections are muted, want 1", muted)
		}
		dialNetwork(t, network).expectMuted(0) // the others are not
		c.expectMuted(rest)
		if muted := b.metrics.muted.Load(); muted != 0 {
			t.Errorf("%d connections are muted, want none", muted)
		}
		if throttled := b.metrics.throttled[quota.Produce].Load(); time.Duration(throttled) != rest {
			t.Errorf("counted %v, want %v", time.Duration(throttled), rest)
		}
	})
}

func TestProduceWithoutAnswerIsMutedToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c, _ := throttledBroker(t, nil)
		setQuota(c, "user=ANONYMOUS", "producer_byte_rate=1000")
		c.send(produceRequest("clicks", 0, batchOf(t, strings.Repeat("x", 99_000))))
		synctest.Wait()
		c.expectMuted(quotaWindow)
	})
}

func TestARequestThatCameAlongWaitsForItsMutedConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c, _ := throttledBroker(t, nil)
		setQuota(c, "client-id=", "producer_byte_rate=1000")
		c.send(produceRequest("clicks", -1, batchOf(t, strings.Repeat("x", 99_000))), apiVersionsRequest(3))
		if rest := throttleOf(c.receive()); rest != quotaWindow {
			t.Fatalf("rest %v, want %v", rest, quotaWindow)
		}
		before := time.Now()
		if c.receive(); time.Since(before) != quotaWindow {
			t.Errorf("the next is answered after %v", time.Since(before))
		}
	})
}

func TestFetchOverTheQuotaIsAnsweredWithNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, c, _ := throttledBroker(t, nil)
		for range 3 {
			c.ask(produceRequest("clicks", -1, batchOf(t, strings.Repeat("x", 7_000))))
		}
		setQuota(c, "client-id=test", "consumer_byte_rate=1000")
		fetch := func() (values int, rest time.Duration) {
			response := c.ask(fetchRequest("clicks", 0, 0)).(*kmsg.FetchResponse)
			if rest = throttleOf(response); len(response.Topics) == 0 {
				return 0, rest
			}
			found, _ := fetched(t, response)
			return len(found), rest
		}
		if values, rest := fetch(); values != 1 || rest != 0 {
			t.Fatalf("%d records and rest %v, want the one that the quota's window has room for", values, rest)
		}
		values, rest := fetch()
		if values != 0 || rest < 3*time.Second || rest > 5*time.Second {
			t.Fatalf("%d records and rest %v, want nothing and about 4 s", values, rest)
		}
		c.expectMuted(rest)
		if b.metrics.throttled[quota.Fetch].Load() == 0 {
			t.Error("not counted")
		}
		for tries := 0; values == 0; tries++ {
			if rest == 0 || tries == 5 {
				t.Fatalf("nothing is answered, rest %v", rest)
			}
			values, rest = fetch()
		}
	})
}

func TestAFetchSessionOutlivesAnEmptyAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c, _ := throttledBroker(t, nil)
		for range 2 {
			c.ask(produceRequest("clicks", -1, batchOf(t, strings.Repeat("x", 9_000))))
		}
		first := fetchRequest("clicks", 0, 0)
		first.SessionEpoch = 0
		session := c.ask(first).(*kmsg.FetchResponse).SessionID
		setQuota(c, "client-id=test", "consumer_byte_rate=1000")
		empty := 0
		for epoch := int32(1); epoch < 10; epoch++ {
			next := kmsg.NewPtrFetchRequest()
			next.SetVersion(11)
			next.SessionID, next.SessionEpoch, next.MaxBytes = session, epoch, 1<<20
			response := c.ask(next).(*kmsg.FetchResponse)
			if response.ErrorCode != 0 || response.SessionID != session {
				t.Fatalf("epoch %d: error %d, session %d, want %d", epoch, response.ErrorCode, response.SessionID, session)
			}
			if throttleOf(response) > 0 && len(response.Topics) == 0 {
				empty++
			}
		}
		if empty == 0 {
			t.Error("no answer was empty")
		}
	})
}

func TestABatchLargerThanTheWindowIsFetched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c, _ := throttledBroker(t, nil)
		c.ask(produceRequest("clicks", -1, batchOf(t, strings.Repeat("x", 500_000))))
		setQuota(c, "client-id=test", "consumer_byte_rate=10")
		if values, _ := fetched(t, c.ask(fetchRequest("clicks", 0, 0))); len(values) != 1 {
			t.Errorf("%d records", len(values))
		}
	})
}

func TestTimeInHandlersIsLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		work := time.Duration(0)
		_, c, _ := throttledBroker(t, serveWith(int16(kmsg.ListGroups), func(_ *Broker, _ *call, r kmsg.Request) (reply, error) {
			time.Sleep(work)
			return reply{response: r.ResponseKind()}, nil
		}))
		setQuota(c, "client-id=test", "request_percentage=10")
		list := kmsg.NewPtrListGroupsRequest()
		list.SetVersion(4)
		if rest := throttleOf(c.ask(list)); rest != 0 {
			t.Errorf("no work and a rest of %v", rest)
		}
		work = 10 * time.Second // the window's worth is one
		rest := throttleOf(c.ask(list))
		if rest != time.Second {
			t.Errorf("rest %v, want one sample at most", rest)
		}
		c.expectMuted(rest)
	})
}

// A client that waits for others does not work.
func TestWaitingIsNotTimeInAHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c, _ := throttledBroker(t, nil)
		setQuota(c, "client-id=test", "request_percentage=1")
		if rest := throttleOf(c.ask(fetchRequest("clicks", 0, 50_000))); rest != 0 {
			t.Errorf("rest %v after a long poll", rest)
		}
	})
}

func TestShutdownEndsAMute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, c, _ := throttledBroker(t, nil)
		setQuota(c, "client-id=test", "producer_byte_rate=1")
		c.ask(produceRequest("clicks", -1, batchOf(t, strings.Repeat("x", 1000))))
		synctest.Wait()
		if b.metrics.muted.Load() != 1 {
			t.Fatal("the connection is not muted")
		}
		before := time.Now()
		if err := b.Shutdown(context.Background()); err != nil || time.Since(before) > 0 {
			t.Errorf("stopped after %v, %v", time.Since(before), err)
		}
		c.expectClosed()
	})
}

func TestWithoutQuotasNobodyIsMeasured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, c, _ := throttledBroker(t, nil)
		setQuota(c, "client-id=other", "producer_byte_rate=1", "consumer_byte_rate=1", "request_percentage=0.001", "controller_mutation_rate=0.001")
		if rest := throttleOf(c.ask(produceRequest("clicks", -1, batchOf(t, strings.Repeat("x", 100_000))))); rest != 0 {
			t.Errorf("rest %v because of another client's quota", rest)
		}
		if rest := throttleOf(c.ask(fetchRequest("clicks", 0, 0))); rest != 0 {
			t.Errorf("rest %v because of another client's quota", rest)
		}
		c.expectMuted(0)
		setQuota(c, "client-id=test", "producer_byte_rate=1")
		setQuota(c, "client-id=test", "producer_byte_rate")
		if rest := throttleOf(c.ask(produceRequest("clicks", -1, batchOf(t, "x")))); rest != 0 {
			t.Errorf("rest %v because of a quota that was removed", rest)
		}
		for kind := range b.metrics.throttled {
			if b.metrics.throttled[kind].Load() != 0 {
				t.Errorf("%v was counted", quota.Kind(kind))
			}
		}
	})
}

func TestTopicsBeyondTheMutationQuotaAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, c, network := throttledBroker(t, nil)
		setQuota(c, "client-id=test", "controller_mutation_rate=1") // 11 at once
		create := func(version int16, validateOnly bool, names ...string) (codes map[string]int16, rest time.Duration) {
			r := createRequest(version)
			for _, name := range names {
				r.Topics = append(r.Topics, topicToCreate(name, 6, 1))
			}
			r.ValidateOnly = validateOnly
			response := c.ask(r).(*kmsg.CreateTopicsResponse)
			codes = map[string]int16{}
			for _, topic := range response.Topics {
				codes[topic.Topic] = topic.ErrorCode
			}
			return codes, throttleOf(response)
		}
		if codes, rest := create(7, true, "a", "b", "c", "d"); codes["d"] != 0 || rest != 0 {
			t.Errorf("validation: %v, rest %v", codes, rest)
		}
		codes, rest := create(7, false, "a", "b", "c", "clicks")
		if codes["a"] != 0 || codes["b"] != 0 || codes["c"] != kerr.ThrottlingQuotaExceeded.Code ||
			codes["clicks"] != kerr.TopicAlreadyExists.Code || rest != time.Second {
			t.Fatalf("%v, rest %v, want 1 s", codes, rest)
		}
		if image := b.controller.image(); image.Topic("b") == nil || image.Topic("c") != nil {
			t.Error("topics are not as the answer says")
		}
		c.expectMuted(rest)
		if codes, rest := create(5, false, "c", "d"); codes["c"] != 0 || codes["d"] != 0 || rest != quotaWindow {
			t.Fatalf("before version 6: %v, rest %v, want both and %v", codes, rest, quotaWindow)
		}
		c.expectMuted(quotaWindow)

		grow := kmsg.NewPtrCreatePartitionsRequest()
		grow.SetVersion(3)
		grow.TimeoutMillis = 1000
		for name, count := range map[string]int32{"a": 7, "b": 7} {
			topic := kmsg.NewCreatePartitionsRequestTopic()
			topic.Topic, topic.Count = name, count
			grow.Topics = append(grow.Topics, topic)
		}
		grown := c.ask(grow).(*kmsg.CreatePartitionsResponse)
		for _, topic := range grown.Topics {
			if topic.ErrorCode != kerr.ThrottlingQuotaExceeded.Code || b.controller.image().Topic(topic.Topic).Partitions != 6 {
				t.Errorf("add partitions: %+v", topic)
			}
		}
		remove := kmsg.NewPtrDeleteTopicsRequest()
		remove.SetVersion(5)
		remove.TopicNames = []string{"a", "no such topic"}
		removed := dialNetwork(t, network).ask(remove).(*kmsg.DeleteTopicsResponse) // the other connection is muted
		for _, topic := range removed.Topics {
			if exists := *topic.Topic == "a"; exists && topic.ErrorCode != kerr.ThrottlingQuotaExceeded.Code || topic.ErrorCode == 0 {
				t.Errorf("delete %s: error %d", *topic.Topic, topic.ErrorCode)
			}
		}
		time.Sleep(quotaWindow)
		if removed := c.ask(remove).(*kmsg.DeleteTopicsResponse); removed.Topics[0].ErrorCode != 0 || b.controller.image().Topic("a") != nil {
			t.Errorf("delete once the client has rested: error %d", removed.Topics[0].ErrorCode)
		}
	})
}

func TestTopicsCreatedOnDemandUseUpTheMutationQuota(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, c, _ := throttledBroker(t, nil)
		setQuota(c, "client-id=test", "controller_mutation_rate=0.1")
		r := kmsg.NewPtrMetadataRequest()
		r.SetVersion(9)
		r.AllowAutoTopicCreation = true
		for _, name := range []string{"a", "b"} {
			topic := kmsg.NewMetadataRequestTopic()
			topic.Topic = &name
			r.Topics = append(r.Topics, topic)
		}
		response := c.ask(r)
		if rest := throttleOf(response); rest < 5*time.Second || b.controller.image().Topic("b") == nil {
			t.Errorf("rest %v, want a long one, and both topics", rest)
		}
	})
}

func TestAddressesThatConnectTooOftenAreHeldAndClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, c, network := throttledBroker(t, nil)
		setQuota(c, "ip=", "connection_creation_rate=1") // ten at once
		connect := func(from string) *client {
			conn, err := network.DialFrom(t.Context(), netip.MustParseAddr(from), "10.0.0.1:9092")
			if err != nil {
				t.Fatal(err)
			}
			return newClient(t, conn)
		}
		for range 10 {
			connect("10.0.0.7").expectMuted(0)
		}
		before := time.Now()
		refused := connect("10.0.0.7")
		connect("10.0.0.8").expectMuted(0)
		refused.expectClosed()
		if held := time.Since(before); held < time.Second || held > quotaWindow {
			t.Errorf("closed after %v", held)
		}
		time.Sleep(quotaWindow)
		connect("10.0.0.7").expectMuted(0)
		setQuota(c, "ip=10.0.0.7", "connection_creation_rate=1000")
		for range 20 {
			connect("10.0.0.7").expectMuted(0)
		}
		for i, reason := range rejectionReasons {
			if count := b.metrics.rejections[i].Load(); (reason == rejectedRate) != (count == 1) {
				t.Errorf("%d connections were refused because of %s", count, reason)
			}
		}
	})
}

func TestThrottlingIsInTheMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, c, _ := throttledBroker(t, nil)
		setQuota(c, "client-id=test", "producer_byte_rate=1000")
		c.ask(produceRequest("clicks", -1, batchOf(t, strings.Repeat("x", 99_000))))
		synctest.Wait()
		registry := prometheus.NewPedanticRegistry()
		registry.MustRegister(newCollector(b))
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		found := map[string]float64{}
		for _, f := range families {
			for _, m := range f.Metric {
				switch {
				case f.GetName() == "millrace_connections_muted":
					found["muted"] = m.GetGauge().GetValue()
				case f.GetName() == "millrace_quota_throttle_seconds_total":
					found[m.Label[0].GetValue()] = m.GetCounter().GetValue()
				}
			}
		}
		if found["muted"] != 1 || found["produce"] != quotaWindow.Seconds() || found["fetch"] != 0 || len(found) != 1+quota.KindCount {
			t.Errorf("%v", found)
		}
	})
}
