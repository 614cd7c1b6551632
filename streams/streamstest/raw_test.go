package streamstest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"github.com/millrace/millrace/state"
)

// storeBytes returns what is on the disks, task by task, as hexadecimal keys and values read without the library: all entries of
// stores, none of what lies beside them, nor the index of sessions by time, which may be ahead of what it leads to. The
// application has to be stopped. final leaves the timestamps out.
func (d *Driver) storeBytes(depends order) string {
	var lines []string
	for _, id := range d.tasks() {
		disk := d.processes[d.owners[id]].disk.files
		dir := path.Join(stateDir, d.options.App, id.String())
		if _, err := disk.Stat(dir); err != nil {
			continue // a task without stores
		}
		db, err := pebble.Open(dir, &pebble.Options{FS: disk, ReadOnly: true, Logger: silent{}})
		if err != nil {
			d.t.Fatalf("read %s: %v", dir, err)
		}
		for _, line := range entries(d, db, d.subtopology(id.Subtopology).Stores, depends) {
			lines = append(lines, fmt.Sprintf("%v %s", id, line))
		}
		if err := db.Close(); err != nil {
			d.t.Fatalf("read %s: %v", dir, err)
		}
	}
	return strings.Join(lines, "\n")
}

// timestampBytes begin each value on the disk.
const timestampBytes = 8

func entries(d *Driver, db *pebble.DB, stores []state.Spec, depends order) (lines []string) {
	it, err := db.NewIter(nil)
	if err != nil {
		d.t.Fatal(err)
	}
	for valid := it.First(); valid; valid = it.Next() {
		if bytes.HasPrefix(it.Key(), []byte{0, 0}) {
			continue // the position, and what stores there are
		}
		store := stores[binary.BigEndian.Uint16(it.Key())-1]
		if store.Kind == state.KindSession && it.Key()[2] == 1 {
			continue
		}
		value := slices.Clone(it.Value())
		if depends == final {
			value = value[min(len(value), timestampBytes):]
		}
		lines = append(lines, fmt.Sprintf("%x = %x", it.Key(), value))
	}
	if err := it.Close(); err != nil {
		d.t.Fatal(err)
	}
	return lines
}

type silent struct{}

func (silent) Infof(string, ...any)  {}
func (silent) Errorf(string, ...any) {}
func (silent) Fatalf(format string, args ...any) {
	panic(fmt.Sprintf(format, args...))
}
