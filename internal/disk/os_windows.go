package disk

import (
	"errors"
	"io"
	"os"
	"syscall"
	"unsafe"
)

// errSharingViolation is ERROR_SHARING_VIOLATION: somebody else has the file open.
const errSharingViolation = syscall.Errno(32)

// syncDirectory does nothing: Windows has no handle to flush a directory with, NTFS journals names itself.
func syncDirectory(string) error { return nil }

// lockFile opens the file name shared with nobody; the system closes it when the process dies.
func lockFile(name string) (io.Closer, error) {
	path, err := syscall.UTF16PtrFromString(name)
	if err != nil {
		return nil, err
	}
	handle, err := syscall.CreateFile(path, syscall.GENERIC_READ|syscall.GENERIC_WRITE, 0, nil,
		syscall.OPEN_ALWAYS, syscall.FILE_ATTRIBUTE_NORMAL, 0)
	if errors.Is(err, errSharingViolation) {
		return nil, ErrLocked
	}
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(handle), name), nil
}

var getDiskFreeSpace = syscall.NewLazyDLL("kernel32.dll").NewProc("GetDiskFreeSpaceExW")

func fileSystemUsage(dir string) (Usage, error) {
	path, err := syscall.UTF16PtrFromString(dir)
	if err != nil {
		return Usage{}, err
	}
	var free, total, allFree uint64
	ok, _, err := getDiskFreeSpace.Call(uintptr(unsafe.Pointer(path)), uintptr(unsafe.Pointer(&free)),
		uintptr(unsafe.Pointer(&total)), uintptr(unsafe.Pointer(&allFree)))
	if ok == 0 {
		return Usage{}, err
	}
	return Usage{TotalBytes: int64(total), FreeBytes: int64(free)}, nil
}
