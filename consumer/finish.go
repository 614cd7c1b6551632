package consumer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
)

// errHalfway is that Run was ended in the middle of undoing work: there is nothing to commit, and nothing to complain of.
var errHalfway = errors.New("ended while work was undone")

// finish ends what loop began: it lets the batches that are under way come to an end, commits what was processed unless cause
// says that there is nothing to save, and leaves the group. It returns why Run ended.
func (g *Group) finish(cause error) error {
	ctx, cancel := context.WithTimeout(context.Background(), g.options.StopTimeout)
	defer cancel()
	g.halt(ctx, g.allWorkers())
	var partitions []*Partition
	for _, p := range g.partitions {
		partitions = append(partitions, p)
	}
	reason := Drained
	asked := cause == nil || errors.Is(cause, ErrStop)
	if asked {
		cause = nil
	}
	if asked || !g.outlet.IsTransactional() {
		if err := g.commitNow(ctx); err != nil {
			cause, reason = cmp.Or(cause, err), Lost
		}
	} else {
		reason = Lost
	}
	if reason == Lost && g.outlet.client != nil {
		if err := g.outlet.Abort(ctx); err != nil {
			g.logger.Warn("cannot abort the transaction, the broker will after its timeout", "error", err)
		}
	}
	for _, p := range partitions { // not before: records were produced with the contexts that this ends
		p.worker.take(p)
	}
	if stuck := g.stuck(); stuck != nil {
		cause = stuck
	}
	err := g.leaveTo(partitions, reason)
	g.poller.end()
	close(g.ended)
	err = cmp.Or(cause, err, g.leave())
	if errors.Is(err, errHalfway) {
		return nil
	}
	return err
}

// leave leaves the group, so that its partitions move on at once.
func (g *Group) leave() error {
	ctx, cancel := context.WithTimeout(context.Background(), leaveMax)
	defer cancel()
	member := g.member()
	err := g.client.LeaveGroupContext(ctx)
	if err == nil && g.options.LeaveStatic && member.InstanceID != nil && member.ID != "" {
		err = leaveStatic(ctx, g.client, g.options.Group, member)
	}
	if err != nil {
		return fmt.Errorf("leave group %q: %w", g.options.Group, err)
	}
	return nil
}
