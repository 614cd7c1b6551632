package state_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/millrace/millrace/state"
)

// key16 is a key of 16 bytes, as the benchmarks elsewhere have them.
type key16 [16]byte

type key16Codec struct{}

func (key16Codec) Name() string                                 { return "key16" }
func (key16Codec) Append(dst []byte, key key16) ([]byte, error) { return append(dst, key[:]...), nil }
func (key16Codec) Decode(data []byte) (key key16, err error)    { copy(key[:], data); return key, nil }

type int64Codec struct{}

func (int64Codec) Name() string { return "int64" }
func (int64Codec) Append(dst []byte, value int64) ([]byte, error) {
	return binary.BigEndian.AppendUint64(dst, uint64(value)), nil
}
func (int64Codec) Decode(data []byte) (int64, error) {
	return int64(binary.BigEndian.Uint64(data)), nil
}

var counts = state.NewKV("counts", key16Codec{}, int64Codec{})

func sampleKeys(n, different int) []key16 {
	random := rand.New(rand.NewPCG(8, 9))
	keys := make([]key16, n)
	for i := range keys {
		copy(keys[i][:], fmt.Sprintf("key-%012d", random.IntN(different)))
	}
	return keys
}

func openCounts(tb testing.TB, options state.Options) (*state.DB, *state.KVStore[key16, int64]) {
	tb.Helper()
	options.Stores = []state.Spec{counts.Spec()}
	db, err := state.Open(options)
	if err != nil {
		tb.Fatal(err)
	}
	store, err := state.OpenKV(db, counts)
	if err != nil {
		tb.Fatal(err)
	}
	return db, store
}

// BenchmarkCount counts records by key, with the changelog of each 50,000 and what Pebble gets by itself.
func BenchmarkCount(b *testing.B) {
	for _, different := range []int{1_000, 100_000, 1_000_000} {
		for _, commit := range []bool{false, true} {
			b.Run(fmt.Sprintf("keys=%d/commit=%v", different, commit), func(b *testing.B) {
				keys := sampleKeys(1<<21, different)
				db, store := openCounts(b, state.Options{Dir: b.TempDir(), CacheBytes: 1 << 30})
				defer db.Close()
				count(b, db, store, keys, 2*different, false)
				b.ReportAllocs()
				b.ResetTimer()
				count(b, db, store, keys, b.N, commit)
			})
		}
	}
}

func count(b *testing.B, db *state.DB, store *state.KVStore[key16, int64], keys []key16, n int, commit bool) {
	for i := range n {
		entry, err := store.Edit(keys[i&(len(keys)-1)])
		if err != nil {
			b.Fatal(err)
		}
		entry.Set(entry.Value+1, int64(i))
		if commit && i%50_000 == 49_999 {
			commitCounts(b, db)
		}
	}
}

// BenchmarkFlush writes a million changed keys in one batch; ns/op are of a key, with what Pebble does in the background until then.
func BenchmarkFlush(b *testing.B) {
	keys := sampleKeys(1<<20, 1<<30)
	db, store := openCounts(b, state.Options{Dir: b.TempDir(), CacheBytes: 1 << 30, FlushRecords: 1 << 30, FlushBytes: 1 << 40})
	defer db.Close()
	b.ResetTimer()
	for left := b.N; left > 0; left -= len(keys) {
		b.StopTimer()
		for _, key := range keys[:min(left, len(keys))] {
			if err := store.Put(key, int64(left)); err != nil {
				b.Fatal(err)
			}
		}
		commitCounts(b, db)
		b.StartTimer()
		if err := db.Flush(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRestore takes records of a changelog in random order of their keys; ns/op are of a record.
func BenchmarkRestore(b *testing.B) {
	keys := sampleKeys(1<<21, 1<<30)
	value := make([]byte, 8)
	db, _ := openCounts(b, state.Options{Dir: b.TempDir()})
	defer db.Close()
	b.ResetTimer()
	for i := range b.N {
		if err := db.Restore("counts", keys[i&(len(keys)-1)][:], value, int64(i)); err != nil {
			b.Fatal(err)
		}
	}
	if err := db.RestoreDone(state.Position{}); err != nil {
		b.Fatal(err)
	}
}

func commitCounts(b *testing.B, db *state.DB) {
	if err := db.Changes(func(string, []byte, []byte, int64) error { return nil }); err != nil {
		b.Fatal(err)
	}
	if err := db.Commit(state.Position{}); err != nil {
		b.Fatal(err)
	}
}
