package engine

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/millrace/millrace/consumer"
)

// purgeEvery is how often what is processed of repartition topics is deleted; as in Kafka Streams.
const purgeEvery = 30 * time.Second

// purge deletes the records of repartition topics that are processed and committed. Nobody else reads them.
type purge struct {
	admin  *kadm.Client
	topics map[string]bool
	every  time.Duration
	logger *slog.Logger

	mu struct {
		sync.Mutex
		offsets map[consumer.TopicPartition]int64 // not deleted up to yet
	}
}

// note says that everything below offset is done with.
func (p *purge) note(partition consumer.TopicPartition, offset int64) {
	if !p.topics[partition.Topic] || offset <= 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.offsets == nil {
		p.mu.offsets = map[consumer.TopicPartition]int64{}
	}
	p.mu.offsets[partition] = offset
}

// run deletes until ctx ends.
func (p *purge) run(ctx context.Context) {
	tick := time.NewTicker(p.every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			p.once(ctx)
		}
	}
}

// once deletes what was noted. What fails is deleted with the next: it costs room only.
func (p *purge) once(ctx context.Context) {
	p.mu.Lock()
	noted := p.mu.offsets
	p.mu.offsets = nil
	p.mu.Unlock()
	if len(noted) == 0 {
		return
	}
	offsets := kadm.Offsets{}
	for partition, at := range noted {
		offsets.AddOffset(partition.Topic, partition.Partition, at, -1)
	}
	responses, err := p.admin.DeleteRecords(ctx, offsets)
	if err == nil {
		err = responses.Error()
	}
	if err != nil && ctx.Err() == nil {
		p.logger.Warn("cannot delete what is processed of repartition topics", "error", err)
	}
}
