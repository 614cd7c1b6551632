package consumer

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
)

// change is what happens to partitions in a rebalance.
type change int

const (
	assigned change = iota
	revoked         // they are this member's until it says so
	lost            // they are somebody else's already
)

// rebalance is a change, as the client tells it; it waits until done is closed.
type rebalance struct {
	change     change
	partitions []TopicPartition
	done       chan struct{}
}

// tell returns a callback of the client that has the goroutine of Run see to a change.
func (g *Group) tell(change change) func(context.Context, *kgo.Client, map[string][]int32) {
	return func(_ context.Context, _ *kgo.Client, topics map[string][]int32) {
		r := rebalance{change: change, done: make(chan struct{})}
		for topic, partitions := range topics {
			for _, p := range partitions {
				r.partitions = append(r.partitions, TopicPartition{topic, p})
			}
		}
		select {
		case g.rebalances <- r:
			<-r.done
		case <-g.ended:
		}
	}
}

// rebalance sees to a change. What was polled before is taken first: nothing of it is to arrive afterwards.
func (g *Group) rebalance(ctx context.Context, r rebalance) error {
	defer close(r.done)
	if err := g.take(g.poller.stop()); err != nil {
		return err
	}
	if r.change == assigned {
		err := g.assign(ctx, r.partitions)
		g.tellRebalanced()
		return err
	}
	defer g.tellRebalanced()
	var partitions []*Partition
	for _, name := range r.partitions {
		if p := g.partitions[name]; p != nil {
			partitions = append(partitions, p)
		}
	}
	if len(partitions) == 0 {
		return nil
	}
	if r.change == lost {
		return g.giveUp(ctx, partitions)
	}
	return g.handOver(ctx, partitions)
}

// tellRebalanced tells which partitions there are now.
func (g *Group) tellRebalanced() {
	if g.options.Rebalanced != nil {
		g.options.Rebalanced(slices.SortedFunc(maps.Keys(g.partitions), TopicPartition.compare))
	}
}

// assign gives partitions to workers.
func (g *Group) assign(ctx context.Context, names []TopicPartition) error {
	committed, err := g.committed(ctx, names)
	if err != nil {
		return err
	}
	for _, name := range names {
		lane := g.options.Lane(name)
		w := g.workers[lane]
		if w == nil {
			w = newWorker(g)
			g.workers[lane] = w
		}
		p := &Partition{TopicPartition: name, group: g, worker: w, fresh: true, progress: newProgress(committed[name])}
		p.ctx, p.cancel = context.WithCancel(g.work)
		g.partitions[name] = p
		w.add(p)
	}
	return nil
}

// committed asks the broker, again and again while it is away: nothing can be processed then anyway.
func (g *Group) committed(ctx context.Context, names []TopicPartition) (committed Offsets, err error) {
	err = repeat(ctx, isTransient, func() (err error) {
		committed, err = g.outlet.Committed(ctx, names)
		return err
	})
	return committed, err
}

// handOver commits what was processed of partitions that somebody else gets next, within Options.StopTimeout. If that fails,
// their work is undone.
func (g *Group) handOver(ctx context.Context, partitions []*Partition) error {
	budget, cancel := context.WithTimeout(context.WithoutCancel(ctx), g.options.StopTimeout)
	defer cancel()
	defer g.halt(budget, g.workersOf(partitions))()
	failed, reason := g.commitNow(budget), Drained // while the contexts live that records were produced with
	for _, p := range partitions {
		p.worker.take(p)
	}
	if failed != nil {
		g.logger.Warn("cannot commit what was processed of partitions that are given up", "partitions", len(partitions), "error", failed)
		reason = Lost
	}
	if err := g.leaveTo(partitions, reason); err != nil {
		return err
	}
	if failed != nil && g.outlet.IsTransactional() || g.isInterrupted() {
		return g.undo(ctx, cmp.Or(failed, errInterrupted))
	}
	return nil
}

// giveUp drops partitions that are somebody else's already, and undoes the transaction that has work of theirs.
func (g *Group) giveUp(ctx context.Context, partitions []*Partition) error {
	g.logger.Warn("lost partitions", "partitions", len(partitions))
	for _, p := range partitions {
		p.worker.take(p)
	}
	err := g.leaveTo(partitions, Lost)
	if err == nil && g.outlet.IsTransactional() {
		err = g.undo(ctx, fmt.Errorf("%d partitions were lost", len(partitions)))
	}
	return err
}

// leaveTo makes the last call about partitions of which nothing runs any more, and forgets them.
func (g *Group) leaveTo(partitions []*Partition, reason Reason) (err error) {
	for _, p := range partitions {
		if failed := g.dismiss(p, reason); err == nil {
			err = failed
		}
		delete(g.partitions, p.TopicPartition)
		if p.paused {
			g.client.ResumeFetchPartitions(map[string][]int32{p.Topic: {p.Partition}})
		}
		if p.worker.remove(p) == 0 {
			p.worker.end()
			delete(g.workers, g.options.Lane(p.TopicPartition))
		}
	}
	return err
}

// dismiss calls Revoked, unless the processor is stuck: then it may not be touched.
func (g *Group) dismiss(p *Partition, reason Reason) error {
	if p.worker.isStuck() {
		return nil
	}
	processor := p.release()
	if processor == nil {
		return nil
	}
	err := guard(func() error { return processor.Revoked(g.work, p, reason) })
	if err != nil {
		return fmt.Errorf("revoke %v: %w", p.TopicPartition, err)
	}
	return nil
}
