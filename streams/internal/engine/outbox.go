package engine

import (
	"unsafe"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	slabRecords     = 1024
	arenaBytes      = 256 << 10
	arenaBytesLeast = 4 << 10 // less than that left: the next chunk
	chunksKeptMax   = 64      // of slabs and of arena chunks, for the next commit
)

// outbox holds what a task writes until it is committed: records in slabs, their bytes in chunks. A producer may read both
// until then; afterwards they are used again.
type outbox struct {
	produce func(records ...*kgo.Record) error

	slabs   [][]kgo.Record
	used    int // records handed out
	chunks  [][]byte
	chunk   int           // the one that free belongs to
	free    []byte        // the rest of it
	waiting []*kgo.Record // not yet given to the producer
}

// record returns an empty record that lives until the commit.
func (o *outbox) record() *kgo.Record {
	slab, at := o.used/slabRecords, o.used%slabRecords
	if slab == len(o.slabs) {
		o.slabs = append(o.slabs, make([]kgo.Record, slabRecords))
	}
	o.used++
	return &o.slabs[slab][at]
}

// takeBack undoes the last call of record.
func (o *outbox) takeBack(record *kgo.Record) {
	*record = kgo.Record{}
	o.used--
}

// add hands a record over to the producer, with the next flush.
func (o *outbox) add(record *kgo.Record) { o.waiting = append(o.waiting, record) }

// flush gives the producer what was added.
func (o *outbox) flush() error {
	if len(o.waiting) == 0 {
		return nil
	}
	err := o.produce(o.waiting...)
	clear(o.waiting)
	o.waiting = o.waiting[:0]
	return err
}

// buffer returns room for bytes to append to. keep makes them last until the commit; without it, the next buffer is the same.
func (o *outbox) buffer() []byte {
	if len(o.free) < arenaBytesLeast {
		o.nextChunk()
	}
	return o.free[:0]
}

func (o *outbox) nextChunk() {
	if o.free != nil {
		o.chunk++
	}
	if o.chunk == len(o.chunks) {
		o.chunks = append(o.chunks, make([]byte, arenaBytes))
	}
	o.free = o.chunks[o.chunk]
}

// keep keeps what was appended to the last buffer. Bytes that did not fit into it have moved elsewhere, and stay there.
func (o *outbox) keep(data []byte) {
	if unsafe.SliceData(data) == unsafe.SliceData(o.free) {
		o.free = o.free[len(data):]
	}
}

// bytes returns about how much memory is in use.
func (o *outbox) bytes() int64 {
	return int64(o.used)*int64(unsafe.Sizeof(kgo.Record{})) + int64(o.chunk*arenaBytes)
}

// reset takes everything back.
func (o *outbox) reset() {
	for at := range min(len(o.slabs), (o.used+slabRecords-1)/slabRecords) {
		clear(o.slabs[at])
	}
	o.slabs = cut(o.slabs)
	o.chunks = cut(o.chunks)
	o.used, o.chunk, o.free = 0, 0, nil
	o.waiting = o.waiting[:0]
}

// cut drops what a commit above the usual size has needed.
func cut[T any](all []T) []T {
	if len(all) <= chunksKeptMax {
		return all
	}
	clear(all[chunksKeptMax:])
	return all[:chunksKeptMax]
}
