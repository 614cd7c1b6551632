package partition

import (
	"math"
	"testing"

	"github.com/millrace/millrace/internal/disk"
	"github.com/millrace/millrace/log"
	"github.com/millrace/millrace/log/record"
)

func TestReadBounds(t *testing.T) {
	p := open(t, disk.NewMem(), nil)
	first := batch(t, nil, "a", "b")
	size := len(first)
	produce(t, p, first)
	produce(t, p, batch(t, nil, "c", "d"))
	for _, test := range []struct {
		from       int64
		maxBytes   int
		atLeastOne bool
		wantBytes  int
		want       error
	}{
		{from: 0, maxBytes: 1 << 20, wantBytes: 2 * size},
		{from: 0, maxBytes: size, wantBytes: size},
		{from: 0, maxBytes: size - 1, wantBytes: 0},
		{from: 0, maxBytes: 0, atLeastOne: true, wantBytes: size},
		{from: 1, maxBytes: size, wantBytes: size}, // the whole batch that the offset is in
		{from: 3, maxBytes: 1 << 20, wantBytes: size},
		{from: 4, maxBytes: 1 << 20, wantBytes: 0}, // nothing there yet
		{from: 5, maxBytes: 1 << 20, want: log.ErrOutOfRange},
		{from: -1, maxBytes: 1 << 20, want: log.ErrOutOfRange},
		{from: 0, maxBytes: -5, wantBytes: 0},
	} {
		r, offsets, err := p.Read(test.from, test.maxBytes, test.atLeastOne, ReadCommitted)
		if test.want != nil {
			wantError(t, err, test.want)
			continue
		}
		got := 0
		if r != nil {
			got = r.Size()
			r.Release()
		}
		if err != nil || got != test.wantBytes || offsets.HighWatermark != 4 {
			t.Errorf("%+v: %d bytes, %+v, %v", test, got, offsets, err)
		}
	}
}

func TestFindByTime(t *testing.T) {
	p := open(t, disk.NewMem(), nil)
	none := log.Found{Offset: -1, TimestampMs: -1, LeaderEpoch: -1}
	want := func(timestampMs int64, isolation Isolation, want log.Found) {
		t.Helper()
		if got, err := p.Find(timestampMs, isolation); err != nil || got != want {
			t.Errorf("find %d: %+v, %v, want %+v", timestampMs, got, err, want)
		}
	}
	want(latest, ReadCommitted, log.Found{Offset: 0, TimestampMs: -1, LeaderEpoch: 5})
	want(earliest, ReadCommitted, log.Found{Offset: 0, TimestampMs: -1, LeaderEpoch: 5})
	want(maxTimestamp, ReadCommitted, none)
	want(0, ReadCommitted, none)

	produce(t, p, batch(t, nil, "a", "b"))
	produce(t, p, batch(t, nil, "c"))
	want(latest, ReadUncommitted, log.Found{Offset: 3, TimestampMs: -1, LeaderEpoch: 5})
	want(latestTiered, ReadUncommitted, none)
	want(earliestLocal, ReadUncommitted, log.Found{Offset: 0, TimestampMs: -1, LeaderEpoch: 5})
	want(maxTimestamp, ReadUncommitted, log.Found{Offset: 1, TimestampMs: nowMs + 1, LeaderEpoch: 5})
	want(0, ReadUncommitted, log.Found{Offset: 0, TimestampMs: nowMs, LeaderEpoch: 5})
	want(nowMs+1, ReadUncommitted, log.Found{Offset: 1, TimestampMs: nowMs + 1, LeaderEpoch: 5})
	want(nowMs+2, ReadUncommitted, none)
}

func TestWhatIsNotCommittedIsNotFound(t *testing.T) {
	g := newGate()
	p := open(t, g, nil)
	produce(t, p, batch(t, nil, "a"))
	g.shut()
	defer g.open()
	b := record.NewBuilder(record.Options{})
	b.Add(nowMs+1000, nil, []byte("b"))
	later, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Append(later, nowMs, Client); err != nil {
		t.Fatal(err)
	}
	for timestampMs, want := range map[int64]int64{latest: 1, nowMs + 1000: -1, maxTimestamp: -1} {
		if found, err := p.Find(timestampMs, ReadUncommitted); err != nil || found.Offset != want {
			t.Errorf("find %d: %+v, %v, want offset %d", timestampMs, found, err, want)
		}
	}
}

func TestEarliestEpochIsThatOfTheFirstBatch(t *testing.T) {
	mem := disk.NewMem()
	p := open(t, mem, nil)
	produce(t, p, batch(t, nil, "a"))
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	p = open(t, mem, func(o *Options) { o.LeaderEpoch = 9 })
	if found, err := p.Find(earliest, ReadUncommitted); err != nil || found.LeaderEpoch != 5 {
		t.Errorf("%+v, %v", found, err)
	}
	if found, err := p.Find(latest, ReadUncommitted); err != nil || found.LeaderEpoch != 9 {
		t.Errorf("%+v, %v", found, err)
	}
}

func TestEndOffsetForEpoch(t *testing.T) {
	mem := disk.NewMem()
	for _, epoch := range []int32{2, 4} {
		p := open(t, mem, func(o *Options) { o.LeaderEpoch = epoch })
		produce(t, p, batch(t, nil, "a", "b"))
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	}
	p := open(t, mem, func(o *Options) { o.LeaderEpoch = 7 })
	type end struct {
		epoch  int32
		offset int64
	}
	for asked, want := range map[int32]end{
		1: {1, 0}, // before the first: it would have ended where that began
		2: {2, 2},
		3: {2, 2},
		4: {4, 4},
		5: {4, 4}, // nothing was written in it
		7: {7, 4}, // the present one
		8: {-1, -1},
	} {
		epoch, offset, err := p.EndOffsetForEpoch(asked)
		if err != nil || epoch != want.epoch || offset != want.offset {
			t.Errorf("epoch %d: %d ends at %d, %v, want %+v", asked, epoch, offset, err, want)
		}
	}
	empty := open(t, disk.NewMem(), nil)
	if epoch, offset, err := empty.EndOffsetForEpoch(3); epoch != 3 || offset != 0 || err != nil {
		t.Errorf("empty log: %d ends at %d, %v", epoch, offset, err)
	}
}

func TestDeleteRecords(t *testing.T) {
	mem := disk.NewMem()
	p := open(t, mem, nil)
	for range 5 {
		produce(t, p, batch(t, nil, "a", "b"))
	}
	w := NewWaiter()
	p.Subscribe(w, ReadUncommitted)
	for _, test := range []struct {
		offset, want int64
		err          error
	}{
		{offset: 3, want: 3},
		{offset: 2, want: 3}, // nothing is brought back
		{offset: 0, want: 3},
		{offset: 11, want: -1, err: ErrOffsetRange},
		{offset: -2, want: -1, err: ErrOffsetRange},
		{offset: -1, want: 10},
		{offset: 10, want: 10},
	} {
		low, err := p.DeleteRecords(t.Context(), test.offset)
		if low != test.want {
			t.Errorf("delete before %d: %d, want %d", test.offset, low, test.want)
		}
		if test.err != nil {
			wantError(t, err, test.err)
		} else if err != nil {
			t.Errorf("delete before %d: %v", test.offset, err)
		}
	}
	<-w.Poked()
	wantOffsets(t, p, 10, 10, 10, 10)
	_, _, err := p.Read(9, 100, true, ReadUncommitted)
	wantError(t, err, log.ErrOutOfRange)
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	again := open(t, mem, nil)
	wantOffsets(t, again, 10, 10, 10, 10)
	if appended := produce(t, again, batch(t, nil, "c")); appended.BaseOffset != 10 {
		t.Errorf("base offset %d", appended.BaseOffset)
	}
}

func TestDeleteRecordsNeedsThePolicy(t *testing.T) {
	p := open(t, disk.NewMem(), func(o *Options) { o.Config.Log.DeleteOldSegments = false })
	produce(t, p, batch(t, nil, "a"))
	_, err := p.DeleteRecords(t.Context(), -1)
	wantError(t, err, ErrPolicy)
}

func TestDeleteRecordsOfWhatIsNotDurableMakesItSo(t *testing.T) {
	p := open(t, disk.NewMem(), withFlush(FlushOS))
	produce(t, p, batch(t, nil, "a", "b"))
	wantOffsets(t, p, 0, 2, 0, 2)
	if low, err := p.DeleteRecords(t.Context(), 1); low != 1 || err != nil {
		t.Errorf("low %d, %v", low, err)
	}
	wantOffsets(t, p, 1, 2, 2, 2)
}

func TestRetentionMovesTheLogStartAndPokes(t *testing.T) {
	p := open(t, disk.NewMem(), func(o *Options) {
		o.Config.Log.SegmentBytes, o.Config.Log.RetentionBytes = 200, 400
	})
	for range 20 {
		produce(t, p, batch(t, nil, "a"))
	}
	w := NewWaiter()
	p.Subscribe(w, ReadUncommitted)
	deleted, err := p.Maintain(nowMs)
	if err != nil || deleted == 0 {
		t.Fatalf("deleted %d bytes, %v", deleted, err)
	}
	<-w.Poked()
	if o := p.Offsets(); o.LogStart == 0 || o.HighWatermark != 20 {
		t.Errorf("%+v", o)
	}
	if got := values(t, p, p.Offsets().LogStart); len(got) != int(20-p.Offsets().LogStart) {
		t.Errorf("%d records are left, %+v", len(got), p.Offsets())
	}
}

func TestLastSegmentIsLeftAloneUntilAllOfItExpires(t *testing.T) {
	p := open(t, disk.NewMem(), func(o *Options) { o.Config.Log.SegmentMs, o.Config.Log.RetentionMs = 10_000, 5000 })
	produce(t, p, batch(t, nil, "a"))
	for round := range int64(3) {
		if _, err := p.Maintain(nowMs + 1000*round); err != nil || p.Stats().Segments != 1 {
			t.Errorf("round %d: %+v, %v", round, p.Stats(), err)
		}
	}
	if _, err := p.Maintain(nowMs + 6000); err != nil || p.Offsets().LogStart != 1 {
		t.Errorf("%+v, %v", p.Offsets(), err)
	}
}

func TestOnlyThePartitionWithNewsPokes(t *testing.T) {
	mem := disk.NewMem()
	busy := open(t, mem, nil)
	idle := open(t, mem, func(o *Options) { o.Index, o.Log.Dir = 1, "/data/t-1" })
	atBusy, atIdle := NewWaiter(), NewWaiter()
	busy.Subscribe(atBusy, ReadUncommitted)
	idle.Subscribe(atIdle, ReadUncommitted)
	produce(t, busy, batch(t, nil, "a"))
	<-atBusy.Poked()
	select {
	case <-atIdle.Poked():
		t.Error("a partition without news has poked")
	default:
	}
	busy.Unsubscribe(atBusy)
	produce(t, busy, batch(t, nil, "a"))
	select {
	case <-atBusy.Poked():
		t.Error("poked after the subscription")
	default:
	}
}

func TestParseFlush(t *testing.T) {
	for _, flush := range []Flush{FlushCommit, FlushInterval, FlushOS} {
		if got, err := ParseFlush(flush.String()); got != flush || err != nil {
			t.Errorf("%v: %v, %v", flush, got, err)
		}
	}
	if _, err := ParseFlush("never"); err == nil {
		t.Error("never is a flush setting")
	}
	for ms, want := range map[int64]int64{0: defaultFlushMs, math.MaxInt64: defaultFlushMs, 20: 20} {
		if c := (Config{FlushMs: ms}); c.FlushEveryMs() != want {
			t.Errorf("flush.ms %d: every %d ms", ms, c.FlushEveryMs())
		}
	}
	if DefaultConfig().Flush != FlushCommit {
		t.Error("the default is not commit")
	}
}
