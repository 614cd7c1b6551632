package streams_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/streams"
)

// outage is how long the broker is away: many times what a request, a session or a transaction may take with boundsOfOutage, as an outage
// of minutes is with the usual ones.
const outage = 8 * time.Second

// boundsOfOutage make all that has a bound give up soon, if it ever does.
func boundsOfOutage() []kgo.Opt {
	return []kgo.Opt{
		kgo.SessionTimeout(time.Second), kgo.HeartbeatInterval(100 * time.Millisecond),
		kgo.RequestRetries(1), kgo.RetryTimeout(time.Second), kgo.RequestTimeoutOverhead(time.Second),
	}
}

// TestALongOutageEndsNothing is the row "the broker is away" for longer than anything waits: the transaction that was open is aborted
// for its age, the member's session is over, requests have failed for good. What was not committed is done again.
func TestALongOutageEndsNothing(t *testing.T) {
	for name, guarantee := range map[string]streams.Guarantee{"exactly once": streams.ExactlyOnce, "at least once": streams.AtLeastOnce} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t)
			c.wordTopics(2)
			var counted atomic.Int64
			app := c.run(counting(func(string) { counted.Add(1) }), streams.Config{
				Guarantee: guarantee, CommitInterval: 500 * time.Millisecond, ProcessTimeout: time.Second, Client: boundsOfOutage(),
			})
			c.sendWords(2, 7, 0, 100)
			c.eventually("the first words", func() bool { return len(c.read("counts")) >= 100 })
			c.sendWords(2, 7, 100, 200)
			c.eventually("work that is not committed", func() bool { return counted.Load() > 100 })
			c.broker.Close()
			began := time.Now()
			c.eventually("the end of the outage", func() bool { return time.Since(began) >= outage })
			if state := app.State(); state != streams.Unreachable {
				t.Errorf("state %v", state)
			}
			c.start()
			c.eventually("it goes on", func() bool { return app.State() == streams.Running })
			c.sendWords(2, 7, 200, 300)
			if guarantee == streams.ExactlyOnce {
				c.awaitCounts(7, 300)
			} else {
				c.awaitCountsAtLeast(7, 300)
			}
			app.mustStop()
		})
	}
}

// TestALongOutageWhileRestoring has the broker go while stores are restored.
func TestALongOutageWhileRestoring(t *testing.T) {
	c := newCluster(t)
	c.wordTopics(1)
	words := c.countInPortions(8)
	var tables atomic.Int64
	away, back := make(chan struct{}), make(chan struct{})
	app := c.runAdapted(counting(nil), streams.Config{Client: boundsOfOutage()}, portions(func() {
		if tables.Add(1) == 3 {
			close(away)
			<-back
		}
	}))
	<-away
	c.broker.Close()
	close(back)
	began := time.Now()
	c.eventually("the end of the outage", func() bool { return time.Since(began) >= outage })
	if state := app.State(); state != streams.Unreachable {
		t.Errorf("state %v", state)
	}
	c.start()
	c.sendWords(1, manyWords, words, words+portionWords)
	c.awaitCounts(manyWords, words+portionWords)
	app.mustStop()
}
