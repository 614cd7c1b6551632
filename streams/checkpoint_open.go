package streams

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/millrace/millrace/internal/disk"
	"github.com/millrace/millrace/state"
)

// Checkpoint is what App.Checkpoint has copied, to be read: Get, Range and the other queries take it in place of an App. Safe for
// concurrent use.
type Checkpoint struct {
	app    string
	tasks  []checkpointTask
	dbs    []*state.DB // of tasks
	shared *state.Shared
}

// CheckpointInput is an input partition of a task in a checkpoint.
type CheckpointInput struct {
	Topic     string
	Partition int32
	Next      int64 // the first offset of which nothing is in the checkpoint; all before it are in it
}

// OpenCheckpoint opens what App.Checkpoint has written. It is opened as stores are, so that files in the directory change; who opens
// it first has it until Close. Errors: state.ErrLocked, state.ErrDamaged.
func OpenCheckpoint(dir string) (*Checkpoint, error) {
	data, err := disk.ReadFile(disk.OS(), filepath.Join(dir, checkpointFile))
	var contents checkpointContents
	if err == nil {
		err = json.Unmarshal(data, &contents)
	}
	if err != nil {
		return nil, fmt.Errorf("open checkpoint %s: it is none, or not whole: %w", dir, err)
	}
	c := &Checkpoint{app: contents.App, tasks: contents.Tasks, shared: state.NewShared(0, 0)}
	for _, t := range c.tasks {
		db, err := state.Open(state.Options{Dir: t.directory(dir), Shared: c.shared})
		if err != nil {
			return nil, fmt.Errorf("open checkpoint %s: %w", dir, errors.Join(err, c.Close()))
		}
		c.dbs = append(c.dbs, db)
	}
	return c, nil
}

// Inputs returns up to where the checkpoint has what came of the application's inputs, repartition topics among them. Of an
// application that runs with AtLeastOnce, it may have more.
func (c *Checkpoint) Inputs() (inputs []CheckpointInput) {
	for at, db := range c.dbs {
		for topic, next := range db.Position().Inputs {
			inputs = append(inputs, CheckpointInput{topic, c.tasks[at].Partition, next})
		}
	}
	slices.SortFunc(inputs, func(x, y CheckpointInput) int {
		return cmp.Or(cmp.Compare(x.Topic, y.Topic), cmp.Compare(x.Partition, y.Partition))
	})
	return inputs
}

// Close gives the directory back; it is called once. Queries end with an error.
func (c *Checkpoint) Close() (err error) {
	for _, db := range c.dbs {
		err = errors.Join(err, db.Close())
	}
	c.shared.Close()
	return err
}

// holders opens a store where it is. What is asked for with another kind or codecs is state.ErrSpec.
func (c *Checkpoint) holders(store state.Store) (holders []holder, err error) {
	name := store.Spec().Name
	for at, db := range c.dbs {
		spread, found := c.tasks[at].Stores[name]
		if !found {
			continue
		}
		if err := openStore(db, store); err != nil {
			return nil, err
		}
		holders = append(holders, holder{c.tasks[at].Partition, spread, db})
	}
	if len(holders) == 0 {
		return nil, fmt.Errorf("the checkpoint of %s has no store %s", c.app, name)
	}
	return sorted(holders, name)
}

func openStore(db *state.DB, store state.Store) error {
	if err := db.Lock(context.Background()); err != nil {
		return err
	}
	defer db.Unlock()
	return db.OpenStores(store)
}
