package streams

import (
	"fmt"

	"github.com/millrace/millrace/streams/internal/engine"
)

// NewAdapted is New with other options of the engine, as for its file system.
func NewAdapted(t *Topology, c Config, adapt func(*engine.Options)) (*App, error) {
	a, err := New(t, c)
	if err != nil {
		return nil, err
	}
	adapt(&a.options)
	a.shell = engine.NewShell(a.options)
	return a, nil
}

// Tasks is how many tasks of an App run.
func Tasks(a *App) int { return len(a.shell.Tasks()) }

// Restored is how many records an App has put into its stores.
func Restored(a *App) (records int64) {
	for _, store := range a.counters.Stores() {
		records += store.Restored
	}
	return records
}

// Situation says where the inputs of the tasks are.
func Situation(a *App) (text string) {
	for _, task := range a.shell.Tasks() {
		text += fmt.Sprintf("task %v: doing %q\n", task.ID(), task.Doing())
	}
	return text + fmt.Sprintf("%+v\n", a.counters.Inputs())
}
