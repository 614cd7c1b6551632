package metadata

import (
	"fmt"
	"maps"
	"math"

	"github.com/millrace/millrace/broker/internal/quota"
)

// Apply returns the image after records. image stays as it is. An error means that the records cannot follow image:
// ErrCorrupt, or ErrNewer if they need a newer version to be understood.
func (image *Image) Apply(records ...Record) (*Image, error) {
	d := &draft{Image: *image}
	for _, record := range records {
		if err := d.apply(record); err != nil {
			return nil, err
		}
	}
	if d.replaced != nil {
		return nil, fmt.Errorf("%w: a snapshot without an end", ErrCorrupt)
	}
	return d.finish(), nil
}

func (d *draft) apply(record Record) error {
	switch r := record.(type) {
	case *FeatureLevelRecord:
		return d.applyFeature(r)
	case *RegisterBrokerRecord:
		if r.BrokerEpoch <= d.brokerEpoch || r.BrokerEpoch > math.MaxInt32 {
			return fmt.Errorf("%w: broker epoch %d after %d", ErrCorrupt, r.BrokerEpoch, d.brokerEpoch)
		}
		d.brokerEpoch = r.BrokerEpoch
	case *TopicRecord:
		return d.applyTopic(r)
	case *PartitionRecord:
		return d.applyPartition(r)
	case *ConfigRecord:
		return d.applyConfig(r)
	case *RemoveTopicRecord:
		t := d.byID[r.ID]
		if t == nil {
			return fmt.Errorf("%w: removal of unknown topic id %x", ErrCorrupt, r.ID)
		}
		d.remove(t)
	case *ClientQuotaRecord:
		return d.applyQuota(r)
	case *ProducerIDsRecord:
		if r.NextProducerID < d.nextProducerID {
			return fmt.Errorf("%w: next producer id %d after %d", ErrCorrupt, r.NextProducerID, d.nextProducerID)
		}
		d.nextProducerID = r.NextProducerID
	case *BeginTransactionRecord:
		return d.beginSnapshot()
	case *EndTransactionRecord:
		return d.endSnapshot()
	default:
		panic(fmt.Sprintf("metadata: apply %T", record))
	}
	return nil
}

func (d *draft) applyTopic(r *TopicRecord) error {
	if t := d.byName[r.Name]; t != nil {
		return fmt.Errorf("%w: topic %q with id %x exists with id %x", ErrCorrupt, r.Name, r.ID, t.ID)
	}
	if t := d.byID[r.ID]; t != nil {
		return fmt.Errorf("%w: topic %q has the id %x of topic %q", ErrCorrupt, r.Name, r.ID, t.Name)
	}
	d.put(&Topic{Name: r.Name, ID: r.ID, Internal: IsInternal(r.Name)})
	return nil
}

func (d *draft) applyPartition(r *PartitionRecord) error {
	t := d.byID[r.TopicID]
	if t == nil {
		return fmt.Errorf("%w: partition %d of unknown topic id %x", ErrCorrupt, r.PartitionID, r.TopicID)
	}
	if r.PartitionID != t.Partitions {
		return fmt.Errorf("%w: partition %d of topic %q, which has %d", ErrCorrupt, r.PartitionID, t.Name, t.Partitions)
	}
	d.change(t).Partitions++
	return nil
}

func (d *draft) applyConfig(r *ConfigRecord) error {
	if r.ResourceType == resourceBroker {
		d.applyBrokerConfig(r)
		return nil
	}
	if r.ResourceType != resourceTopic {
		return fmt.Errorf("%w: settings of resource type %d", ErrNewer, r.ResourceType)
	}
	t := d.byName[r.ResourceName]
	if t == nil {
		return fmt.Errorf("%w: setting %s of unknown topic %q", ErrCorrupt, r.Name, r.ResourceName)
	}
	t = d.change(t)
	if r.Value == nil {
		delete(t.Configs, r.Name)
		if len(t.Configs) == 0 {
			t.Configs = nil
		}
		return nil
	}
	if t.Configs == nil {
		t.Configs = map[string]string{}
	}
	t.Configs[r.Name] = *r.Value
	return nil
}

// applyBrokerConfig replaces the maps that it changes: images share them.
func (d *draft) applyBrokerConfig(r *ConfigRecord) {
	values := maps.Clone(d.brokerConfigs[r.ResourceName])
	if values == nil {
		values = map[string]string{}
	}
	if r.Value == nil {
		delete(values, r.Name)
	} else {
		values[r.Name] = *r.Value
	}
	d.brokerConfigs = maps.Clone(d.brokerConfigs)
	if d.brokerConfigs == nil {
		d.brokerConfigs = map[string]map[string]string{}
	}
	d.brokerConfigs[r.ResourceName] = values
	if len(values) == 0 {
		delete(d.brokerConfigs, r.ResourceName)
	}
	if len(d.brokerConfigs) == 0 {
		d.brokerConfigs = nil
	}
}

func (d *draft) applyQuota(r *ClientQuotaRecord) error {
	entity, err := quota.NewEntity(r.Entity)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	values, changed := d.limited[entity]
	if !changed {
		values = d.quotas.Of(entity)
	}
	kind, known := quota.KindOf(r.Key)
	switch {
	case r.Remove && known:
		values[kind] = 0
	case r.Remove:
		return nil
	default:
		if kind, err = quota.CheckValue(entity, r.Key, r.Value); err != nil {
			return fmt.Errorf("%w: %w", ErrCorrupt, err)
		}
		values[kind] = r.Value
	}
	if d.limited == nil {
		d.limited = map[quota.Entity]quota.Values{}
	}
	d.limited[entity] = values
	return nil
}
