//go:build linux || darwin || freebsd || dragonfly

package disk

import (
	"errors"
	"io"
	"os"
	"syscall"
)

func syncDirectory(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = f.Sync()
	return errors.Join(err, f.Close())
}

// lockFile holds an advisory flock on the file name. The kernel drops it when the process dies, however it dies;
// the file itself stays, because removing it would let two processes lock two files of one name.
func lockFile(name string) (io.Closer, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, filePermission)
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err != syscall.EINTR {
			break
		}
	}
	if err == nil {
		return f, nil
	}
	f.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, ErrLocked
	}
	return nil, err
}

func fileSystemUsage(dir string) (Usage, error) {
	var stat syscall.Statfs_t
	for {
		err := syscall.Statfs(dir, &stat)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return Usage{}, err
		}
		block := int64(stat.Bsize)
		return Usage{TotalBytes: int64(stat.Blocks) * block, FreeBytes: int64(stat.Bavail) * block}, nil
	}
}
