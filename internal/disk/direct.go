package disk

import (
	"errors"
	"fmt"
	"io"
	"syscall"
	"unsafe"
)

// DirectBlock is what the offsets, lengths and memory addresses of direct writes are multiples of.
const DirectBlock = 4096

// DirectFS is an FS that can write past the page cache.
type DirectFS interface {
	FS
	// OpenDirect opens an existing file for direct writes. It fails with errors.ErrUnsupported where the file system
	// cannot do them, or cannot reserve room for them (File.Allocate).
	OpenDirect(name string) (DirectFile, error)
}

// DirectFile writes whole blocks that are durable when the write returns. Writes to it and reads by a File of the same
// name see each other; writes by both at once to one block do not mix.
type DirectFile interface {
	io.Closer
	// WriteBlocks writes the pieces back to back from offset on, and returns when they are durable, together with the
	// size of the file if that grew. Offset, lengths and addresses are multiples of DirectBlock (see AlignedBuffer).
	// After an error nothing is known of what lies there. It keeps no reference to pieces, whose elements it may change.
	WriteBlocks(offset int64, pieces [][]byte) error
	// Name is the path that the file was opened by.
	Name() string
}

// OpenDirect opens a file for direct writes if the file system has them; errors.ErrUnsupported: it does not.
func OpenDirect(fsys FS, name string) (DirectFile, error) {
	if direct, ok := fsys.(DirectFS); ok {
		return direct.OpenDirect(name)
	}
	return nil, fmt.Errorf("open %s for direct writes: %w", name, errors.ErrUnsupported)
}

// AlignedBuffer returns zeroed memory for direct writes. size is a multiple of DirectBlock.
func AlignedBuffer(size int) []byte {
	raw := make([]byte, size+DirectBlock)
	skip := -int(uintptr(unsafe.Pointer(&raw[0]))) & (DirectBlock - 1)
	return raw[skip : skip+size : skip+size]
}

// checkBlocks returns the length of a direct write, and EINVAL, as the kernel does, for one that is not aligned.
func checkBlocks(offset int64, pieces [][]byte) (int64, error) {
	length, mask := int64(0), int64(DirectBlock-1)
	for _, piece := range pieces {
		if len(piece) > 0 && uintptr(unsafe.Pointer(&piece[0]))&uintptr(mask) != 0 {
			return 0, syscall.EINVAL
		}
		if int64(len(piece))&mask != 0 {
			return 0, syscall.EINVAL
		}
		length += int64(len(piece))
	}
	if offset < 0 || offset&mask != 0 {
		return 0, syscall.EINVAL
	}
	return length, nil
}
