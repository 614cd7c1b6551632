package engine

import (
	"cmp"
	"encoding/json"
	"slices"

	"github.com/millrace/millrace/streams/internal/balance"
)

// memberDataVersion is the version of the format. A member of another one is assigned tasks as if it had said nothing.
const memberDataVersion = 1

// memberData is what a member tells the leader of its group besides what Kafka's protocol has: the user data of its metadata.
type memberData struct {
	Process  string
	Variants []balance.Variant
	Stored   map[balance.Task]int64
}

// memberJSON is memberData as it is sent: JSON, since it is sent seldom and people look at it.
type memberJSON struct {
	Version  int               `json:"version"`
	Process  string            `json:"process"`
	Variants []balance.Variant `json:"subtopologies"`
	Stored   []storedJSON      `json:"stored,omitempty"`
}

type storedJSON struct {
	Subtopology string `json:"subtopology"`
	Partition   int32  `json:"partition"`
	Offsets     int64  `json:"offsets"` // sum of what is stored of the task's changelogs
}

// encode orders all that it writes: a coordinator takes other bytes for a reason to rebalance.
func (d memberData) encode() []byte {
	wire := memberJSON{Version: memberDataVersion, Process: d.Process, Variants: d.Variants}
	for task, offsets := range d.Stored {
		wire.Stored = append(wire.Stored, storedJSON{task.Subtopology, task.Partition, offsets})
	}
	slices.SortFunc(wire.Stored, func(a, b storedJSON) int {
		return cmp.Or(cmp.Compare(a.Subtopology, b.Subtopology), cmp.Compare(a.Partition, b.Partition))
	})
	data, err := json.Marshal(wire)
	if err != nil {
		panic(err) // strings and numbers only
	}
	return data
}

func decodeMemberData(data []byte) (d memberData, ok bool) {
	var wire memberJSON
	if err := json.Unmarshal(data, &wire); err != nil || wire.Version != memberDataVersion || len(wire.Variants) == 0 {
		return memberData{}, false
	}
	d = memberData{Process: wire.Process, Variants: wire.Variants, Stored: map[balance.Task]int64{}}
	for _, s := range wire.Stored {
		d.Stored[balance.Task{Subtopology: s.Subtopology, Partition: s.Partition}] = s.Offsets
	}
	return d, true
}
