package engine

import (
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"path/filepath"
	"sync"

	"github.com/millrace/millrace/internal/disk"
	"github.com/millrace/millrace/streams/internal/balance"
)

const storedFileName = "stored-tasks"

// inventory knows of which tasks the process has state on its disk, so that they are given to it. It is kept in a file of its own,
// because the stores themselves would have to be opened for it; it is a hint, and may be late.
type inventory struct {
	fsys   disk.FS
	name   string
	logger *slog.Logger

	mu struct {
		sync.Mutex
		tasks map[balance.Task]int64 // sums of changelog offsets
	}
}

// storedTask is a line of the file.
type storedTask struct {
	Subtopology string `json:"subtopology"`
	Partition   int32  `json:"partition"`
	Offsets     int64  `json:"offsets"`
}

// openInventory reads what was kept in a directory.
func openInventory(fsys disk.FS, dir string, logger *slog.Logger) *inventory {
	s := &inventory{fsys: fsys, name: filepath.Join(dir, storedFileName), logger: logger}
	s.mu.tasks = map[balance.Task]int64{}
	data, err := disk.ReadFile(fsys, s.name)
	if errors.Is(err, fs.ErrNotExist) {
		return s
	}
	var tasks []storedTask
	if err == nil {
		err = json.Unmarshal(data, &tasks)
	}
	if err != nil {
		logger.Warn("cannot read which tasks have state here, so others may get them", "error", err)
	}
	for _, t := range tasks {
		s.mu.tasks[balance.Task{Subtopology: t.Subtopology, Partition: t.Partition}] = t.Offsets
	}
	return s
}

// note keeps how far a task's state is.
func (s *inventory) note(id TaskID, changelogs []Changelog) {
	if len(changelogs) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var sum int64
	for _, log := range changelogs {
		sum += log.NextOffset
	}
	s.mu.tasks[balance.Task{Subtopology: id.Subtopology, Partition: id.Partition}] = sum
	if err := s.writeLocked(); err != nil {
		s.logger.Warn("cannot keep which tasks have state here", "error", err)
	}
}

func (s *inventory) writeLocked() error {
	var tasks []storedTask
	for task, offsets := range s.mu.tasks {
		tasks = append(tasks, storedTask{task.Subtopology, task.Partition, offsets})
	}
	data, err := json.Marshal(tasks)
	if err != nil {
		return err
	}
	return disk.WriteAtomic(s.fsys, s.name, data)
}

// list returns the tasks with the sums of their changelog offsets.
func (s *inventory) list() map[balance.Task]int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	tasks := make(map[balance.Task]int64, len(s.mu.tasks))
	for task, offsets := range s.mu.tasks {
		tasks[task] = offsets
	}
	return tasks
}
