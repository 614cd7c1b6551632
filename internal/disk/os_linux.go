package disk

import (
	"errors"
	"os"
	"syscall"
)

// fallocKeepSize is FALLOC_FL_KEEP_SIZE of linux/falloc.h: the room is reserved, the file's size stays.
const fallocKeepSize = 1

func syncData(f *os.File) error {
	return onDescriptor(f, syscall.Fdatasync)
}

// allocate reserves blocks. A file system that cannot (NFS, some overlays) is no error: the room is a courtesy, and
// a write that finds none says so itself.
func allocate(f *os.File, size int64) error {
	if size <= 0 {
		return nil
	}
	err := onDescriptor(f, func(fd int) error { return syscall.Fallocate(fd, fallocKeepSize, 0, size) })
	if errors.Is(err, syscall.EOPNOTSUPP) || errors.Is(err, syscall.ENOSYS) {
		return nil
	}
	return err
}

// onDescriptor runs call on f's descriptor, again if a signal interrupted it, and keeps f open meanwhile.
func onDescriptor(f *os.File, call func(fd int) error) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		for {
			if failed = call(int(fd)); failed != syscall.EINTR {
				return
			}
		}
	})
	if err != nil {
		return err
	}
	return failed
}
