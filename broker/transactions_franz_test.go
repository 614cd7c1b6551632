package broker

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kversion"
)

// franzVersions are a client of each transaction protocol.
var franzVersions = map[string]*kversion.Versions{"older": kversion.V3_8_0(), "newer": kversion.Stable()}

// committed reads count records of a topic as a reader of committed records does, and makes sure that no more come.
func committed(t *testing.T, b *Broker, topic string, count int) map[string]int {
	t.Helper()
	reader, err := kgo.NewClient(kgo.SeedBrokers(b.Addr().String()), kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxWait(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	values := map[string]int{}
	ends := map[int32]int64{}
	for _, p := range b.partitions.of(topic) {
		ends[p.Index()] = p.Offsets().LastStable
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for got := 0; got < count; {
		fetches := reader.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("after %d of %d records: %v", got, count, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			values[string(r.Value)]++
			got++
		})
	}
	awaitQuiet(t, b)
	more, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	reader.PollFetches(more).EachRecord(func(r *kgo.Record) { t.Errorf("one more record: %q", r.Value) })
	return values
}

// settle waits until all records are acknowledged, and until the client has noted the partitions of a topic that it has just
// learned of. Between the two it would end a transaction without them (franz-go 1.22).
func settle(t *testing.T, client *kgo.Client) {
	t.Helper()
	if err := errors.Join(client.Flush(t.Context()), client.AbortBufferedRecords(t.Context())); err != nil {
		t.Fatal(err)
	}
}

// TestFranzCommitsAndAborts has a real client write transactions of which every third is aborted.
func TestFranzCommitsAndAborts(t *testing.T) {
	for name, versions := range franzVersions {
		t.Run(name, func(t *testing.T) {
			b := startBroker(t, Options{}, nil)
			createTopic(t, b, "t", 3)
			producer, err := kgo.NewClient(kgo.SeedBrokers(b.Addr().String()), kgo.TransactionalID("app"), kgo.MaxVersions(versions),
				kgo.DefaultProduceTopic("t"))
			if err != nil {
				t.Fatal(err)
			}
			defer producer.Close()
			const transactions, records = 12, 50
			for n := range transactions {
				if err := producer.BeginTransaction(); err != nil {
					t.Fatal(err)
				}
				for i := range records {
					producer.Produce(t.Context(), kgo.StringRecord(fmt.Sprint(n, " ", i)), func(r *kgo.Record, err error) {
						if err != nil {
							t.Errorf("record %d of transaction %d: %v", i, n, err)
						}
					})
				}
				settle(t, producer)
				if err := producer.EndTransaction(t.Context(), kgo.TransactionEndTry(n%3 > 0)); err != nil {
					t.Fatalf("transaction %d: %v", n, err)
				}
			}
			values := committed(t, b, "t", transactions*2/3*records)
			for n := range transactions {
				for i := range records {
					want := 0
					if n%3 > 0 {
						want = 1
					}
					if got := values[fmt.Sprint(n, " ", i)]; got != want {
						t.Fatalf("record %d of transaction %d is there %d times", i, n, got)
					}
				}
			}
		})
	}
}

// TestFranzTransformsExactlyOnce has a real client consume, produce and commit its offsets in transactions (KIP-447), of
// which some are aborted and so done again.
func TestFranzTransformsExactlyOnce(t *testing.T) {
	for name, versions := range franzVersions {
		t.Run(name, func(t *testing.T) {
			b := startBroker(t, Options{Config: map[string]string{"group.initial.rebalance.delay.ms": "0"}}, nil)
			createTopic(t, b, "in", 2)
			createTopic(t, b, "out", 2)
			const inputs = 200
			feeder, err := kgo.NewClient(kgo.SeedBrokers(b.Addr().String()), kgo.DefaultProduceTopic("in"))
			if err != nil {
				t.Fatal(err)
			}
			defer feeder.Close()
			for n := range inputs {
				feeder.Produce(t.Context(), kgo.StringRecord(fmt.Sprint(n)), nil)
			}
			if err := feeder.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			session, err := kgo.NewGroupTransactSession(kgo.SeedBrokers(b.Addr().String()), kgo.TransactionalID("app"), kgo.MaxVersions(versions),
				kgo.ConsumerGroup("g"), kgo.ConsumeTopics("in"), kgo.DefaultProduceTopic("out"), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
				kgo.FetchMaxBytes(1))
			if err != nil {
				t.Fatal(err)
			}
			defer session.Close()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			for done, round := 0, 0; done < inputs; round++ {
				fetches := session.PollRecords(ctx, 30)
				if err := fetches.Err(); err != nil {
					t.Fatalf("after %d records: %v", done, err)
				}
				if err := session.Begin(); err != nil {
					t.Fatal(err)
				}
				count := 0
				fetches.EachRecord(func(r *kgo.Record) {
					count++
					session.Produce(ctx, kgo.StringRecord("did "+string(r.Value)), nil)
				})
				settle(t, session.Client())
				committed, err := session.End(ctx, kgo.TransactionEndTry(round%4 != 1))
				if err != nil {
					t.Fatal(err)
				}
				if committed {
					done += count
				}
			}
			for value, times := range committed(t, b, "out", inputs) {
				if times != 1 {
					t.Errorf("%q is there %d times", value, times)
				}
			}
		})
	}
}
