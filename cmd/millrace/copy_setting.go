package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/millrace/millrace/cmd/millrace/internal/usage"
	"github.com/millrace/millrace/consumer"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// copySetting is what a copy finds: the topics, and from where to where each partition is to be copied.
type copySetting struct {
	plan       *copyPlan
	positions  string // the topic under whose name the offsets are kept
	partitions int32  // of the source
	missing    bool   // the destination is to be created
	spans      map[int32]*partitionSpan
	to         *kgo.Client
}

// look asks both clusters.
func (p *copyPlan) look(ctx context.Context) (*copySetting, error) {
	s := &copySetting{plan: p, spans: map[int32]*partitionSpan{}}
	var source string
	err := p.from.admin(ctx, func(ctx context.Context, client *kadm.Client) (err error) {
		source, err = s.lookAtSource(ctx, client)
		return err
	})
	if err != nil {
		return nil, err
	}
	if s.to, err = p.to.open(ctx, kgo.RetryTimeout(requestMax)); err != nil {
		return nil, err
	}
	bounded, cancel := copyBounded(ctx)
	defer cancel()
	if err := s.lookAtDestination(bounded, source); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *copySetting) close() { s.to.Close() }

func (s *copySetting) lookAtSource(ctx context.Context, client *kadm.Client) (cluster string, err error) {
	reads := &consumePlan{topics: []string{s.plan.source}, span: s.plan.span, toEnd: !s.plan.follow}
	spans, err := reads.resolve(ctx, client)
	if err != nil {
		return "", err
	}
	for key, span := range spans {
		s.spans[key.partition] = span
	}
	s.partitions = int32(len(spans))
	metadata, err := client.BrokerMetadata(ctx)
	return metadata.Cluster, err
}

func (s *copySetting) lookAtDestination(ctx context.Context, source string) error {
	client := kadm.NewClient(s.to)
	metadata, err := client.BrokerMetadata(ctx)
	if err != nil {
		return err
	}
	s.positions = s.plan.destination
	if metadata.Cluster == source {
		s.positions = s.plan.source
		if s.plan.destination == s.plan.source {
			return usage.Errorf("copy: topic %q cannot be copied onto itself", s.plan.source)
		}
	} else if s.plan.groupIsDefault { // a topic of the same name in a third cluster is another source
		s.plan.group += "." + source
	}
	topics, err := client.ListTopics(ctx, s.plan.destination)
	if err != nil {
		return err
	}
	found := topics[s.plan.destination]
	switch {
	case errors.Is(found.Err, kerr.UnknownTopicOrPartition):
		s.missing = true
	case found.Err != nil:
		return fmt.Errorf("topic %q: %w", s.plan.destination, brokerError(found.Err, ""))
	case len(found.Partitions) < int(s.partitions):
		return fmt.Errorf("topic %q has %s, %q has %d; add some with `millrace topic add-partitions`",
			s.plan.destination, plural(len(found.Partitions), "partition"), s.plan.source, s.partitions)
	}
	if !s.missing && !s.plan.dryRun {
		return nil
	}
	began, err := s.goOn(ctx)
	if err == nil && began && s.missing {
		return fmt.Errorf("topic %q is gone, but group %q says how far it was copied; `millrace group delete %[2]s` begins anew",
			s.plan.destination, s.plan.group)
	}
	return err
}

// create makes the destination if it does not exist.
func (s *copySetting) create(ctx context.Context) error {
	if !s.missing {
		return nil
	}
	ctx, cancel := copyBounded(ctx)
	defer cancel()
	created, err := kadm.NewClient(s.to).CreateTopic(ctx, s.partitions, -1, nil, s.plan.destination)
	if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
		return fmt.Errorf("create topic %q: %w", s.plan.destination, brokerError(err, created.ErrMessage))
	}
	return nil
}

// names returns the partitions as their offsets are kept.
func (s *copySetting) names() []consumer.TopicPartition {
	var names []consumer.TopicPartition
	for partition := range s.partitions {
		names = append(names, consumer.TopicPartition{Topic: s.positions, Partition: partition})
	}
	return names
}

// goOn begins where an earlier copy came to, if there was one, without waiting for what is undecided.
func (s *copySetting) goOn(ctx context.Context) (began bool, err error) {
	offsets, err := kadm.NewClient(s.to).FetchOffsets(ctx, s.plan.group)
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		return false, fmt.Errorf("offsets of group %q: %w", s.plan.group, brokerError(err, ""))
	}
	for partition, span := range s.spans {
		if offset, ok := offsets.Lookup(s.positions, partition); ok && offset.At >= 0 {
			span.next, began = offset.At, true
		}
	}
	return began, nil
}

// remaining returns what is still to be read, given how far each partition is.
func (s *copySetting) remaining(committed consumer.Offsets) []consumer.Span {
	var spans []consumer.Span
	for partition := range s.partitions {
		span := s.spans[partition]
		rest := consumer.Span{TopicPartition: consumer.TopicPartition{Topic: s.plan.source, Partition: partition}, From: span.next, To: span.to}
		if offset := committed[consumer.TopicPartition{Topic: s.positions, Partition: partition}]; offset.At >= 0 {
			rest.From = offset.At
		}
		if rest.To != noEnd {
			rest.To = max(rest.To, rest.From)
		}
		spans = append(spans, rest)
	}
	return spans
}
