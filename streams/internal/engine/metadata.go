package engine

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/millrace/millrace/windows"
)

// metadataBytesMax is what brokers take as the metadata of an offset unless told otherwise (offset.metadata.max.bytes).
const metadataBytesMax = 4096

// metadata goes along with the committed offsets of a task.
type metadata struct {
	Commit   int64                         `json:"commit"`  // counts the task's commits
	Session  string                        `json:"session"` // of the process that committed
	StreamMs int64                         `json:"streamMs"`
	Clocks   map[string]windows.ClockState `json:"clocks,omitempty"`
}

// id is unlike that of any other commit of the task.
func (m metadata) id() string { return fmt.Sprintf("%d-%s", m.Commit, m.Session) }

func (m metadata) encode() (string, error) {
	data, err := json.Marshal(m)
	if err != nil {
		return "", err
	}
	if len(data) > metadataBytesMax {
		return "", fmt.Errorf("the clocks of %d windowed stores make %d bytes of offset metadata, of which brokers take %d: "+
			"split the topology by a repartition, or give stores shorter names", len(m.Clocks), len(data), metadataBytesMax)
	}
	return string(data), nil
}

// parseMetadata reads what encode wrote. Other text, as of tools that set offsets, is none.
func parseMetadata(text string) (m metadata, ok bool) {
	if !strings.HasPrefix(text, `{"commit":`) {
		return metadata{}, false
	}
	return m, json.Unmarshal([]byte(text), &m) == nil
}

// CommitID returns the id of the commit that the metadata of an offset belongs to, "" if it is not a task's.
func CommitID(text string) string {
	if m, ok := parseMetadata(text); ok {
		return m.id()
	}
	return ""
}
