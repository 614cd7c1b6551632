package consumer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
)

// commit commits what is processed, in its time. What fails is tried again or undone; an error ends Run.
func (g *Group) commit(ctx context.Context) error {
	if !g.hasNews() {
		return nil // and nobody has to stand still for it
	}
	budget, cancel := context.WithTimeout(context.WithoutCancel(ctx), g.options.StopTimeout)
	defer cancel()
	defer g.halt(budget, g.workersOf(nil))()
	err := g.commitNow(budget)
	_, failure := g.outlet.state()
	switch {
	case err == nil && !g.isInterrupted():
		return nil
	case g.outlet.IsTransactional(), g.isInterrupted():
		return g.undo(ctx, cmp.Or(err, errInterrupted))
	case failure == nil && isTransient(err):
		g.logger.Warn("cannot commit, trying again", "error", err)
		return nil
	}
	return fmt.Errorf("commit offsets of group %q: %w", g.options.Group, err)
}

// hasNews reports whether there may be something to commit, or to undo.
func (g *Group) hasNews() bool {
	if began, failure := g.outlet.state(); !began.IsZero() || failure != nil || g.hasCommitters() {
		return true
	}
	for _, p := range g.partitions {
		if at := p.position().At; at >= 0 && at != p.Committed().At {
			return true
		}
	}
	return false
}

// workersOf returns the workers that have to stand still for a commit: those of the partitions that it is about, and all for
// one with work of all.
func (g *Group) workersOf(partitions []*Partition) map[*worker]bool {
	workers := map[*worker]bool{}
	for _, p := range partitions {
		workers[p.worker] = true
	}
	if g.outlet.IsTransactional() || g.hasCommitters() {
		return g.allWorkers()
	}
	return workers
}

func (g *Group) allWorkers() map[*worker]bool {
	workers := map[*worker]bool{}
	for _, w := range g.workers {
		workers[w] = true
	}
	return workers
}

// hasCommitters reports whether a processor takes part in commits.
func (g *Group) hasCommitters() bool {
	for _, p := range g.partitions {
		if _, is := p.committer(); is {
			return true
		}
	}
	return false
}

// halt makes workers stand still, and returns what undoes it. Who does not come to the end of a batch before ctx ends is
// interrupted: its work does not count, and a transaction that may have results of it is spoiled.
func (g *Group) halt(ctx context.Context, workers map[*worker]bool) (release func()) {
	for w := range workers {
		w.halt()
	}
	for w := range workers {
		if w.rest(ctx) {
			continue
		}
		g.logger.Warn("interrupting a handler", "after", g.options.StopTimeout)
		if g.outlet.IsTransactional() {
			g.outlet.spoil(errInterrupted)
		}
		w.interrupt()
	}
	return func() {
		for w := range workers {
			w.release()
		}
	}
}

// errInterrupted is why work is undone that took too long.
var errInterrupted = errors.New("a batch was not processed within Options.StopTimeout")

// isInterrupted reports whether there is a partition whose work was interrupted.
func (g *Group) isInterrupted() bool {
	for _, p := range g.partitions {
		if p.ctx.Err() != nil {
			return true
		}
	}
	return false
}

// commitNow commits what is processed of all partitions, if anything is new. With transactions and committers the workers
// stand still.
func (g *Group) commitNow(ctx context.Context) error {
	g.count.Store(0)
	if _, failure := g.outlet.state(); failure != nil {
		return failure
	}
	var commits []*Commit
	for _, p := range g.partitions {
		if p.worker.isStuck() {
			continue
		}
		commit := &Commit{Partition: p, Offset: p.toCommit()}
		if committer, is := p.committer(); is {
			if err := guard(func() error { return committer.Prepare(ctx, commit) }); err != nil {
				return fmt.Errorf("prepare to commit %v: %w", p.TopicPartition, err)
			}
		}
		commits = append(commits, commit)
	}
	began, _ := g.outlet.state()
	whole := g.outlet.IsTransactional() && !began.IsZero()
	commits = slices.DeleteFunc(commits, func(c *Commit) bool { return c.Offset.At < 0 || !whole && !c.isNew() })
	if len(commits) == 0 {
		return nil
	}
	offsets := Offsets{}
	for _, c := range commits {
		offsets[c.Partition.TopicPartition] = c.Offset
	}
	if err := g.outlet.Commit(ctx, g.member, offsets); err != nil {
		return err
	}
	g.aborts = 0
	return g.stands(ctx, commits)
}

// isNew reports whether the commit would change anything.
func (c *Commit) isNew() bool {
	committed := c.Partition.Committed()
	return c.Offset.At != committed.At || c.Offset.Metadata != committed.Metadata
}

// stands notes what a commit changed, and tells who takes part in commits.
func (g *Group) stands(ctx context.Context, commits []*Commit) error {
	for _, c := range commits {
		c.Partition.commit(c.Offset)
	}
	for _, c := range commits {
		if committer, is := c.Partition.committer(); is {
			if err := guard(func() error { return committer.Committed(ctx, c) }); err != nil {
				return &afterCommitError{fmt.Errorf("after the commit of %v: %w", c.Partition.TopicPartition, err)}
			}
		}
	}
	return nil
}

// afterCommitError is a failure of a committer that cannot be undone, because the commit stands.
type afterCommitError struct{ err error }

func (e *afterCommitError) Error() string { return e.err.Error() }
func (e *afterCommitError) Unwrap() error { return e.err }

// member says who commits. Until this member has given partitions up, which the goroutine of Run sees to, it is the one
// that they were assigned to.
func (g *Group) member() Member {
	member := Member{}
	member.ID, member.Generation = g.client.GroupMetadata()
	if instance, ok := g.client.OptValue(kgo.InstanceID).(string); ok && instance != "" {
		member.InstanceID = &instance
	}
	return member
}
