package broker

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/internal/disk"
)

func TestIntervalFlushSyncsInTheBackground(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, dial := brokerOn(t, disk.NewMem(), nil)
		c := dial()
		topicWith(t, b, "lazy", 1, map[string]string{"flush": "os"})
		topicWith(t, b, "t", 1, map[string]string{"flush": "interval", "flush.ms": "300"})
		produceTo(t, c, "t", 0, "v")
		produceTo(t, c, "lazy", 0, "v")
		p, lazy := b.partitions.lookup("t", 0), b.partitions.lookup("lazy", 0)
		if o := p.Offsets(); o.HighWatermark != 1 || o.Durable != 0 {
			t.Errorf("after the produce %+v", o)
		}
		time.Sleep(700 * time.Millisecond)
		synctest.Wait()
		if o := p.Offsets(); o.Durable != 1 {
			t.Errorf("after two intervals %+v", o)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if syncs := p.Stats().Syncs; syncs != 1 {
			t.Errorf("%d syncs of one append", syncs)
		}
		produceTo(t, c, "t", 0, "v")
		time.Sleep(700 * time.Millisecond)
		synctest.Wait()
		if o := p.Offsets(); o.Durable != 2 {
			t.Errorf("after a minute and two intervals %+v", o)
		}
		if o := lazy.Offsets(); o.Durable != 0 {
			t.Errorf("flush=os %+v", o)
		}
	})
}

func TestRetentionByTimeRunsInTheBackground(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, dial := brokerOn(t, disk.NewMem(), map[string]string{"log.retention.check.interval.ms": "60000"})
		topicWith(t, b, "t", 1, map[string]string{"retention.ms": "3600000", "message.timestamp.type": "LogAppendTime"})
		produceTo(t, dial(), "t", 0, "v")
		time.Sleep(59 * time.Minute)
		if start := listed(t, dial(), 5, "t", 0, -2).Offset; start != 0 {
			t.Errorf("log start %d before the time", start)
		}
		time.Sleep(3 * time.Minute)
		c := dial()
		if start := listed(t, c, 5, "t", 0, -2).Offset; start != 1 {
			t.Errorf("log start %d after the time", start)
		}
		if got := b.metrics.topic("t").retainedBytes.Load(); got == 0 {
			t.Error("what retention deleted is not counted")
		}
		wantTold(t, c.ask(fetchRequest("t", 1, 0)), "0:0")
	})
}

func TestMaintainerThatNeverStartedStops(t *testing.T) {
	(&maintainer{}).stop()
}
