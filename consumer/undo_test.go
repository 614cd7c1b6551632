package consumer_test

import (
	"context"
	"io"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/millrace/millrace/consumer"
)

// lanes is a handler whose last partition of one lane takes its time to be assigned, and fails on behalf of another lane meanwhile.
type lanes struct {
	handler
	left      atomic.Int32 // partitions of the lane that are not assigned
	assigning atomic.Bool
	fail      chan struct{}
	once      sync.Once
}

func (l *lanes) Assigned(ctx context.Context, p *consumer.Partition) (consumer.Processor, error) {
	if p.Partition > 0 && l.left.Add(-1) == 0 {
		l.assigning.Store(true)
		defer l.assigning.Store(false)
		l.once.Do(func() { close(l.fail) })
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return l, nil
}

// The processors of a lane are called one at a time, also when its work is undone while another of its partitions is being assigned.
func TestNothingIsRevokedDuringAnAssignmentOfItsLane(t *testing.T) {
	const partitions = 16
	c := newCluster(t)
	input := c.topic("input", partitions)
	c.produce(input, partitions, 0, partitions)
	l := &lanes{fail: make(chan struct{})}
	l.left.Store(partitions - 1)
	var failed atomic.Bool
	var together atomic.Int32
	rewound := make(chan struct{})
	l.process = func(_ context.Context, batch *consumer.Batch) error {
		if batch.Partition.Partition > 0 {
			return nil
		}
		if failed.Swap(true) {
			close(rewound)
			return nil
		}
		<-l.fail
		return io.ErrUnexpectedEOF
	}
	l.revoked = func(p *consumer.Partition, _ consumer.Reason) {
		if p.Partition > 0 && l.assigning.Load() {
			together.Add(1)
		}
	}
	options := c.transactional(input, input, l)
	options.Retry = consumer.RetryTimes(3, 0)
	options.Lane = func(p consumer.TopicPartition) string {
		if p.Partition > 0 {
			return "many"
		}
		return "one"
	}
	stop := run(t, options)
	<-rewound
	if err := stop(); err != nil {
		t.Error(err)
	}
	if n := together.Load(); n > 0 {
		t.Errorf("Revoked was called %d times during Assigned", n)
	}
}
