package partition

import "runtime"

// maxDecompressedBytes bounds what one batch may become when the broker has to look inside or recompress it:
// Kafka's default of socket.request.max.bytes.
const maxDecompressedBytes = 100 << 20

// slots bounds how many do something at the same time.
type slots chan struct{}

// decompressionsMax is how many batches each of admissions and lookups decompresses at the same time. More than there
// are processors would be no faster, and each may take maxDecompressedBytes, however small the batch is: a client needs
// no more than a few kilobytes and some connections to use up all memory. The bound is the process's, as its memory is.
var decompressionsMax = max(2, runtime.GOMAXPROCS(0))

var (
	admissions = make(slots, decompressionsMax) // of batches that have to be looked into before they are appended
	lookups    = make(slots, decompressionsMax) // of records by time
)

// run calls do when there is a slot.
func (s slots) run(do func() error) error {
	s <- struct{}{}
	defer func() { <-s }()
	return do()
}
