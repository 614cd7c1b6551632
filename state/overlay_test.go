package state

import (
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

type textCodec struct{}

func (textCodec) Name() string                                   { return "text" }
func (textCodec) Append(dst []byte, text string) ([]byte, error) { return append(dst, text...), nil }
func (textCodec) Decode(data []byte) (string, error)             { return string(data), nil }

// TestWhatIsCachedIsCounted: windows count with what each start takes, and count no more when they are evicted or have expired.
func TestWhatIsCachedIsCounted(t *testing.T) {
	const starts, keys = 200, 5
	windows := NewWindow("windows", textCodec{}, textCodec{})
	db, err := Open(Options{Dir: "state", FS: vfs.NewMem(), Stores: []Spec{windows.Spec()}, CacheBytes: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	store, err := OpenWindow(db, windows)
	if err != nil {
		t.Fatal(err)
	}
	none := db.CachedBytes()
	put := func(from int64) {
		for start := from; start < from+starts; start++ {
			for key := range keys {
				if err := store.Put(fmt.Sprintf("a key that is too long for its slot %d", key), start, "value"); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	commit := func() {
		t.Helper()
		if err := db.Changes(func(string, []byte, []byte, int64) error { return nil }); err != nil {
			t.Fatal(err)
		}
		if err := db.Commit(Position{}); err != nil {
			t.Fatal(err)
		}
	}
	put(0)
	if each := (db.CachedBytes() - none) / starts; each < 900 || each > 2000 {
		t.Errorf("each start counts as %d bytes", each)
	}
	commit()
	if err := db.Flush(); err != nil { // it evicts all
		t.Fatal(err)
	}
	commit() // and this gives the tables back
	if cached := db.CachedBytes(); cached != none {
		t.Errorf("evicted: %d bytes, %d with nothing", cached, none)
	}
	put(starts)
	if err := store.Expire(2 * starts); err != nil {
		t.Fatal(err)
	}
	commit()
	if cached := db.CachedBytes(); cached != none {
		t.Errorf("expired: %d bytes, %d with nothing", cached, none)
	}
}
