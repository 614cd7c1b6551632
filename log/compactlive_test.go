package log

import (
	"sync"
	"testing"

	"github.com/millrace/millrace/internal/disk"
	"github.com/millrace/millrace/log/record"
)

// TestReadsGoOnWhileALogIsCompacted appends and compacts while other goroutines read, look up by time and inspect.
func TestReadsGoOnWhileALogIsCompacted(t *testing.T) {
	fsys := disk.NewMem()
	l, _ := mustOpen(t, testOptions(fsys))
	defer l.Close()
	keyed(t, l, 0, 50, 7)
	stop := make(chan struct{})
	var others sync.WaitGroup
	repeat := func(do func() error) {
		others.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := do(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 2 {
		repeat(func() error {
			for offset, end := int64(0), l.LogEndOffset(); offset < end; {
				r, err := l.Read(offset, end, 2000, true)
				if err != nil {
					return err
				}
				if r == nil { // what was below the end is superseded by what came since
					if l.LogEndOffset() == end {
						t.Errorf("nothing at %d of %d", offset, end)
					}
					break
				}
				data := make([]byte, r.Size())
				_, err = r.ReadAt(data, 0)
				offset = r.NextOffset()
				r.Release()
				for err == nil && len(data) > 0 {
					var b record.Batch
					if b, data, err = record.Next(data); err == nil {
						err = b.CheckCRC()
					}
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
	repeat(func() error {
		end := l.LogEndOffset()
		found, ok, err := l.OffsetForTimestamp(1000 + end - 1) // its record is the newest of its key for a while
		if err == nil && (!ok || found.Offset < end-1) {
			t.Errorf("timestamp of offset %d: %+v, %v", end-1, found, ok)
		}
		return err
	})
	repeat(func() error {
		summary, findings, err := Verify(InspectOptions{FS: fsys, Dir: testDir})
		if summary.Damage+summary.Repairable > 0 {
			t.Errorf("%+v", findings)
		}
		return err
	})
	for round := range 8 {
		keyed(t, l, 50+60*round, 110+60*round, 7)
		if _, err := l.Compact(CompactOptions{NowMs: 1, Before: l.DurableOffset(), MapBytes: 1 << 20}); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	others.Wait()
}
