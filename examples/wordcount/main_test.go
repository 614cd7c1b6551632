package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"testing"

	"github.com/millrace/millrace/examples/internal/stagetest"
	"github.com/millrace/millrace/streams/streamstest"
)

func TestWordcountVerifies(t *testing.T) {
	stagetest.Verify(t, example, 500, "lines=500 ", "lost=0", "duplicated=0")
}

func TestThePictureIsTheTopology(t *testing.T) { stagetest.Picture(t, topology()) }

func TestThePoemIsTheSameForever(t *testing.T) {
	hash := sha256.New()
	for i := range int64(1000) {
		fmt.Fprintln(hash, poem(1, i))
	}
	const want = "ecb18e761b25a37a"
	if got := hex.EncodeToString(hash.Sum(nil))[:16]; got != want {
		t.Errorf("hash %s, want %s", got, want)
	}
}

// TestWordsAreCounted needs no broker: the whole topology runs in the test, in several partitions.
func TestWordsAreCounted(t *testing.T) {
	d := streamstest.New(t, topology(), streamstest.Options{})
	streamstest.Send(d, lines, 1, "a grain of sand")
	streamstest.Send(d, lines, 2, "a wild flower")
	d.Drain()
	want := map[string]int64{"a": 2, "grain": 1, "of": 1, "sand": 1, "wild": 1, "flower": 1}
	if got := streamstest.KV(d, store); !maps.Equal(got, want) {
		t.Errorf("counted %v, not %v", got, want)
	}
}
