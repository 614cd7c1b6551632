package partition

import (
	"testing"
	"testing/synctest"

	"github.com/millrace/millrace/internal/disk"
	"github.com/millrace/millrace/log/record"
)

// takeAll replaces one of the bounds by one that is wholly taken, and returns how to give it back.
func takeAll(t *testing.T, bound *slots) (give func()) {
	t.Helper()
	original := *bound
	t.Cleanup(func() { *bound = original })
	taken := make(slots, 1)
	taken <- struct{}{}
	*bound = taken
	return func() { <-taken }
}

// TestDecompressionIsBounded: whatever needs a batch decompressed waits while enough others do, since each may take a
// hundred megabytes; what needs none goes on.
func TestDecompressionIsBounded(t *testing.T) {
	gzip := func(o *record.Options) { o.Codec = record.Gzip }
	misdated := func(t *testing.T) record.Batch {
		b := batch(t, gzip, "a")
		b.SetMaxTimestampMs(b.BaseTimestampMs() - 1)
		return b
	}
	for name, test := range map[string]struct {
		bound  *slots
		change func(*Config)
		batch  func(t *testing.T) record.Batch
		find   bool
		waits  bool
	}{
		"a compressed batch as it is":        {bound: &admissions, batch: func(t *testing.T) record.Batch { return batch(t, gzip, "a") }},
		"a plain batch with checked records": {bound: &admissions, change: func(c *Config) { c.Log.Compacted = true }, batch: func(t *testing.T) record.Batch { return batch(t, nil, "a") }},
		"a batch with a wrong maximum":       {bound: &admissions, batch: misdated, waits: true},
		"checked keys":                       {bound: &admissions, change: func(c *Config) { c.Log.Compacted = true }, batch: func(t *testing.T) record.Batch { return batch(t, gzip, "a") }, waits: true},
		"checked times":                      {bound: &admissions, change: func(c *Config) { c.TimestampBeforeMaxMs = 1000 }, batch: func(t *testing.T) record.Batch { return batch(t, gzip, "a") }, waits: true},
		"another codec":                      {bound: &admissions, change: func(c *Config) { c.Recompress = true }, batch: func(t *testing.T) record.Batch { return batch(t, gzip, "a") }, waits: true},
		"a record by time":                   {bound: &lookups, batch: func(t *testing.T) record.Batch { return batch(t, nil, "a") }, find: true, waits: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := open(t, disk.NewMem(), func(o *Options) {
					if test.change != nil {
						test.change(&o.Config)
					}
				})
				b := test.batch(t)
				give := takeAll(t, test.bound)
				done := false
				go func() {
					if _, err := p.Append(b, nowMs, Client); err != nil {
						t.Error(err)
					}
					if test.find {
						if _, err := p.Find(nowMs, ReadUncommitted); err != nil {
							t.Error(err)
						}
					}
					done = true
				}()
				synctest.Wait()
				if done == test.waits {
					t.Errorf("done %t with no slot free", done)
				}
				give()
				synctest.Wait()
				if !done {
					t.Error("not done with a slot free")
				}
			})
		})
	}
}
