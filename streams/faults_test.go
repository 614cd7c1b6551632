package streams_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/streams"
)

// points are the requests of a commit, in their order: what is produced (OPEN, PREPARE), offsets (OFFSETS), the end (ENDING). What
// comes behind the end is the state APPLY: a process that never hears of the end has applied nothing.
var points = []struct {
	state string
	key   kmsg.Key
	n     int
}{
	{"first record produced", kmsg.Produce, 1},
	{"later record produced", kmsg.Produce, 7},
	{"offsets", kmsg.TxnOffsetCommit, 3},
	{"end", kmsg.EndTxn, 3},
	{"later end", kmsg.EndTxn, 9},
}

// TestCrash is the rows "crash at OPEN / PREPARE", "after EndTxn was sent, before its answer", "after the commit, before APPLY" and
// "after APPLY, before the memtable is flushed": a process is gone at each request of a commit, before it is sent and before
// its answer comes, and another begins with what is on its disk.
func TestCrash(t *testing.T) {
	for _, point := range points {
		for _, sent := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, sent %v", point.state, sent), func(t *testing.T) {
				t.Parallel()
				c := newCluster(t)
				c.wordTopics(2)
				net := newNetwork(fault{key: point.key, n: point.n, sent: sent, crash: true})
				dir := t.TempDir()
				first := c.run(counting(nil), streams.Config{StateDir: dir, Client: []kgo.Opt{net.option()}, ProcessTimeout: 100 * time.Millisecond})
				sentWords := c.feed(net.struckc)
				image := c.image(dir)
				_ = first.stop() // it may not say anything any more
				second := c.run(counting(nil), streams.Config{StateDir: image})
				c.awaitCounts(7, sentWords)
				c.sendWords(2, 7, sentWords, sentWords+50)
				c.awaitCounts(7, sentWords+50)
				second.mustStop()
				if second.log.says("wiped") {
					t.Error("state was wiped")
				}
			})
		}
	}
}

// TestFault is the same rows for a process that lives on: an answer, or a request, is lost, and what became of the transaction is
// found out (IN_DOUBT).
func TestFault(t *testing.T) {
	for _, point := range points {
		for _, sent := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, sent %v", point.state, sent), func(t *testing.T) {
				t.Parallel()
				c := newCluster(t)
				c.wordTopics(2)
				net := newNetwork(fault{key: point.key, n: point.n, sent: sent})
				app := c.run(counting(nil), streams.Config{Client: []kgo.Opt{net.option(), kgo.RequestRetries(0)}})
				n := c.feed(net.struckc)
				c.awaitCounts(7, n)
				app.mustStop()
			})
		}
	}
}

// feed sends words until something has happened, and returns how many it were.
func (c *cluster) feed(happened <-chan struct{}) (n int) {
	c.t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for {
		c.sendWords(2, 7, n, n+20)
		n += 20
		select {
		case <-happened:
			return n
		case <-deadline.C:
			c.t.Fatal("the fault does not happen")
		default:
		}
	}
}

// image copies a state directory as a crash would leave it: files that are not there any more when they are copied are not missed.
func (c *cluster) image(dir string) string {
	c.t.Helper()
	to := c.t.TempDir()
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return os.MkdirAll(filepath.Join(to, name), 0o755)
		}
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, name), data, 0o644)
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return to
}
