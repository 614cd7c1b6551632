package broker

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"

	"github.com/millrace/millrace/internal/disk"
)

// scrubFile is the file of the data directory that says how far the scrub is.
const scrubFile = "millrace.scrub"

// scrubVersion is the version of the file's format.
const scrubVersion = 1

// scrubPosition is how far the scrub is, so that a broker which restarts often gets round all the same.
type scrubPosition struct {
	Version     int   `json:"version"`
	CompletedMs int64 `json:"completed_ms"` // when the last pass ended; 0: never
	BegunMs     int64 `json:"begun_ms"`     // when the latest pass began; 0: never
	UnderWay    bool  `json:"under_way"`    // it has not ended, and goes on here:

	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
}

// isPast says whether the pass is done with a partition.
func (p *scrubPosition) isPast(topic string, index int32) bool {
	return topic < p.Topic || topic == p.Topic && index < p.Partition
}

// dueMs is when the scrub has something to do: now, or when the next pass begins. A clock that was set back begins one.
func (p *scrubPosition) dueMs(nowMs, intervalMs int64) int64 {
	switch {
	case p.UnderWay || p.BegunMs == 0 || p.BegunMs > nowMs:
		return nowMs
	case intervalMs > math.MaxInt64-p.BegunMs:
		return math.MaxInt64
	}
	return p.BegunMs + intervalMs
}

// readScrubPosition reads the file. One that is missing, damaged or of another version is the beginning: the error says
// why, and nothing is lost but the position.
func readScrubPosition(fsys disk.FS, dataDir string) (scrubPosition, error) {
	beginning := scrubPosition{Version: scrubVersion}
	data, err := disk.ReadFile(fsys, filepath.Join(dataDir, scrubFile))
	if errors.Is(err, fs.ErrNotExist) {
		return beginning, nil
	}
	if err != nil {
		return beginning, err
	}
	var p scrubPosition
	if err := json.Unmarshal(data, &p); err != nil {
		return beginning, fmt.Errorf("%s: %w", scrubFile, err)
	}
	if p.Version != scrubVersion {
		return beginning, fmt.Errorf("%s: version %d, known is %d", scrubFile, p.Version, scrubVersion)
	}
	return p, nil
}

func (p *scrubPosition) write(fsys disk.FS, dataDir string) error {
	data, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return disk.WriteAtomic(fsys, filepath.Join(dataDir, scrubFile), append(data, '\n'))
}
