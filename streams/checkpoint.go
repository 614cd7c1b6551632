package streams

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/millrace/millrace/internal/disk"
	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams/internal/engine"
)

// checkpointFile lies beside the tasks of a checkpoint, and is written last: without it, a checkpoint is not whole.
const checkpointFile = "checkpoint.json"

// checkpointContents is what the file says.
type checkpointContents struct {
	App   string           `json:"app"`
	Tasks []checkpointTask `json:"tasks"`
}

// checkpointTask is a task of which a checkpoint has the stores, in <sub-topology>/<partition> below it.
type checkpointTask struct {
	Subtopology string         `json:"subtopology"`
	Partition   int32          `json:"partition"`
	Stores      map[string]int `json:"stores"` // over how many partitions the keys of each are spread
}

// Checkpoint copies the stores of this process's tasks into a directory, which must not exist, while they run: OpenCheckpoint reads
// it, on this machine or another. On the file system of StateDir the copy is made of links, and takes next to no time and room
// until the originals change; elsewhere it is made of copied files.
//
// What it has of each task is what one commit left: all that came of its input records up to an offset, which the checkpoint knows,
// and nothing of later ones. Tasks are copied one after the other, each by a commit of its own. A task waits while it is copied,
// for what it has changed since its last flush, up to 64 MiB, to be on disk.
//
// It returns when all is on disk. If it fails, or ctx ends, it removes the directory. That no store is here, or a task went
// elsewhere meanwhile, are errors that wrap ErrNotHere. Safe for concurrent use.
func (a *App) Checkpoint(ctx context.Context, dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return fmt.Errorf("checkpoint of %s: %w", a.options.App, err)
	}
	if err := a.checkpoint(ctx, dir); err != nil {
		return fmt.Errorf("checkpoint of %s: %w", a.options.App, errors.Join(err, os.RemoveAll(dir)))
	}
	return nil
}

func (a *App) checkpoint(ctx context.Context, dir string) error {
	contents := checkpointContents{App: a.options.App}
	for _, task := range a.shell.Tasks() {
		if len(task.Stores()) == 0 {
			continue
		}
		t := checkpointTask{Subtopology: task.ID().Subtopology, Partition: task.ID().Partition, Stores: map[string]int{}}
		for _, store := range task.Stores() {
			t.Stores[store] = task.Spread(store)
		}
		if err := copyTask(ctx, task, t.directory(dir)); err != nil {
			return err
		}
		contents.Tasks = append(contents.Tasks, t)
	}
	if len(contents.Tasks) == 0 {
		return fmt.Errorf("stores: %w", ErrNotHere)
	}
	data, err := json.Marshal(contents)
	if err != nil {
		return err
	}
	return disk.WriteAtomic(disk.OS(), filepath.Join(dir, checkpointFile), data)
}

func copyTask(ctx context.Context, task *engine.Task, dir string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	err := task.DB().Checkpoint(ctx, dir)
	if errors.Is(err, state.ErrClosed) {
		return fmt.Errorf("task %v: %w", task.ID(), ErrNotHere)
	}
	return err
}

func (t checkpointTask) directory(checkpoint string) string {
	return filepath.Join(checkpoint, t.Subtopology, strconv.Itoa(int(t.Partition)))
}
