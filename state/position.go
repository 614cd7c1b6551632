package state

import (
	"encoding/json"
	"fmt"
	"maps"
)

// Position says which state it is: how far each changelog is contained, and by which commit.
type Position struct {
	Changelogs map[string]Changelog `json:"changelogs"` // by store
	CommitID   string               `json:"commitId"`
	WrittenMs  int64                `json:"writtenMs"`        // wall time, as the caller tells it
	Inputs     map[string]int64     `json:"inputs,omitempty"` // by topic: the first offset that is not in it; nil if the caller did not tell
}

// Changelog is a place in the changelog of a store.
type Changelog struct {
	TopicID    [16]byte `json:"topicId"`
	NextOffset int64    `json:"nextOffset"` // of the first record that is not contained
}

// clone keeps a caller's map out.
func (p Position) clone() Position {
	p.Changelogs, p.Inputs = maps.Clone(p.Changelogs), maps.Clone(p.Inputs)
	return p
}

// advance is p after next: changelogs that next does not name stay where they are.
func (p Position) advance(next Position) Position {
	changelogs := maps.Clone(p.Changelogs)
	if changelogs == nil {
		changelogs = map[string]Changelog{}
	}
	maps.Copy(changelogs, next.Changelogs)
	next.Changelogs, next.Inputs = changelogs, maps.Clone(next.Inputs)
	return next
}

func (p Position) encode() ([]byte, error) { return json.Marshal(p) }

func decodePosition(data []byte) (p Position, err error) {
	if err := json.Unmarshal(data, &p); err != nil {
		return Position{}, fmt.Errorf("decode position %q: %w", data, err)
	}
	return p, nil
}
