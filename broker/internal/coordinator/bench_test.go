package coordinator

import (
	"log/slog"
	"testing"
	"time"

	"github.com/millrace/millrace/broker/internal/partition"
	"github.com/millrace/millrace/internal/disk"
	"github.com/millrace/millrace/log"
	"github.com/millrace/millrace/log/record"
)

// BenchmarkCommit has many clients commit at once to one shard on the real disk, each waiting for its answer.
func BenchmarkCommit(b *testing.B) {
	syncs := 0
	p := partition.Open(partition.Options{
		Topic:  "__notes",
		Log:    log.Options{FS: disk.OS(), Dir: b.TempDir(), NowMs: 1},
		Config: partition.DefaultConfig(),
		Syncs:  partition.NewSyncs(1, func(time.Duration, error) { syncs++ }),
		Logger: slog.New(slog.DiscardHandler),
	})
	s, err := Load(b.Context(), Options[*notebook]{Partition: p, New: newNotebook, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	line := make([]byte, 100)
	records := []record.Record{{Key: line, Value: line}}
	b.SetParallelism(100)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			_, err := s.Do(b.Context(), func(n *notebook, _ uint64) any { return n.world.Append(1, records) == nil })
			if err != nil {
				b.Error(err)
			}
		}
	})
	s.Close()
	if err := p.Close(); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(b.N)/float64(syncs), "commits/sync")
}
