package log

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/millrace/millrace/internal/disk"
)

// readMarks reads the two files that say what was durable. What is wrong with them is told by inspectFiles.
func (i *inspection) readMarks() error {
	data, err := disk.ReadFile(i.options.FS, i.name(checkpointName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if c, err := decodeCheckpoint(data); err == nil {
		i.checkpoint, i.checkpointKnown = c, true
	}
	mark, known, err := readSyncMark(i.options.FS, i.name(syncMarkName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, ErrNewerFormat) {
		return err
	}
	if i.cleaner, _, err = readCleanerState(i.options.FS, i.options.Dir); err != nil && !errors.Is(err, ErrNewerFormat) {
		return err
	}
	i.markKnown = known
	i.floor, i.summary.LogStartOffset = i.checkpoint.recovery, i.checkpoint.logStart
	if known {
		i.summary.LogStartOffset = max(i.summary.LogStartOffset, mark.logStart)
		if mark.durable.offset >= i.floor.offset {
			i.floor = mark.durable
		}
	}
	i.summary.DurableOffset = i.floor.offset
	i.summary.ClosedInOrder = i.checkpointKnown && i.checkpoint.clean
	return nil
}

// deletedBelow says whether a broker has meanwhile moved the log start to offset or beyond, which it does before it
// deletes the files of what lies below.
func (i *inspection) deletedBelow(offset int64) (bool, error) {
	data, err := disk.ReadFile(i.options.FS, i.name(checkpointName))
	if err != nil && !vanished(err) {
		return false, err
	}
	if c, err := decodeCheckpoint(data); err == nil {
		i.summary.LogStartOffset = max(i.summary.LogStartOffset, c.logStart)
	}
	return i.summary.LogStartOffset >= offset, nil
}

// inspectFiles reads every file beside the segments and their indexes.
func (i *inspection) inspectFiles() error {
	entries, err := i.options.FS.List(i.options.Dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := i.inspectFile(e); err != nil {
			return err
		}
	}
	return nil
}

func (i *inspection) inspectFile(e disk.Entry) error {
	if e.IsDir {
		return i.find(Note, i.name(e.Name), -1, "a directory, which has no business here", "move it away")
	}
	describe := i.describerOf(e.Name)
	if describe == nil {
		return nil
	}
	data, err := disk.ReadFile(i.options.FS, i.name(e.Name))
	if vanished(err) {
		return nil
	}
	if err != nil {
		return err
	}
	content, problem := describe(data)
	if problem != nil {
		content = "unreadable: " + problem.Error()
		severity, remedy := Repairable, startRemedy
		if errors.Is(problem, ErrNewerFormat) {
			severity, remedy = Damage, "use the version that wrote it, or a later one"
		}
		if e.Name == partitionMetadataName {
			severity, remedy = Damage, "restore the file from a copy"
		}
		if err := i.find(severity, i.name(e.Name), -1, problem.Error(), remedy); err != nil {
			return err
		}
	}
	if i.visit.File == nil {
		return nil
	}
	return i.visit.File(FileInfo{Name: e.Name, Bytes: int64(len(data)), Content: content})
}

type describer func(data []byte) (content string, problem error)

// describerOf returns what can read the file, nil for segments, indexes and the torn tails that were set aside.
func (i *inspection) describerOf(name string) describer {
	switch name {
	case checkpointName:
		return describeCheckpoint
	case syncMarkName:
		return describeSyncMark
	case cleanerName:
		return describeCleaner
	case partitionMetadataName:
		return describeTopicID
	case leaderEpochName:
		return i.describeEpochs
	}
	switch suffix := filepath.Ext(name); {
	case slices.Contains(i.directory.leftovers, name):
		return func([]byte) (string, error) {
			return "left behind by an interrupted roll, deletion or compaction: the next start removes it", nil
		}
	case suffix == producersSuffix:
		return describeProducers
	case suffix == kafkaSnapshotSuffix:
		return describeKafkaProducers
	case suffix == txnIndexSuffix:
		return describeTxnIndex
	case suffix == tornSuffix:
		return func([]byte) (string, error) { return "a torn tail that a recovery cut off and set aside", nil }
	case strings.HasSuffix(name, logSuffix), suffix == swapSuffix, suffix == indexSuffix, suffix == timeIndexSuffix:
		return nil
	}
	return func([]byte) (string, error) { return "unknown", nil }
}

func describeCheckpoint(data []byte) (string, error) {
	c, err := decodeCheckpoint(data)
	if err != nil {
		return "", err
	}
	state := "not closed in order since"
	if c.clean {
		state = "closed in order"
	}
	return fmt.Sprintf("%s; log start %d; durable below offset %d, at byte %d of %s",
		state, c.logStart, c.recovery.offset, c.recovery.position, fileName(c.recovery.segment, logSuffix)), nil
}

func describeSyncMark(data []byte) (string, error) {
	mark, ok, err := decodeSyncMarks(data)
	if err != nil {
		return "", err
	}
	if !ok && len(bytes.Trim(data, "\x00")) == 0 {
		return "no mark yet: nothing was synced since the file was made", nil
	}
	if !ok {
		return "", fmt.Errorf("%w: neither slot is intact", errSyncMark)
	}
	return fmt.Sprintf("mark %d; log start %d; durable below offset %d, at byte %d of %s",
		mark.sequence, mark.logStart, mark.durable.offset, mark.durable.position, fileName(mark.durable.segment, logSuffix)), nil
}

func describeCleaner(data []byte) (string, error) {
	c, err := decodeCleanerState(data)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("compacted below offset %d; offsets may be missing below %d", c.dirty, c.sparse), nil
}

func describeTopicID(data []byte) (string, error) {
	id, err := decodeTopicID(data)
	if err != nil {
		return "", err
	}
	return "topic id " + base64.RawURLEncoding.EncodeToString(id[:]), nil
}

func (i *inspection) describeEpochs(data []byte) (string, error) {
	saved, err := decodeEpochs(data)
	if err != nil {
		return "", err
	}
	i.saved, i.savedKnown = saved, true
	parts := make([]string, len(saved))
	for n, e := range saved {
		parts[n] = fmt.Sprintf("%d from offset %d", e.epoch, e.startOffset)
	}
	return "leader epochs: " + strings.Join(parts, ", "), nil
}

func describeProducers(data []byte) (string, error) {
	p, err := decodeProducers(data)
	if err != nil {
		return "", err
	}
	return p.describeOpen(fmt.Sprintf("%d producers", len(p.entries))), nil
}

func describeKafkaProducers(data []byte) (string, error) {
	p, err := decodeKafkaProducers(data, 0)
	if err != nil {
		return "", err
	}
	return p.describeOpen(fmt.Sprintf("%d producers, written by Kafka", len(p.entries))), nil
}
