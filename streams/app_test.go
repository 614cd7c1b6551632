package streams_test

import (
	"testing"

	"github.com/millrace/millrace/streams"
)

func TestCountsWords(t *testing.T) {
	for name, guarantee := range map[string]streams.Guarantee{"exactly once": streams.ExactlyOnce, "at least once": streams.AtLeastOnce} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t)
			c.wordTopics(2)
			c.sendWords(2, 7, 0, 100)
			app := c.run(counting(nil), streams.Config{Guarantee: guarantee})
			c.awaitCounts(7, 100)
			c.sendWords(2, 7, 100, 150)
			c.awaitCounts(7, 150)
			app.mustStop()
			for _, state := range []streams.State{streams.Starting, streams.Restoring, streams.Running, streams.Stopping, streams.Stopped} {
				if !app.log.has(state) {
					t.Errorf("state %v was not told", state)
				}
			}
			if app.State() != streams.Stopped {
				t.Errorf("state %v", app.State())
			}
		})
	}
}
