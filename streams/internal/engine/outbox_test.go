package engine

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

func TestOutboxKeepsBytesUntilTheCommit(t *testing.T) {
	var produced []*kgo.Record
	o := outbox{produce: func(records ...*kgo.Record) error { produced = append(produced, records...); return nil }}
	fill := func(n, valueBytes int) {
		for i := range n {
			data := append(o.buffer(), fmt.Sprintf("%d-", i)...)
			data = append(data, bytes.Repeat([]byte{byte(i)}, valueBytes)...)
			o.buffer() // a record that was not emitted leaves nothing
			o.keep(data)
			record := o.record()
			record.Value = data
			o.add(record)
		}
		if err := o.flush(); err != nil {
			t.Fatal(err)
		}
	}
	check := func(n, valueBytes int) {
		t.Helper()
		if len(produced) != n {
			t.Fatalf("%d records, want %d", len(produced), n)
		}
		for i, record := range produced {
			if want := append([]byte(fmt.Sprintf("%d-", i)), bytes.Repeat([]byte{byte(i)}, valueBytes)...); !bytes.Equal(record.Value, want) {
				t.Fatalf("record %d has %d other bytes", i, len(record.Value))
			}
		}
	}
	for _, c := range []struct{ records, valueBytes int }{
		{3 * slabRecords / 2, 10}, {100, 3 * arenaBytesLeast}, {3 * chunksKeptMax, arenaBytes - arenaBytesLeast}, {3, arenaBytes}, {10, 10},
	} {
		produced = nil
		fill(c.records, c.valueBytes)
		check(c.records, c.valueBytes)
		if o.bytes() == 0 {
			t.Error("nothing is in use")
		}
		first := produced[0]
		o.reset()
		if first.Value != nil || o.bytes() != 0 {
			t.Error("reset keeps records")
		}
		if len(o.chunks) > chunksKeptMax {
			t.Errorf("%d chunks are kept", len(o.chunks))
		}
	}
}

func TestOutboxDoesNotAllocateAgain(t *testing.T) {
	o := outbox{produce: func(...*kgo.Record) error { return nil }}
	commit := func() {
		for range 10_000 {
			data := append(o.buffer(), "0123456789012345678901234567890123456789"...)
			o.keep(data)
			record := o.record()
			record.Key = data
			o.add(record)
		}
		_ = o.flush()
		o.reset()
	}
	commit()
	if allocs := testing.AllocsPerRun(5, commit); allocs > 0 {
		t.Errorf("%v allocations per commit", allocs)
	}
}
