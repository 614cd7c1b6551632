package main

import (
	"context"
	"time"

	"github.com/IBM/sarama"

	"github.com/millrace/millrace/e2e/clients/internal/verbs"
)

func committedOnly() *sarama.Config {
	c := config()
	c.Consumer.IsolationLevel = sarama.ReadCommitted
	return c
}

func (c client) ReadCommitted(ctx context.Context, topic string, count int) ([]string, error) {
	return c.read(ctx, committedOnly(), topic, 0, count)
}

type transactional struct{ sarama.SyncProducer }

func (c client) Transactional(_ context.Context, id string) (verbs.TransactionalProducer, error) {
	p, err := c.transactional(id)
	return transactional{p}, err
}

func (c client) transactional(id string) (sarama.SyncProducer, error) {
	cfg := config()
	idempotence(cfg)
	cfg.Producer.Transaction.ID = id
	cfg.Producer.Transaction.Retry.Max = 200
	cfg.Producer.Partitioner = sarama.NewHashPartitioner
	return sarama.NewSyncProducer([]string{c.broker}, cfg)
}

func (p transactional) Begin() error { return p.BeginTxn() }

func (p transactional) Send(_ context.Context, topic string, values []string) error {
	return p.SendMessages(messages(topic, values))
}

func messages(topic string, values []string) []*sarama.ProducerMessage {
	messages := make([]*sarama.ProducerMessage, len(values))
	for i, value := range values {
		messages[i] = &sarama.ProducerMessage{Topic: topic, Value: sarama.StringEncoder(value)}
	}
	return messages
}

func (p transactional) End(_ context.Context, commit bool) error { return end(p.SyncProducer, commit) }

func end(p sarama.SyncProducer, commit bool) error {
	if commit {
		return p.CommitTxn()
	}
	return p.AbortTxn()
}

func (p transactional) Close() { _ = p.SyncProducer.Close() }

// taken is a message and who took it.
type taken struct {
	message *sarama.ConsumerMessage
	taker   sarama.ConsumerGroupMetadata
}

type relay struct {
	sarama.SyncProducer
	to, group string
	members   sarama.ConsumerGroup
	cancel    context.CancelFunc
	taken     chan taken
	done      chan struct{}
}

func (c client) Relay(ctx context.Context, id, from, to string) (verbs.Relay, error) {
	p, err := c.transactional(id)
	if err != nil {
		return nil, err
	}
	g, err := sarama.NewConsumerGroup([]string{c.broker}, id, committedOnly())
	if err != nil {
		_ = p.Close()
		return nil, err
	}
	run, cancel := context.WithCancel(ctx)
	r := &relay{SyncProducer: p, to: to, group: id, members: g, cancel: cancel, taken: make(chan taken), done: make(chan struct{})}
	go func() {
		defer close(r.done)
		for run.Err() == nil {
			if err := g.Consume(run, []string{from}, r); err != nil {
				return
			}
		}
	}()
	return r, nil
}

func (*relay) Setup(sarama.ConsumerGroupSession) error { return nil }

func (*relay) Cleanup(sarama.ConsumerGroupSession) error { return nil }

func (r *relay) ConsumeClaim(s sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	taker := sarama.ConsumerGroupMetadata{GroupID: r.group, GenerationID: s.GenerationID(), MemberID: s.MemberID()}
	for {
		select {
		case m, open := <-claim.Messages():
			if !open {
				return nil
			}
			select {
			case r.taken <- taken{m, taker}:
			case <-s.Context().Done():
				return nil
			}
		case <-s.Context().Done():
			return nil
		}
	}
}

// Next sends the offsets as those of the member that has read them, so that a member that is one no longer is refused.
func (r *relay) Next(ctx context.Context, commit bool) ([]string, error) {
	batch := r.take(ctx)
	if len(batch) == 0 {
		return nil, nil
	}
	if err := r.BeginTxn(); err != nil {
		return nil, err
	}
	var values []string
	for _, t := range batch {
		values = append(values, string(t.message.Value))
		if err := r.AddMessageToTxnWithGroupMetadata(t.message, &t.taker, nil); err != nil {
			return nil, err
		}
	}
	if err := r.SendMessages(messages(r.to, values)); err != nil {
		return nil, err
	}
	return values, end(r.SyncProducer, commit)
}

func (r *relay) take(ctx context.Context) (batch []taken) {
	moment := time.After(200 * time.Millisecond)
	for len(batch) < verbs.RelayMax {
		select {
		case t := <-r.taken:
			batch = append(batch, t)
		case <-moment:
			return batch
		case <-ctx.Done():
			return nil
		}
	}
	return batch
}

func (r *relay) Close() {
	r.cancel()
	<-r.done
	_ = r.members.Close()
	_ = r.SyncProducer.Close()
}
