package broker

import (
	"math/bits"
	"sync"

	"github.com/millrace/millrace/internal/invariant"
)

// Slabs come in powers of two. Larger ones than the largest class are made when needed and left to the collector.
const (
	slabBitsMin = 12 // 4 KiB
	slabBitsMax = 22 // 4 MiB
)

// slab is memory that is used again.
type slab struct {
	bytes []byte
	class int // index in slabPools; -1 does not go back
}

var slabPools [slabBitsMax - slabBitsMin + 1]sync.Pool

// takeSlab returns a slab of at least size bytes. Its content is undefined.
func takeSlab(size int) *slab {
	class := max(bits.Len(uint(size-1)), slabBitsMin) - slabBitsMin
	if class >= len(slabPools) {
		return &slab{bytes: make([]byte, size), class: -1}
	}
	if s, ok := slabPools[class].Get().(*slab); ok {
		return s
	}
	return &slab{bytes: make([]byte, 1<<(class+slabBitsMin)), class: class}
}

// give returns the slab. Nobody may look at its bytes afterwards.
func (s *slab) give() {
	poison(s.bytes)
	if s.class >= 0 {
		slabPools[s.class].Put(s)
	}
}

// poison makes bytes that nobody may look at any more recognizable, where invariants are checked.
func poison(b []byte) {
	if invariant.Enabled {
		for i := range b {
			b[i] = 0xdb
		}
	}
}

// frame is one request's bytes after its size field.
type frame struct {
	bytes []byte
	slab  *slab // nil: the bytes lie in the connection's read-ahead buffer
}

// release ends the use of the frame's bytes.
func (f frame) release() {
	if f.slab != nil {
		f.slab.give()
		return
	}
	poison(f.bytes)
}
