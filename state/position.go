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
	WrittenMs  int64                `json:"writtenMs"` // wall time, as the caller tells it
}

// Changelog is a place in the changelog of a store.
type Changelog struct {
	TopicID    [16]byte `json:"topicId"`
	NextOffset int64    `json:"nextOffset"` // of the first record that is not contained
}

// clone keeps a caller's map out.
func (p Position) clone() Position {
	p.Changelogs = maps.Clone(p.Changelogs)
	return p
}

// advance is p after next: changelogs that next does not name stay where they are.
func (p Position) advance(next Position) Position {
	changelogs := maps.Clone(p.Changelogs)
	if changelogs == nil {
		changelogs = map[string]Changelog{}
	}
	maps.Copy(changelogs, next.Changelogs)
	next.Changelogs = changelogs
	return next
}

func (p Position) encode() ([]byte, error) { return json.Marshal(p) }

func decodePosition(data []byte) (p Position, err error) {
	if err := json.Unmarshal(data, &p); err != nil {
		return Position{}, fmt.Errorf("decode position %q: %w", data, err)
	}
	return p, nil
}
