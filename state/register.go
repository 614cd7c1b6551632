package state

import (
	"fmt"
	"slices"
	"strings"
)

// openStoreOnce returns the open store of that Spec, or makes it.
func openStoreOnce[S openStore](db *DB, spec Spec, make func(r *registration) S) (none S, err error) {
	if err := db.usable(); err != nil {
		return none, err
	}
	r := db.registered[spec.Name]
	if r == nil {
		return none, fmt.Errorf("open store %s in %s: it is not among the stores that the directory was opened with", spec.Name, db.dir)
	}
	if err := r.record.check(spec, db.dir); err != nil {
		return none, err
	}
	if r.store == nil {
		r.store = make(r)
		i, _ := slices.BinarySearchFunc(db.open, r, func(a, b *registration) int { return strings.Compare(a.name, b.name) })
		db.open = slices.Insert(db.open, i, r)
	}
	store, ok := r.store.(S)
	if !ok {
		return none, fmt.Errorf("open store %s in %s: %w: it is open with other types: %T", spec.Name, db.dir, ErrSpec, r.store)
	}
	return store, nil
}
