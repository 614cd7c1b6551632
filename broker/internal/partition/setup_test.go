package partition

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/disk"
	"github.com/millrace/millrace/log"
	"github.com/millrace/millrace/log/record"
)

// nowMs is the time of every test.
const nowMs = int64(1_700_000_000_000)

// open opens partition "t-0" on fsys and closes it at the end of the test.
func open(t testing.TB, fsys disk.FS, change func(*Options)) *Partition {
	t.Helper()
	options := Options{
		Topic:       "t",
		Log:         log.Options{FS: fsys, Dir: "/data/t-0", TopicID: [16]byte{1}, NowMs: nowMs},
		Config:      DefaultConfig(),
		LeaderEpoch: 5,
	}
	if change != nil {
		change(&options)
	}
	p := Open(options)
	t.Cleanup(func() { _ = p.Close() })
	return p
}

func withFlush(flush Flush) func(*Options) {
	return func(o *Options) { o.Config.Flush = flush }
}

// batch builds a batch of one record per value. The options may be changed.
func batch(t testing.TB, change func(*record.Options), values ...string) record.Batch {
	t.Helper()
	options := record.Options{}
	if change != nil {
		change(&options)
	}
	builder := record.NewBuilder(options)
	for i, value := range values {
		builder.Add(nowMs+int64(i), []byte("key"), []byte(value))
	}
	b, err := builder.Build()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// from makes a batch one of an idempotent producer.
func from(id int64, epoch int16, sequence int32) func(*record.Options) {
	return func(o *record.Options) {
		o.Producer = &record.Producer{ID: id, Epoch: epoch, BaseSequence: sequence}
	}
}

// produce appends and waits for the commit.
func produce(t testing.TB, p *Partition, b record.Batch) log.Appended {
	t.Helper()
	appended, err := p.Append(b, nowMs, Client)
	if err == nil {
		err = p.AwaitCommitted(context.Background(), appended.LastOffset+1)
	}
	if err != nil {
		t.Fatal(err)
	}
	return appended
}

// values reads everything that is committed from an offset on.
func values(t testing.TB, p *Partition, from int64) []string {
	t.Helper()
	var all []string
	for {
		r, _, err := p.Read(from, 1<<20, true, ReadUncommitted)
		if err != nil {
			t.Fatal(err)
		}
		if r == nil {
			return all
		}
		data := make([]byte, r.Size())
		if _, err := r.ReadAt(data, 0); err != nil {
			t.Fatal(err)
		}
		r.Release()
		for len(data) > 0 {
			var b record.Batch
			if b, data, err = record.Next(data); err != nil {
				t.Fatal(err)
			}
			reader, err := b.Records(1 << 20)
			if err != nil {
				t.Fatal(err)
			}
			for reader.Next() {
				if reader.Offset() >= from {
					all = append(all, string(reader.Record().Value))
				}
			}
			if reader.Err() != nil {
				t.Fatal(reader.Err())
			}
			from = b.NextOffset()
		}
	}
}

func wantError(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("error %v, want %v", err, want)
	}
}

func wantOffsets(t testing.TB, p *Partition, logStart, highWatermark, durable, logEnd int64) {
	t.Helper()
	o := p.Offsets()
	if o.LogStart != logStart || o.LastStable != highWatermark || o.HighWatermark != highWatermark ||
		o.Durable != durable || o.LogEnd != logEnd {
		t.Errorf("%+v, want log start %d, high watermark %d, durable %d, log end %d", o, logStart, highWatermark, durable, logEnd)
	}
}

// gate is a file system whose syncs of segments wait until they are let through, while it is shut.
type gate struct {
	disk.FS
	arrived chan struct{} // receives whenever a sync waits; nil: nobody asks

	mu struct {
		sync.Mutex
		shut    bool
		waiting int
		most    int // that waited at the same time
		opened  chan struct{}
	}
}

func newGate() *gate {
	g := &gate{FS: disk.NewMem()}
	g.mu.opened = make(chan struct{})
	return g
}

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.mu.shut = true
}

// open lets all syncs through from now on.
func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.mu.shut = false
	close(g.mu.opened)
	g.mu.opened = make(chan struct{})
}

// letThrough lets the syncs through that wait now; later ones wait.
func (g *gate) letThrough() {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.mu.opened)
	g.mu.opened = make(chan struct{})
}

func (g *gate) mostWaiting() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.mu.most
}

func (g *gate) wait() {
	g.mu.Lock()
	shut, opened := g.mu.shut, g.mu.opened
	if shut {
		g.mu.waiting++
		g.mu.most = max(g.mu.most, g.mu.waiting)
	}
	g.mu.Unlock()
	if !shut {
		return
	}
	select {
	case g.arrived <- struct{}{}:
	default:
	}
	<-opened
	g.mu.Lock()
	defer g.mu.Unlock()
	g.mu.waiting--
}

func (g *gate) Create(name string) (disk.File, error)    { return g.file(g.FS.Create(name)) }
func (g *gate) OpenWrite(name string) (disk.File, error) { return g.file(g.FS.OpenWrite(name)) }

func (g *gate) file(f disk.File, err error) (disk.File, error) {
	if err != nil || !strings.HasSuffix(f.Name(), ".log") {
		return f, err
	}
	return gatedFile{File: f, gate: g}, nil
}

type gatedFile struct {
	disk.File
	gate *gate
}

func (f gatedFile) SyncData() error {
	f.gate.wait()
	return f.File.SyncData()
}

// syncRecorder counts syncs and keeps their errors.
type syncRecorder struct {
	mu   sync.Mutex
	errs []error
}

func (r *syncRecorder) observe(_ time.Duration, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.errs = append(r.errs, err)
}
