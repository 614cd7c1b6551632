package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/e2e/clients/internal/verbs"
)

func (c client) ReadCommitted(ctx context.Context, topic string, count int) ([]string, error) {
	return c.read(ctx, topic, 0, count, kgo.FetchIsolationLevel(kgo.ReadCommitted()))
}

type producer struct{ *kgo.Client }

func (c client) Transactional(ctx context.Context, id string) (verbs.TransactionalProducer, error) {
	cl, err := c.open(kgo.TransactionalID(id), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		return nil, err
	}
	if _, _, err := cl.ProducerID(ctx); err != nil { // which fences the older ones now, not at the first record
		cl.Close()
		return nil, err
	}
	return producer{cl}, nil
}

func (p producer) Begin() error { return p.BeginTransaction() }

func (p producer) Send(ctx context.Context, topic string, values []string) error {
	records := make([]*kgo.Record, len(values))
	for i, value := range values {
		records[i] = &kgo.Record{Topic: topic, Value: []byte(value)}
	}
	return p.ProduceSync(ctx, records...).FirstErr()
}

func (p producer) End(ctx context.Context, commit bool) error {
	return errors.Join(p.AbortBufferedRecords(ctx), p.EndTransaction(ctx, kgo.TransactionEndTry(commit))) // see Next
}

type relay struct {
	session *kgo.GroupTransactSession
	to      string
}

func (c client) Relay(ctx context.Context, id, from, to string) (verbs.Relay, error) {
	s, err := kgo.NewGroupTransactSession(c.options(kgo.TransactionalID(id), kgo.ConsumerGroup(id), kgo.ConsumeTopics(from),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.RequireStableFetchOffsets(),
		kgo.SessionTimeout(6*time.Second), kgo.HeartbeatInterval(500*time.Millisecond))...)
	if err != nil {
		return nil, err
	}
	if _, _, err := s.Client().ProducerID(ctx); err != nil { // the group waits for offsets that an older one has left open
		s.Close()
		return nil, err
	}
	return &relay{s, to}, nil
}

func (r *relay) Next(ctx context.Context, commit bool) ([]string, error) {
	moment, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	fetches := r.session.PollRecords(moment, verbs.RelayMax)
	cancel()
	if fetches.NumRecords() == 0 {
		return nil, nil
	}
	if err := errors.Join(fetches.Err(), r.session.Begin()); err != nil {
		return nil, err
	}
	var values []string
	var records []*kgo.Record
	fetches.EachRecord(func(record *kgo.Record) {
		values = append(values, string(record.Value))
		records = append(records, &kgo.Record{Topic: r.to, Value: record.Value})
	})
	// The client may not have noted the partitions of a new topic yet when it acknowledges their records (franz-go 1.22), and would
	// abort what it says to commit. AbortBufferedRecords waits for it; nothing is buffered.
	failed := errors.Join(r.session.ProduceSync(ctx, records...).FirstErr(), r.session.Client().AbortBufferedRecords(ctx))
	committed, err := r.session.End(ctx, kgo.TransactionEndTry(commit && failed == nil))
	if err == nil && committed != commit {
		err = fmt.Errorf("aborted, by a rebalance or for: %v", failed)
	}
	return values, err
}

func (r *relay) Close() { r.session.Close() }
