package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/millrace/millrace/cmd/millrace/internal/output"
)

// offsetsFile is the form of files that group export writes, group seek leaves for undoing, and
// group import reads.
const (
	offsetsFile         = "millrace group offsets"
	offsetsFileVersion  = 1
	offsetsFileBytesMax = 256 << 20
)

// groupOffsets are the offsets of one group at one time.
type groupOffsets struct {
	File        string        `json:"file"`
	FileVersion int           `json:"file_version"`
	ClusterID   string        `json:"cluster_id"`
	Group       string        `json:"group"`
	Time        time.Time     `json:"time"`
	Offsets     []groupOffset `json:"offsets"`
}

// groupOffset is where a group goes on in one partition. A null Offset is none: reading such a file
// back deletes what was committed since.
type groupOffset struct {
	Topic       string `json:"topic"`
	Partition   int32  `json:"partition"`
	Offset      *int64 `json:"offset"`
	LeaderEpoch int32  `json:"leader_epoch"` // -1: not known
	Metadata    string `json:"metadata"`
}

// Tables returns one row per partition.
func (g *groupOffsets) Tables() []output.Table {
	table := output.Table{
		Title:   fmt.Sprintf("group %s  cluster %s  time %s", g.Group, g.ClusterID, g.Time.Format(time.RFC3339)),
		Headers: []string{"TOPIC", "PARTITION", "OFFSET", "METADATA"},
	}
	for _, o := range g.Offsets {
		table.Rows = append(table.Rows, []string{o.Topic, number(o.Partition), optional(o.Offset), o.Metadata})
	}
	return []output.Table{table}
}

// readOffsetsFile reads the file name, or r if that is "-". An error is one line that has the name.
func readOffsetsFile(name string, stdin io.Reader) (*groupOffsets, error) {
	r := stdin
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		r = file
	}
	data, err := io.ReadAll(io.LimitReader(r, offsetsFileBytesMax+1))
	if err != nil {
		return nil, err
	}
	offsets, err := parseOffsets(data)
	var kind *json.UnmarshalTypeError
	if errors.As(err, &kind) {
		err = fmt.Errorf("its %s at byte %d is not of that form", kind.Value, kind.Offset)
	}
	if err != nil {
		return nil, fmt.Errorf("%s is no file of group export or group seek: %w", name, err)
	}
	return offsets, nil
}

func parseOffsets(data []byte) (*groupOffsets, error) {
	if len(data) > offsetsFileBytesMax {
		return nil, fmt.Errorf("longer than %d bytes", offsetsFileBytesMax)
	}
	var g groupOffsets
	if err := json.Unmarshal(data, &g); err != nil {
		return nil, err
	}
	switch {
	case g.File != offsetsFile:
		return nil, fmt.Errorf("its \"file\" is %q and not %q", g.File, offsetsFile)
	case g.FileVersion != offsetsFileVersion:
		return nil, fmt.Errorf("version %d of it, this program reads version %d", g.FileVersion, offsetsFileVersion)
	case g.Group == "" || g.ClusterID == "":
		return nil, errors.New("it lacks the group or the cluster_id")
	}
	seen := map[partitionKey]bool{}
	for i, o := range g.Offsets {
		key := partitionKey{o.Topic, o.Partition}
		switch {
		case o.Topic == "" || o.Partition < 0 || o.Offset != nil && *o.Offset < 0:
			return nil, fmt.Errorf("entry %d names no topic, partition and offset", i+1)
		case seen[key]:
			return nil, fmt.Errorf("topic %q partition %d is there twice", o.Topic, o.Partition)
		}
		seen[key] = true
	}
	return &g, nil
}

// writeUndo stores g in a new file and returns its name: the chosen one, else one in the user's
// state directory. Its bytes are synced when writeUndo returns.
func (g *groupOffsets) writeUndo(chosen string) (name string, err error) {
	if name = chosen; name == "" {
		dir, err := stateDir()
		if err != nil {
			return "", err
		}
		name = filepath.Join(dir, "undo", url.PathEscape(g.Group)+"-"+g.Time.Format("20060102T150405.000000000Z")+".json")
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			return "", err
		}
	}
	file, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return "", err
	}
	encoder := json.NewEncoder(file)
	encoder.SetIndent("", "  ")
	return name, errors.Join(encoder.Encode(g), file.Sync(), file.Close())
}

// stateDir is where this program keeps what is not configuration.
func stateDir() (string, error) {
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "millrace"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("%w; set XDG_STATE_HOME", err)
	}
	return filepath.Join(home, ".local", "state", "millrace"), nil
}
