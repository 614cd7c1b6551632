package streams_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams"
	"github.com/millrace/millrace/streams/serde"
)

func TestQueriesReadWhatIsCommitted(t *testing.T) {
	c := newCluster(t)
	c.wordTopics(3)
	c.sendWords(3, 7, 0, 70)
	app := c.run(counting(nil), streams.Config{})
	c.awaitCounts(7, 70)
	c.eventually("all counts in the store", func() bool {
		total := int64(0)
		for row, err := range streams.Range(t.Context(), app.App, wordStore, nil, nil) {
			if err != nil {
				t.Fatal(err)
			}
			total += row.Value
		}
		return total == 70
	})
	for word := range 7 {
		if n, found, err := streams.Get(t.Context(), app.App, wordStore, fmt.Sprint("word-", word)); n != 10 || !found || err != nil {
			t.Errorf("word-%d: %d, %v, %v", word, n, found, err)
		}
	}
	if _, found, err := streams.Get(t.Context(), app.App, wordStore, "nothing"); found || err != nil {
		t.Errorf("a word that never came: %v, %v", found, err)
	}
	other := state.NewKV("others", serde.String, serde.Int64)
	if _, _, err := streams.Get(t.Context(), app.App, other, "x"); err == nil || !strings.Contains(err.Error(), "has no store others") {
		t.Errorf("a store that there is not: %v", err)
	}
	wrong := state.NewKV(wordStore.Name(), serde.String, serde.String)
	if _, _, err := streams.Get(t.Context(), app.App, wrong, "word-1"); !errors.Is(err, state.ErrSpec) {
		t.Errorf("with another codec: %v", err)
	}
	app.mustStop()
	if _, _, err := streams.Get(t.Context(), app.App, wordStore, "word-1"); !errors.Is(err, streams.ErrNotHere) {
		t.Errorf("after the end: %v", err)
	}
	for _, err := range streams.Range(t.Context(), app.App, wordStore, nil, nil) {
		if !errors.Is(err, streams.ErrNotHere) {
			t.Errorf("a walk after the end: %v", err)
		}
	}
}

// Each key is in exactly one of two processes; the other one names the partition that it does not have.
func TestAQueryForAKeyElsewhereNamesItsPartition(t *testing.T) {
	c := newCluster(t)
	c.wordTopics(4)
	c.sendWords(4, 20, 0, 100)
	apps := []*running{c.run(counting(nil), streams.Config{}), c.run(counting(nil), streams.Config{})}
	c.awaitCounts(20, 100)
	c.eventually("each word in one of them", func() bool {
		here := [2]int{}
		for word := range 20 {
			found := 0
			for at, app := range apps {
				n, ok, err := streams.Get(t.Context(), app.App, wordStore, fmt.Sprint("word-", word))
				switch {
				case ok && n == 5:
					found++
					here[at]++
				case !ok && errors.Is(err, streams.ErrNotHere):
				default:
					return false
				}
			}
			if found != 1 {
				return false
			}
		}
		return here[0] > 0 && here[1] > 0
	})
	for word := range 20 {
		for _, app := range apps {
			_, ok, err := streams.Get(t.Context(), app.App, wordStore, fmt.Sprint("word-", word))
			if !ok && !strings.Contains(fmt.Sprint(err), "partition ") {
				t.Errorf("word-%d: %v", word, err)
			}
		}
	}
}
