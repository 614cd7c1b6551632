package engine

import (
	"context"
	"slices"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/consumer"
)

// origins are where partitions begin of which nothing is committed: the first offset there is, or the end for topics that are
// read from there. It is asked for once and kept, so that what is fetched first and what a commit says before anything was
// processed are the same.
type origins struct {
	fromEnd []string // topics
	client  *kgo.Client

	mu struct {
		sync.Mutex
		at map[consumer.TopicPartition]int64
	}
}

func newOrigins(fromEnd []string, client *kgo.Client) *origins {
	o := &origins{fromEnd: fromEnd, client: client}
	o.mu.at = map[consumer.TopicPartition]int64{}
	return o
}

// adjust is told from where the group's client is about to fetch (kgo.AdjustFetchOffsetsFn).
func (o *origins) adjust(ctx context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	var without []consumer.TopicPartition
	for topic, partitions := range offsets {
		for partition, offset := range partitions {
			if offset.EpochOffset().Offset < 0 {
				without = append(without, consumer.TopicPartition{Topic: topic, Partition: partition})
			}
		}
	}
	if err := o.resolve(ctx, without); err != nil {
		return nil, err
	}
	for _, p := range without {
		offsets[p.Topic][p.Partition] = kgo.NewOffset().At(o.at(p))
	}
	return offsets, nil
}

// resolve asks for the origins of partitions whose are not known.
func (o *origins) resolve(ctx context.Context, partitions []consumer.TopicPartition) error {
	for _, b := range []bound{logStart, stableEnd} {
		asked := slices.DeleteFunc(slices.Clone(partitions), func(p consumer.TopicPartition) bool {
			return o.at(p) >= 0 || slices.Contains(o.fromEnd, p.Topic) != (b == stableEnd)
		})
		found, err := listOffsets(ctx, o.client, b, asked)
		if err != nil {
			return err
		}
		o.mu.Lock()
		for p, at := range found {
			o.mu.at[p] = at
		}
		o.mu.Unlock()
	}
	return nil
}

// at returns the origin of a partition, -1 if it is not known.
func (o *origins) at(p consumer.TopicPartition) int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	if at, known := o.mu.at[p]; known {
		return at
	}
	return -1
}

// forget has the origin of a partition asked for anew, should it come back.
func (o *origins) forget(p consumer.TopicPartition) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.mu.at, p)
}
