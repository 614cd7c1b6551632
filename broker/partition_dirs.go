package broker

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/millrace/millrace/broker/internal/metadata"
	"github.com/millrace/millrace/internal/disk"
)

// The directories of partitions, by Kafka's names:
//
//	<topic>-<partition>                        an open partition
//	<topic>-<partition>.<topic id>-delete      a deleted one whose files are being removed
//	<topic>-<partition>.<random id>-stray      one that the metadata does not know; kept, and never opened

const (
	deletedDirSuffix = "-delete"
	strayDirSuffix   = "-stray"
	dirNameMax       = 255 // of the usual file systems
)

func partitionDirName(topic string, index int32) string {
	return topic + "-" + strconv.Itoa(int(index))
}

// parsePartitionDir is the inverse of partitionDirName. ok is false for any other name.
func parsePartitionDir(name string) (topic string, index int32, ok bool) {
	dash := strings.LastIndexByte(name, '-')
	if dash <= 0 {
		return "", 0, false
	}
	n, err := strconv.ParseInt(name[dash+1:], 10, 32)
	if err != nil || n < 0 || partitionDirName(name[:dash], int32(n)) != name {
		return "", 0, false
	}
	return name[:dash], int32(n), true
}

// asideName is the name that a partition's directory is set aside under. A long topic name is cut short.
func asideName(topic string, index int32, id [16]byte, suffix string) string {
	end := "." + hex.EncodeToString(id[:]) + suffix
	name := partitionDirName(topic, index)
	return name[:min(len(name), dirNameMax-len(end))] + end
}

// remove closes the partitions of a deleted topic and deletes their files. The partitions are gone for clients when
// it returns, and for a restart: what a crash leaves of the files, the next start removes.
func (r *registry) remove(t *metadata.Topic) error {
	r.mu.Lock()
	known := r.mu.topics[t.Name]
	if known != nil && known.id == t.ID {
		delete(r.mu.topics, t.Name)
		delete(r.mu.ids, t.ID)
	} else {
		known = nil
	}
	r.mu.Unlock()
	if known == nil {
		return nil
	}
	return forEach(len(known.partitions), func(i int) error {
		p := known.partitions[i]
		if p == nil {
			return nil
		}
		if err := p.Abandon(); err != nil {
			// Its files go away all the same.
			r.logger.Warn("deleted partition did not close in order", "topic", t.Name, "partition", i, "err", err)
		}
		return r.deleteDir(p.Dir(), asideName(t.Name, int32(i), t.ID, deletedDirSuffix))
	})
}

// deleteDir removes a partition's directory. It is renamed first, so that no restart takes half a directory for a
// partition.
func (r *registry) deleteDir(dir, aside string) error {
	aside = filepath.Join(r.dataDir, aside)
	if err := r.fs.Rename(dir, aside); err != nil {
		return fmt.Errorf("delete partition directory: %w", err)
	}
	if err := r.fs.SyncDir(r.dataDir); err != nil {
		return fmt.Errorf("delete partition directory: %w", err)
	}
	if err := disk.RemoveAll(r.fs, aside); err != nil {
		return fmt.Errorf("delete partition directory: %w", err)
	}
	return nil
}

// open opens every partition that the metadata names, several at a time, after it has tidied up the data directory.
func (r *registry) open(image *metadata.Image) error {
	if err := r.sweep(image); err != nil {
		return err
	}
	type job struct {
		topic *metadata.Topic
		index int32
	}
	var jobs []job
	for _, t := range image.Topics() {
		for i := range t.Partitions {
			jobs = append(jobs, job{t, i})
		}
	}
	return forEach(len(jobs), func(i int) error {
		_, err := r.create(jobs[i].topic, jobs[i].index)
		return err
	})
}

// sweep sets directories aside that look like partitions and are none of the metadata's: opening them would bring back
// a topic, and deleting them is not for us to decide. What interrupted deletions have left, the controller has removed.
func (r *registry) sweep(image *metadata.Image) error {
	entries, err := r.fs.List(r.dataDir)
	if err != nil {
		return fmt.Errorf("list data directory: %w", err)
	}
	moved := false
	for _, e := range entries {
		if !e.IsDir {
			continue
		}
		path := filepath.Join(r.dataDir, e.Name)
		topic, index, ok := parsePartitionDir(e.Name)
		if !ok || topic == metadata.MetadataTopic || isKnown(image, topic, index) {
			continue
		}
		var unique [16]byte
		_, _ = rand.Read(unique[:]) // never fails
		aside := asideName(topic, index, unique, strayDirSuffix)
		r.logger.Warn("partition directory belongs to no topic: set aside", "dir", path, "as", aside)
		if err := r.fs.Rename(path, filepath.Join(r.dataDir, aside)); err != nil {
			return fmt.Errorf("set aside stray partition: %w", err)
		}
		moved = true
	}
	if !moved {
		return nil
	}
	if err := r.fs.SyncDir(r.dataDir); err != nil {
		return fmt.Errorf("set aside stray partition: %w", err)
	}
	return nil
}

func isKnown(image *metadata.Image, topic string, index int32) bool {
	t := image.Topic(topic)
	return t != nil && index < t.Partitions
}
