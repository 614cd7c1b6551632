package broker

import (
	"fmt"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace/millrace/broker/internal/metadata"
	"github.com/millrace/millrace/broker/internal/quota"
)

// mutations is a client's quota of partitions to create and delete, as one request uses it (KIP-599).
//
// A topic is taken on as long as the quota is not used up, however many partitions it has; the next one then has to
// wait. Clients that do not know of refusals are made to rest instead.
type mutations struct {
	broker *Broker
	call   *call
	bound  quota.Bound // no limit: there is no quota
	strict bool        // the client knows THROTTLING_QUOTA_EXCEEDED
}

// mutations returns the quota that a request has to keep to. From version strictSince on its client knows refusals.
func (b *Broker) mutations(c *call, strictSince int16) *mutations {
	bound, _ := b.quotaOf(c, quota.Mutation)
	return &mutations{broker: b, call: c, bound: bound, strict: c.version >= strictSince}
}

// free has a request that changes nothing not use up the quota.
func (m *mutations) free() { m.bound = quota.Bound{} }

// spend charges the client with partitions that it wants to create or delete, or returns why it has to wait.
func (m *mutations) spend(partitions int32) error {
	if m.bound.Limit == 0 {
		return nil
	}
	t := m.broker.throttles
	rest, ok := t.meters.Spend(quota.Mutation, m.bound, float64(partitions), !m.strict, t.now())
	m.call.rests(quota.Mutation, rest)
	if !ok {
		return fmt.Errorf("%w: try again in %d ms", kerr.ThrottlingQuotaExceeded, m.call.rest.millis())
	}
	return nil
}

// spendCreated charges the client with topics that came to be because it asked for their metadata. No version knows
// of a refusal there, so it rests if need be.
func (m *mutations) spendCreated(image *metadata.Image, wanted []metadata.NewTopic, failed map[string]error) {
	for i := range wanted {
		if t := image.Topic(wanted[i].Name); t != nil && failed[t.Name] == nil {
			_ = m.spend(t.Partitions) // never refuses before its first version
		}
	}
}

// create is Image.CreateTopics of the topics that there is room for.
func (m *mutations) create(image *metadata.Image, wanted []metadata.NewTopic) ([]metadata.Record, []metadata.Created) {
	records, results := image.CreateTopics(m.broker.controller.settings(), wanted, newID)
	refused := map[string]error{}
	for _, result := range results {
		if result.Err != nil {
			continue
		}
		if err := m.spend(result.Topic.Partitions); err != nil {
			refused[result.Name] = err
		}
	}
	if len(refused) > 0 {
		wanted = slices.DeleteFunc(slices.Clone(wanted), func(w metadata.NewTopic) bool { return refused[w.Name] != nil })
		records, results = image.CreateTopics(m.broker.controller.settings(), wanted, newID)
	}
	for _, name := range slices.Sorted(maps.Keys(refused)) {
		results = append(results, metadata.Created{Name: name, Err: refused[name]})
	}
	return records, results
}

// delete is Image.DeleteTopics of the topics that there is room for.
func (m *mutations) delete(image *metadata.Image, refs []metadata.TopicRef) ([]metadata.Record, []metadata.Deleted) {
	records, results := image.DeleteTopics(refs)
	refused := map[metadata.TopicRef]error{}
	for _, result := range results {
		if result.Err != nil {
			continue
		}
		if err := m.spend(result.Topic.Partitions); err != nil {
			refused[result.TopicRef] = err
		}
	}
	if len(refused) == 0 {
		return records, results
	}
	admitted := slices.DeleteFunc(slices.Clone(refs), func(ref metadata.TopicRef) bool { return refused[ref] != nil })
	records, results = image.DeleteTopics(admitted)
	for _, ref := range refs {
		if err := refused[ref]; err != nil {
			results = append(results, metadata.Deleted{TopicRef: ref, Err: err})
		}
	}
	return records, results
}

// grow is Image.CreatePartitions of the topics that there is room for.
func (m *mutations) grow(image *metadata.Image, wanted []metadata.MorePartitions) ([]metadata.Record, []metadata.Grown) {
	records, results := image.CreatePartitions(wanted)
	counts := make(map[string]int32, len(wanted))
	for i := range wanted {
		counts[wanted[i].Topic] = wanted[i].Count
	}
	refused := map[string]error{}
	for _, result := range results {
		if result.Err != nil {
			continue
		}
		if err := m.spend(counts[result.Topic] - image.Topic(result.Topic).Partitions); err != nil {
			refused[result.Topic] = err
		}
	}
	if len(refused) > 0 {
		wanted = slices.DeleteFunc(slices.Clone(wanted), func(w metadata.MorePartitions) bool { return refused[w.Topic] != nil })
		records, results = image.CreatePartitions(wanted)
	}
	for _, name := range slices.Sorted(maps.Keys(refused)) {
		results = append(results, metadata.Grown{Topic: name, Err: refused[name]})
	}
	return records, results
}
