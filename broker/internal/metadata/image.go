package metadata

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/millrace/millrace/broker/internal/quota"
)

// Image is the metadata after some prefix of the metadata log. It never changes; what it returns must not be
// changed either.
type Image struct {
	clusterID      string
	nodeID         int32
	brokerEpoch    int64 // of the latest start; -1 before the first
	nextProducerID int64
	brokerConfigs  map[string]map[string]string // what was set at run time, by broker id; "": for all brokers
	topics         []*Topic                     // sorted by name
	byName         map[string]*Topic
	byID           map[[16]byte]*Topic
	quotas         *quota.Limits

	transactionsBelow int16 // by how much transaction.version is below the highest level
}

// Topic is a topic of an Image.
type Topic struct {
	Name       string
	ID         [16]byte
	Partitions int32             // numbered from 0
	Configs    map[string]string // what was set for this topic; nil if nothing was
	Internal   bool              // the broker's own
}

// Names of the topics in which the broker keeps state of its own, and of the log that images come from, which is
// not a topic for clients.
const (
	OffsetsTopic      = "__consumer_offsets"
	TransactionsTopic = "__transaction_state"
	MetadataTopic     = "__cluster_metadata"
)

// Empty is the image before the first record.
func Empty(clusterID string, nodeID int32) *Image {
	return &Image{clusterID: clusterID, nodeID: nodeID, brokerEpoch: -1}
}

// Topic returns the topic of that name, or nil.
func (image *Image) Topic(name string) *Topic { return image.byName[name] }

// BrokerConfigs are the settings that were set at run time for the broker with that id, or for all brokers if the name
// is empty; nil if there are none.
func (image *Image) BrokerConfigs(name string) map[string]string { return image.brokerConfigs[name] }

// CheckPartition returns nil if the topic is there and has a partition of that number, else an ErrUnknownTopic.
func (image *Image) CheckPartition(topic string, index int32) error {
	t := image.byName[topic]
	switch {
	case t == nil:
		return fmt.Errorf("%w: %q", ErrUnknownTopic, topic)
	case index < 0 || index >= t.Partitions:
		return fmt.Errorf("%w: %s has no partition %d", ErrUnknownTopic, topic, index)
	}
	return nil
}

// TopicByID returns the topic with that id, or nil.
func (image *Image) TopicByID(id [16]byte) *Topic { return image.byID[id] }

// Topics returns all topics, sorted by name.
func (image *Image) Topics() []*Topic { return image.topics }

// ClusterID is the id of the cluster that the broker belongs to.
func (image *Image) ClusterID() string { return image.clusterID }

// NodeID is the broker's id.
func (image *Image) NodeID() int32 { return image.nodeID }

// LeaderEpoch is the epoch in which the broker leads every partition: 0 at its first start and one more at each
// further one; -1 before the first.
func (image *Image) LeaderEpoch() int32 { return int32(image.brokerEpoch) }

// NextProducerID is the lowest producer id that was never given out.
func (image *Image) NextProducerID() int64 { return image.nextProducerID }

// Quotas are the clients' quotas, nil if there are none at all.
func (image *Image) Quotas() *quota.Limits { return image.quotas }

// draft is an image in the making, which shares with its base what has not changed.
type draft struct {
	Image
	owned    bool                // the maps are the draft's own
	touched  map[[16]byte]*Topic // topics that the draft may change; nil: removed
	replaced *Image              // what the snapshot that is being applied replaces; nil: there is none
	limited  map[quota.Entity]quota.Values
}

func (d *draft) own() {
	if d.owned {
		return
	}
	d.owned = true
	d.touched = map[[16]byte]*Topic{}
	d.byName = maps.Clone(d.byName)
	d.byID = maps.Clone(d.byID)
	if d.byName == nil {
		d.byName = map[string]*Topic{}
		d.byID = map[[16]byte]*Topic{}
	}
}

func (d *draft) put(t *Topic) {
	d.own()
	d.touched[t.ID] = t
	d.byName[t.Name] = t
	d.byID[t.ID] = t
}

func (d *draft) remove(t *Topic) {
	d.own()
	d.touched[t.ID] = nil
	delete(d.byName, t.Name)
	delete(d.byID, t.ID)
}

// change returns a copy of t that the draft may change.
func (d *draft) change(t *Topic) *Topic {
	d.own()
	if copied := d.touched[t.ID]; copied != nil {
		return copied
	}
	copied := *t
	copied.Configs = maps.Clone(t.Configs)
	d.put(&copied)
	return &copied
}

func (d *draft) finish() *Image {
	image := d.Image
	if d.owned {
		image.topics = d.sorted()
	}
	if len(d.limited) > 0 {
		image.quotas = image.quotas.With(d.limited)
	}
	if len(image.topics) == 0 { // equal images are equal in every field, however they came about
		image.topics, image.byName, image.byID = nil, nil, nil
	}
	return &image
}

// sorted merges the topics that did not change, which are sorted, with those that did.
func (d *draft) sorted() []*Topic {
	fresh := make([]*Topic, 0, len(d.touched))
	for _, t := range d.touched {
		if t != nil {
			fresh = append(fresh, t)
		}
	}
	slices.SortFunc(fresh, func(a, b *Topic) int { return cmp.Compare(a.Name, b.Name) })
	merged := make([]*Topic, 0, len(d.byName))
	for _, t := range d.topics {
		if _, touched := d.touched[t.ID]; touched {
			continue
		}
		for len(fresh) > 0 && fresh[0].Name < t.Name {
			merged, fresh = append(merged, fresh[0]), fresh[1:]
		}
		merged = append(merged, t)
	}
	return append(merged, fresh...)
}
