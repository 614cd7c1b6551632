package log

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/millrace/millrace/internal/disk"
)

// partition.metadata says which topic the directory belongs to, in Kafka's format (PartitionMetadataFile, KIP-516):
// a line "version: 0" and a line "topic_id: " with the id in URL-safe base64 without padding.

func encodeTopicID(id [16]byte) []byte {
	return fmt.Appendf(nil, "version: 0\ntopic_id: %s\n", base64.RawURLEncoding.EncodeToString(id[:]))
}

func decodeTopicID(data []byte) (id [16]byte, err error) {
	for line := range strings.Lines(string(data)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch {
		case name == "version" && value != "0":
			return id, fmt.Errorf("version %q of the file: %w", value, ErrNewerFormat)
		case name == "topic_id":
			raw, err := base64.RawURLEncoding.DecodeString(value)
			if err != nil || len(raw) != len(id) {
				return id, fmt.Errorf("topic id %q", value)
			}
			return [16]byte(raw), nil
		}
	}
	return id, errors.New("no topic id")
}

// checkTopicID compares the directory's topic id with the one expected. present is false if the directory has none.
func checkTopicID(fsys disk.FS, dir string, expected [16]byte) (present bool, err error) {
	if expected == ([16]byte{}) {
		return true, nil
	}
	name := filepath.Join(dir, partitionMetadataName)
	data, err := disk.ReadFile(fsys, name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	id, err := decodeTopicID(data)
	if err != nil {
		return false, &CorruptError{Path: name, Err: err}
	}
	if id != expected {
		return false, fmt.Errorf("%s: the directory is of topic id %s, expected %s", name,
			base64.RawURLEncoding.EncodeToString(id[:]), base64.RawURLEncoding.EncodeToString(expected[:]))
	}
	return true, nil
}
