package main

import (
	"math/rand/v2"
	"strings"
)

// verse is the beginning of William Blake's "Auguries of Innocence".
var verse = strings.Split(`to see a world in a grain of sand
and a heaven in a wild flower
hold infinity in the palm of your hand
and eternity in an hour
a robin red breast in a cage
puts all heaven in a rage
a dove house filled with doves and pigeons
shudders hell through all its regions
a dog starved at his master's gate
predicts the ruin of the state`, "\n")

// poem returns line i of an endless poem: the same seed, the same poem.
func poem(seed uint64, i int64) string {
	return verse[rand.New(rand.NewPCG(seed, uint64(i))).IntN(len(verse))]
}

// countAtOnce is what the topology is held against: one loop over all lines.
func countAtOnce(seed uint64, count int64) (counts map[string]int64, words int64) {
	counts = map[string]int64{}
	for i := range count {
		for word := range strings.FieldsSeq(poem(seed, i)) {
			counts[word]++
			words++
		}
	}
	return counts, words
}
