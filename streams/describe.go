package streams

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/streams/internal/engine"
	"github.com/millrace/millrace/streams/internal/graph"
)

// Description is a topology without its functions: sub-topologies with their nodes, topics and stores. It is a value that
// prints as text (String), as a picture for Graphviz (DOT) and for pages in Markdown (Mermaid), and as JSON.
type Description = graph.Description

// The parts of a Description.
type (
	// SubtopologyDescription is a part that runs in tasks, one for each partition of its sources.
	SubtopologyDescription = graph.SubtopologyDescription
	// NodeDescription is a step.
	NodeDescription = graph.NodeDescription
	// TopicDescription is a topic with its codecs.
	TopicDescription = graph.TopicDescription
	// StoreDescription is a store with its codecs and its changelog.
	StoreDescription = graph.StoreDescription
)

// Describe returns the description of the topology, mistakes and all. What depends on a cluster is not in it: see
// ReadDescription.
func (t *Topology) Describe() Description { return t.graph.Describe("", nil) }

// BalancerName is the protocol of an application's consumer group, by which tools recognize it.
const BalancerName = engine.BalancerName

// ErrNoDescription is that an application has not stored a description: it never ran in this cluster, or was reset.
var ErrNoDescription = errors.New("no description is stored")

// ReadDescription returns what an application stored when it last started: its topology with the names and partition counts that
// its topics have in Kafka. Without one the error wraps ErrNoDescription. client says how to reach the brokers.
func ReadDescription(ctx context.Context, client []kgo.Opt, app string) (Description, error) {
	d, found, err := engine.Registry{Client: client}.Read(ctx, app)
	if err == nil && !found {
		err = fmt.Errorf("application %s: %w", app, ErrNoDescription)
	}
	return d, err
}

// DescriptionTopic is the topic in which an application stores its description.
func DescriptionTopic(app string) string { return graph.RegistryTopic(app) }
