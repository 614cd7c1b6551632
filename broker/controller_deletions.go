package broker

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/millrace/millrace/broker/internal/metadata"
	"github.com/millrace/millrace/internal/disk"
)

// partitionIDFile is Kafka's file that says to which topic a partition directory belongs.
const partitionIDFile = "partition.metadata"

// finishDeletions removes the directories of topics whose removal is committed and was interrupted.
// A directory whose topic was not removed by a record of the metadata log is never touched here.
func (c *controller) finishDeletions() error {
	if len(c.removed) == 0 {
		return nil
	}
	names := make(map[string]bool, len(c.removed))
	for _, name := range c.removed {
		names[name] = true
	}
	entries, err := c.fs.List(c.dataDir)
	if err != nil {
		return fmt.Errorf("list data directory: %w", err)
	}
	for _, entry := range entries {
		if !entry.IsDir {
			continue
		}
		if id, ok := parseDeletedDir(entry.Name); ok && c.isRemoved(id) {
			if err := disk.RemoveAll(c.fs, filepath.Join(c.dataDir, entry.Name)); err != nil {
				return fmt.Errorf("remove deleted partition: %w", err)
			}
		}
		// To read what topic a directory belongs to takes a while with thousands of them.
		name, index, ok := parsePartitionDir(entry.Name)
		if !ok || !names[name] {
			continue
		}
		if id, ok := c.partitionID(entry.Name); ok && c.isRemoved(id) {
			if err := c.deletePartition(name, index, id); err != nil {
				return err
			}
		}
	}
	return nil
}

// parseDeletedDir returns the topic id in the name of a directory that was renamed to be deleted.
func parseDeletedDir(name string) (id [16]byte, ok bool) {
	rest, ok := strings.CutSuffix(name, deletedDirSuffix)
	dot := strings.LastIndexByte(rest, '.')
	if !ok || dot < 0 || len(rest)-dot-1 != hex.EncodedLen(len(id)) {
		return id, false
	}
	_, err := hex.Decode(id[:], []byte(rest[dot+1:]))
	return id, err == nil
}

func (c *controller) isRemoved(id [16]byte) bool {
	_, ok := c.removed[id]
	return ok
}

// clear makes room for a new partition: a directory in its place that belongs to a removed topic is deleted.
// One that belongs to any other topic stays, and the partition will be offline.
func (c *controller) clear(t *metadata.Topic, index int32) error {
	name := partitionDirName(t.Name, index)
	if _, err := c.fs.Stat(filepath.Join(c.dataDir, name)); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return fmt.Errorf("look for a leftover partition: %w", err)
	}
	id, ok := c.partitionID(name)
	if !ok || !c.isRemoved(id) {
		return nil
	}
	return c.deletePartition(t.Name, index, id)
}

func (c *controller) deletePartition(topic string, index int32, id [16]byte) error {
	c.logger.Info("deleting what a deletion has left", "topic", topic, "partition", index, "id", idText(id))
	return c.partitions.deleteDir(c.partitions.dir(topic, index), asideName(topic, index, id, deletedDirSuffix))
}

// partitionID reads to which topic a partition directory belongs. ok is false if that is not to be found out.
func (c *controller) partitionID(dir string) (id [16]byte, ok bool) {
	text, err := disk.ReadFile(c.fs, filepath.Join(c.dataDir, dir, partitionIDFile))
	if err != nil {
		return id, false
	}
	for line := range strings.Lines(string(text)) {
		value, found := strings.CutPrefix(strings.TrimSpace(line), "topic_id:")
		if !found {
			continue
		}
		decoded, err := base64.RawURLEncoding.DecodeString(strings.TrimSpace(value))
		if err != nil || len(decoded) != len(id) {
			return id, false
		}
		return [16]byte(decoded), true
	}
	return id, false
}
