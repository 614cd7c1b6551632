package disk

import (
	"errors"
	"io"
	"os"
	"syscall"
	"unsafe"
)

// OpenDirect implements DirectFS with O_DIRECT and O_DSYNC.
func (osFS) OpenDirect(name string) (DirectFile, error) {
	file, err := os.OpenFile(name, os.O_WRONLY|syscall.O_DIRECT|syscall.O_DSYNC, 0)
	if errors.Is(err, syscall.EINVAL) { // what open says where O_DIRECT is not known
		return nil, &os.PathError{Op: "open for direct writes", Path: name, Err: errors.ErrUnsupported}
	}
	if err != nil {
		return nil, err
	}
	// Without a reservation a full disk would be found out only when batches are already accepted.
	err = onDescriptor(file, func(fd int) error { return syscall.Fallocate(fd, fallocKeepSize, 0, DirectBlock) })
	if errors.Is(err, syscall.EOPNOTSUPP) || errors.Is(err, syscall.ENOSYS) {
		err = errors.ErrUnsupported
	}
	var raw syscall.RawConn
	if err == nil {
		raw, err = file.SyscallConn()
	}
	if err != nil {
		return nil, errors.Join(&os.PathError{Op: "open for direct writes", Path: name, Err: err}, file.Close())
	}
	return &osDirectFile{file: file, raw: raw}, nil
}

type osDirectFile struct {
	file *os.File
	raw  syscall.RawConn
}

func (f *osDirectFile) Name() string { return f.file.Name() }

func (f *osDirectFile) Close() error { return f.file.Close() }

// WriteBlocks is one pwritev, and another one for what it leaves over.
func (f *osDirectFile) WriteBlocks(offset int64, pieces [][]byte) error {
	length, err := checkBlocks(offset, pieces)
	for err == nil && length > 0 {
		var n int
		n, err = f.write(offset, pieces)
		if err == nil && (n == 0 || n%DirectBlock != 0) {
			err = io.ErrShortWrite
		}
		offset, length = offset+int64(n), length-int64(n)
		pieces = skipBytes(pieces, n)
	}
	if err != nil {
		return &os.PathError{Op: "direct write", Path: f.file.Name(), Err: err}
	}
	return nil
}

// vectorsMax is how many pieces go into one pwritev.
const vectorsMax = 8

func (f *osDirectFile) write(offset int64, pieces [][]byte) (n int, err error) {
	var vectors [vectorsMax]syscall.Iovec
	count := 0
	for _, piece := range pieces {
		if len(piece) > 0 && count < vectorsMax {
			vectors[count].Base = &piece[0]
			vectors[count].SetLen(len(piece))
			count++
		}
	}
	controlErr := f.raw.Control(func(fd uintptr) {
		for {
			// The offset is one argument on 64-bit systems, and the upper half follows on others.
			written, _, errno := syscall.Syscall6(syscall.SYS_PWRITEV, fd, uintptr(unsafe.Pointer(&vectors)), uintptr(count),
				uintptr(offset), uintptr(uint64(offset)>>32), 0)
			if errno == syscall.EINTR {
				continue
			}
			if errno != 0 {
				err = errno
				return
			}
			n = int(written)
			return
		}
	})
	return n, errors.Join(controlErr, err)
}

// skipBytes drops the first n bytes of the pieces.
func skipBytes(pieces [][]byte, n int) [][]byte {
	for n > 0 {
		if n < len(pieces[0]) {
			pieces[0] = pieces[0][n:]
			return pieces
		}
		n -= len(pieces[0])
		pieces = pieces[1:]
	}
	return pieces
}
