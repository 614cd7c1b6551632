package log

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/disk"
	"github.com/millrace/millrace/log/record"
)

// bigBatch is a batch of 500 records of 100 bytes: 55 KB.
func bigBatch(t testing.TB) record.Batch {
	values := make([]string, 500)
	for i := range values {
		values[i] = strings.Repeat("v", 100)
	}
	return batchOf(t, 1000, &record.Producer{ID: 1}, values...)
}

func benchOptions(b *testing.B) Options {
	return Options{FS: disk.OS(), Dir: filepath.Join(b.TempDir(), "t-0"), Config: DefaultConfig(), NowMs: 1000}
}

// reopenAt keeps a benchmark near 1 GB on disk: a fresh page cache is several times slower than a reused one.
const reopenAt = 900 << 20

func BenchmarkAppend(b *testing.B) {
	for _, batch := range []struct {
		name  string
		batch record.Batch
	}{{"55KB", bigBatch(b)}, {"1x100B", batchOf(b, 1000, nil, strings.Repeat("v", 100))}} {
		b.Run(batch.name, func(b *testing.B) {
			l, _ := mustOpen(b, benchOptions(b))
			defer func() { l.Close() }()
			b.SetBytes(int64(len(batch.batch)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := l.Append(batch.batch, AppendOptions{NowMs: 1, LeaderEpoch: 1, Internal: true}); err != nil {
					b.Fatal(err)
				}
				if l.Size() > reopenAt {
					b.StopTimer()
					if err := l.Truncate(0); err != nil {
						b.Fatal(err)
					}
					b.StartTimer()
				}
			}
		})
	}
}

func BenchmarkAppendAndSync(b *testing.B) {
	for _, each := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("55KB,sync each %d", each), func(b *testing.B) {
			batch := bigBatch(b)
			l, _ := mustOpen(b, benchOptions(b))
			defer func() { l.Close() }()
			b.SetBytes(int64(len(batch)))
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if _, err := l.Append(batch, AppendOptions{NowMs: 1, LeaderEpoch: 1, Internal: true}); err != nil {
					b.Fatal(err)
				}
				if i%each == each-1 {
					if _, err := l.Sync(); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

func BenchmarkRead(b *testing.B) {
	batch := bigBatch(b)
	l, _ := mustOpen(b, benchOptions(b))
	defer func() { l.Close() }()
	for l.Size() < 256<<20 {
		if _, err := l.Append(batch, AppendOptions{NowMs: 1, Internal: true}); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("find 1MB, in sequence", func(b *testing.B) {
		b.ReportAllocs()
		var from int64
		for b.Loop() {
			r, err := l.Read(from, l.LogEndOffset(), 1<<20, true)
			if err != nil {
				b.Fatal(err)
			}
			from = r.NextOffset()
			if from == l.LogEndOffset() {
				from = 0
			}
			r.Release()
		}
	})
	b.Run("find 1MB, anywhere", func(b *testing.B) {
		b.ReportAllocs()
		from := int64(12345)
		for b.Loop() {
			r, err := l.Read(from, l.LogEndOffset(), 1<<20, true)
			if err != nil {
				b.Fatal(err)
			}
			r.Release()
			from = (from*31 + 77777) % l.LogEndOffset()
		}
	})
	b.Run("find the tail", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			r, err := l.Read(l.LogEndOffset()-500, l.LogEndOffset(), 1<<20, true)
			if err != nil {
				b.Fatal(err)
			}
			r.Release()
		}
	})
	b.Run("copy 1MB", func(b *testing.B) {
		buffer := make([]byte, 1<<20)
		b.SetBytes(1 << 20)
		var from int64
		for b.Loop() {
			r, err := l.Read(from, l.LogEndOffset(), 1<<20, true)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := r.ReadAt(buffer[:r.Size()], 0); err != nil {
				b.Fatal(err)
			}
			from = r.NextOffset()
			if from == l.LogEndOffset() {
				from = 0
			}
			r.Release()
		}
	})
}

// BenchmarkOpenCleanThousand opens 1,000 logs that were closed in order. The goal is 200 ms.
func BenchmarkOpenCleanThousand(b *testing.B) {
	root := b.TempDir()
	options := make([]Options, 1000)
	for i := range options {
		options[i] = Options{FS: disk.OS(), Dir: filepath.Join(root, fmt.Sprintf("t-%d", i)), Config: DefaultConfig(), TopicID: [16]byte{1}, NowMs: 1}
		l, _ := mustOpen(b, options[i])
		for range 3 {
			mustAppend(b, l, batchOf(b, 1, nil, strings.Repeat("v", 1000)), 1)
		}
		if err := l.Close(); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		logs := make([]*Log, len(options))
		for i := range options {
			l, told := mustOpen(b, options[i])
			if !told.Clean {
				b.Fatal("not clean")
			}
			logs[i] = l
		}
		b.StopTimer()
		for _, l := range logs {
			if err := l.Close(); err != nil {
				b.Fatal(err)
			}
		}
		b.StartTimer()
	}
}
