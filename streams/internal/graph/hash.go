package graph

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
)

// hashBytes of SHA-256 tell descriptions apart; as hexadecimal digits they are still short enough to be read.
const hashBytes = 8

// hash returns a few digits that differ when values do. The values have to be ones that JSON takes.
func hash(values ...any) string {
	text, err := json.Marshal(values)
	if err != nil {
		panic(err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:hashBytes])
}

// Hash tells versions of a sub-topology apart that cannot take over each other's tasks: those that differ in what they read or
// store. What else they do with it may differ.
func (s *Subtopology) Hash() string { return hash(s.Name, s.Sources, s.Stores) }
