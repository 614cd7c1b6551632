package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams/internal/graph"
)

const (
	// windowRetentionMore is how much longer a changelog keeps windows than the store needs them: brokers go by the wall clock
	// and by the newest timestamp, whichever comes first.
	windowRetentionMore = 24 * time.Hour
	// internalSegmentBytes keeps segments of internal topics small, so that what is done with goes soon.
	internalSegmentBytes = 50 << 20
	// createdMax bounds the wait for topics that were just created to be known to all brokers that are asked.
	createdMax = 30 * time.Second
)

// Topics are the topics of an application as they are in Kafka.
type Topics struct {
	Counts map[string]int      // partitions, by name in Kafka
	IDs    map[string][16]byte // likewise; zero from a broker that has none
	ByName map[string]int      // partitions of the topology's topics, as described
	Tasks  map[string]int      // how many tasks each sub-topology has
	create []wantedTopic
	limits recordLimits
}

// wantedTopic is an internal topic as it has to be.
type wantedTopic struct {
	name       string
	partitions int
	configs    map[string]string
	why        string // for errors
}

// SetUpTopics finds the topics of a program, creates the internal ones that are missing, and has the others keep what they need. Several
// processes may do so at the same time. What does not fit is an error that names it and says how to proceed. Topics that are only
// written may be missing if the client has the broker create them.
func SetUpTopics(
	ctx context.Context, client *kgo.Client, program *Program, app string, replicationFactor int16, logger *slog.Logger,
) (*Topics, error) {
	t, admin := &Topics{}, kadm.NewClient(client)
	wanted, err := t.find(ctx, admin, program, app)
	if err != nil {
		return nil, err
	}
	if isCreated, _ := client.OptValue(kgo.AllowAutoTopicCreation).(bool); !isCreated {
		if err := t.checkWritten(program, app); err != nil {
			return nil, lasting{err}
		}
	}
	for _, w := range wanted {
		if t.Counts[w.name] == 0 {
			t.create = append(t.create, w)
		}
	}
	if len(t.create) > 0 {
		for _, w := range t.create {
			if err := createTopic(ctx, admin, w, replicationFactor); err != nil {
				return nil, err
			}
		}
		if err := t.await(ctx, admin, t.create); err != nil {
			return nil, err
		}
	}
	if err := checkWanted(wanted, t.Counts); err != nil {
		return nil, lasting{err}
	}
	if err := fitSettings(ctx, admin, wanted, logger); err != nil {
		return nil, err
	}
	t.limits, err = readLimits(ctx, client, t.written(program, app))
	return t, err
}

// find asks for what there is, and returns what there has to be.
func (t *Topics) find(ctx context.Context, admin *kadm.Client, program *Program, app string) ([]wantedTopic, error) {
	names := topicNames(program, app)
	if err := t.describe(ctx, admin, names); err != nil {
		return nil, err
	}
	existing := map[string]int{}
	for _, topic := range program.Graph.Topics {
		existing[topic.Name] = t.Counts[program.Graph.KafkaTopic(app, topic.Name)]
	}
	counts, err := program.Graph.Partitions(existing)
	if err != nil {
		return nil, lasting{err}
	}
	t.ByName, t.Tasks = counts, map[string]int{}
	wanted := repartitionTopics(program.Graph, app, counts)
	for _, sub := range program.Subtopologies {
		t.Tasks[sub.Name] = sub.Tasks(counts)
		for _, spec := range sub.Stores {
			wanted = append(wanted, changelogTopic(app, sub, spec, counts))
		}
	}
	return wanted, nil
}

// topicNames returns the names in Kafka of all topics that a program reads, writes or keeps its stores in.
func topicNames(program *Program, app string) (names []string) {
	for _, topic := range program.Graph.Topics {
		names = append(names, program.Graph.KafkaTopic(app, topic.Name))
	}
	for _, store := range program.Graph.Stores {
		names = append(names, graph.ChangelogTopic(app, store.Name))
	}
	for _, node := range program.Graph.Nodes {
		if node.DeadLetters != "" {
			names = append(names, node.DeadLetters)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// describe asks for partition counts and ids. A topic that does not exist has none.
func (t *Topics) describe(ctx context.Context, admin *kadm.Client, names []string) error {
	details, err := admin.ListTopics(ctx, names...)
	if err != nil {
		return fmt.Errorf("look for topics: %w", err)
	}
	if t.Counts == nil {
		t.Counts, t.IDs = map[string]int{}, map[string][16]byte{}
	}
	for _, detail := range details.Sorted() {
		switch {
		case errors.Is(detail.Err, kerr.UnknownTopicOrPartition):
			continue
		case detail.Err != nil:
			return fmt.Errorf("look for topic %s: %w", detail.Topic, detail.Err)
		}
		t.Counts[detail.Topic], t.IDs[detail.Topic] = len(detail.Partitions), detail.ID
	}
	return nil
}

// repartitionTopics keep records until the application has processed them, which it says by deleting them.
func repartitionTopics(g *graph.Topology, app string, counts map[string]int) (wanted []wantedTopic) {
	for _, topic := range g.Topics {
		if topic.Internal {
			wanted = append(wanted, wantedTopic{
				name: graph.RepartitionTopic(app, topic.Name), partitions: counts[topic.Name],
				configs: map[string]string{
					"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1",
					"segment.bytes": strconv.Itoa(internalSegmentBytes), "message.timestamp.type": "CreateTime",
				},
				why: fmt.Sprintf("topic %s is repartitioned into that many", topic.Name),
			})
		}
	}
	return wanted
}

// changelogTopic keeps the last value of each key. Of windows and sessions, which end, it keeps those that may still change.
func changelogTopic(app string, sub *Subtopology, spec state.Spec, counts map[string]int) wantedTopic {
	var sources []string
	for _, topic := range sub.Sources {
		sources = append(sources, fmt.Sprintf("topic %s with %d", topic, counts[topic]))
	}
	w := wantedTopic{
		name: graph.ChangelogTopic(app, spec.Name), partitions: sub.Tasks(counts),
		configs: map[string]string{"cleanup.policy": "compact", "message.timestamp.type": "CreateTime"},
		why:     fmt.Sprintf("store %s is filled from %s", spec.Name, strings.Join(sources, ", ")),
	}
	if spec.RetentionMs > 0 {
		w.configs["cleanup.policy"] = "compact,delete"
		w.configs["retention.ms"] = strconv.FormatInt(spec.RetentionMs+windowRetentionMore.Milliseconds(), 10)
		w.configs["retention.bytes"] = "-1"
		w.configs["segment.bytes"] = strconv.Itoa(internalSegmentBytes)
	}
	return w
}

// createTopic creates a topic, unless another process is quicker.
func createTopic(ctx context.Context, admin *kadm.Client, w wantedTopic, replicationFactor int16) error {
	configs := map[string]*string{}
	for _, key := range slices.Sorted(maps.Keys(w.configs)) {
		configs[key] = kadm.StringPtr(w.configs[key])
	}
	created, err := admin.CreateTopics(ctx, int32(w.partitions), replicationFactor, configs, w.name)
	if err == nil {
		err = created[w.name].Err
	}
	if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
		detail := ""
		if message := created[w.name].ErrMessage; message != "" {
			detail = " (" + message + ")"
		}
		return fmt.Errorf("create topic %s with %d partitions%s: %w", w.name, w.partitions, detail, err)
	}
	return nil
}

// await waits until topics that were created are known.
func (t *Topics) await(ctx context.Context, admin *kadm.Client, created []wantedTopic) error {
	ctx, cancel := context.WithTimeout(ctx, createdMax)
	defer cancel()
	var names []string
	for _, w := range created {
		names = append(names, w.name)
	}
	for pause := retryPauseMin; ; pause = min(2*pause, time.Second) {
		if err := t.describe(ctx, admin, names); err != nil {
			return err
		}
		missing := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return t.Counts[name] > 0 })
		if len(missing) == 0 {
			return nil
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("topics %s were created, but are not there: %w", strings.Join(missing, ", "), context.Cause(ctx))
		case <-timer.C:
		}
	}
}

// checkWanted holds internal topics against what they have to be.
func checkWanted(wanted []wantedTopic, counts map[string]int) error {
	var mistakes []error
	for _, w := range wanted {
		if n := counts[w.name]; n != w.partitions {
			mistakes = append(mistakes, fmt.Errorf("topic %s has %d partitions and needs %d (%s): its keys are spread over %[2]d. "+
				"Give the topics that it depends on their old partition counts again, or start anew: "+
				"millrace streams reset deletes it, and the application processes its input again", w.name, n, w.partitions, w.why))
		}
	}
	return errors.Join(mistakes...)
}
