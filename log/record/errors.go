package record

import "errors"

// The kinds of broken batch. Every error of this package wraps exactly one of them and names the place and the values.
var (
	// ErrShort: the buffer ends before the batch does. More bytes may complete it.
	ErrShort = errors.New("batch ends early")
	// ErrCorrupt: a length that cannot be, a magic that never existed, or a CRC that does not match.
	ErrCorrupt = errors.New("corrupt batch")
	// ErrMagic: a message set of format 0 or 1, which is sound but no longer taken.
	ErrMagic = errors.New("unsupported message format")
	// ErrCodec: the compression bits name no known codec.
	ErrCodec = errors.New("unknown compression codec")
	// ErrInvalid: the CRC matches, and yet counts, offsets or records contradict each other.
	ErrInvalid = errors.New("invalid batch")
	// ErrTimestamp: a producer claims LogAppendTime, which is the broker's to write.
	ErrTimestamp = errors.New("invalid timestamp type")
	// ErrTooLarge: the decompressed records would exceed the bound of the caller.
	ErrTooLarge = errors.New("decompressed size over the limit")
)
