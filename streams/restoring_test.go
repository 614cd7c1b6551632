package streams_test

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/streams"
	"github.com/millrace/millrace/streams/internal/engine"
)

// abandonSoon is how long a function is waited for that was told to end: long for one that returns, however busy the machine.
const abandonSoon = 2 * time.Second

// portions makes an App restore one batch at a time, each with its position. onTable is called before each file of data is created.
func portions(onTable func()) func(*engine.Options) {
	return func(o *engine.Options) {
		o.Client = append(o.Client, kgo.FetchMaxPartitionBytes(1))
		o.RestoreBytes, o.AbandonTimeout = 1, abandonSoon
		o.State.FS = errorfs.Wrap(vfs.Default, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind == errorfs.OpCreate && strings.HasSuffix(op.Path, ".sst") {
				onTable()
			}
			return nil
		}))
	}
}

// Each portion of a restore has words of its own, since a later value would hide that one is missing.
const portionWords, manyWords = 20, 1000

// countInPortions has words counted in commits of their own, and returns how many.
func (c *cluster) countInPortions(commits int) (words int) {
	c.t.Helper()
	app := c.run(counting(nil), streams.Config{})
	for range commits {
		c.sendWords(1, manyWords, words, words+portionWords)
		words += portionWords
		c.awaitCounts(manyWords, words)
	}
	app.mustStop()
	return words
}

// TestASlowDiskIsNoBlockedFunction has Run end while what is restored waits for the disk, for many times as long as a function is waited
// for: it is waited for, and told what for.
func TestASlowDiskIsNoBlockedFunction(t *testing.T) {
	c := newCluster(t)
	c.wordTopics(1)
	words := c.countInPortions(5)
	entered, goOn := make(chan struct{}), make(chan struct{})
	var once sync.Once
	dir := t.TempDir()
	app := c.runAdapted(counting(nil), streams.Config{StateDir: dir}, portions(func() {
		once.Do(func() { close(entered) })
		<-goOn
	}))
	<-entered
	c.eventually("a second portion", func() bool { return streams.Restored(app.App) > portionWords })
	app.cancel()
	c.eventually("a warning", func() bool { return app.log.says("task word-counts/0: writing restored stores, word-counts") })
	select {
	case err := <-app.result:
		t.Errorf("Run has returned %v", err)
		app.result <- err
	default:
	}
	close(goOn)
	app.mustStop()
	next := c.run(counting(nil), streams.Config{StateDir: dir})
	c.sendWords(1, manyWords, words, words+portionWords)
	c.awaitCounts(manyWords, words+portionWords)
	next.mustStop()
}

// TestCutWhileRestoring is the row "crash in RESTORING": a process is gone when some of its changelog is restored, so is the next one, and the
// one behind it ends up with the state of a process that was never disturbed.
func TestCutWhileRestoring(t *testing.T) {
	c := newCluster(t)
	c.wordTopics(1)
	words := c.countInPortions(8)
	undisturbed, dir := t.TempDir(), t.TempDir()
	c.run(counting(nil), streams.Config{StateDir: undisturbed}).awaitRunning().mustStop()
	for i := range 3 {
		net, cut := newNetwork(fault{}), make(chan string, 1)
		var tables atomic.Int64
		app := c.runAdapted(counting(nil), streams.Config{StateDir: dir, ProcessTimeout: 100 * time.Millisecond, Client: []kgo.Opt{net.option()}}, portions(func() {
			if tables.Add(1) == 3 { // two portions are on the disk
				net.takeDown()
				cut <- c.image(dir)
			}
		}))
		dir = <-cut
		_ = app.stop() // it may not say anything any more
		if n := streams.Restored(app.App); n == 0 || app.tasks() > 0 {
			t.Fatalf("cut %d: %d records were restored, %d tasks run", i, n, app.tasks())
		}
	}
	last := c.run(counting(nil), streams.Config{StateDir: dir}).awaitRunning()
	if n := streams.Restored(last.App); n == 0 || int(n) >= words {
		t.Errorf("%d records were left to restore, of %d", n, words)
	}
	last.mustStop()
	if last.log.says("wiped") {
		t.Error("state was wiped")
	}
	if got, want := contents(t, dir), contents(t, undisturbed); got != want || strings.Count(want, "word-") < words {
		t.Errorf("the state is %s, that of an undisturbed process %s", got, want)
	}
	last = c.run(counting(nil), streams.Config{StateDir: dir})
	c.sendWords(1, manyWords, words, words+portionWords)
	c.awaitCounts(manyWords, words+portionWords)
	last.mustStop()
}

// contents returns all that the task of the word count has on the disk, but for its position, which tells when it was written.
func contents(t *testing.T, stateDir string) string {
	t.Helper()
	db, err := pebble.Open(filepath.Join(stateDir, "app", "word-counts", "0"), &pebble.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	all, err := db.NewIter(nil)
	if err != nil {
		t.Fatal(err)
	}
	for ok := all.First(); ok; ok = all.Next() {
		if !bytes.HasSuffix(all.Key(), []byte("position")) {
			fmt.Fprintf(&text, "%q=%q\n", all.Key(), all.Value())
		}
	}
	if err := errors.Join(all.Close(), db.Close()); err != nil {
		t.Fatal(err)
	}
	return text.String()
}
