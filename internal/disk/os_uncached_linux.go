package disk

import (
	"errors"
	"io"
	"os"
	"syscall"
)

// OpenUncached implements UncachedFS with O_DIRECT. A file system that does not know it (tmpfs, some in user space) is
// read as any other file.
func (osFS) OpenUncached(name string) (File, error) {
	file, err := os.OpenFile(name, os.O_RDONLY|syscall.O_DIRECT, 0)
	if errors.Is(err, syscall.EINVAL) {
		return openOS(name, os.O_RDONLY)
	}
	if err != nil {
		return nil, err
	}
	return &uncachedFile{osFile{file: file}}, nil
}

type uncachedFile struct{ osFile }

// ReadAt is one pread. Another one for what a short read leaves over would begin at an offset that is not aligned.
func (f *uncachedFile) ReadAt(p []byte, offset int64) (n int, err error) {
	err = onDescriptor(f.file, func(fd int) (err error) {
		n, err = syscall.Pread(fd, p, offset)
		return err
	})
	if errors.Is(err, syscall.EINVAL) { // larger blocks than ours, or no O_DIRECT after all
		return f.readCached(p, offset)
	}
	if err != nil {
		return 0, &os.PathError{Op: "read past the cache", Path: f.file.Name(), Err: err}
	}
	if n < len(p) {
		err = io.EOF
	}
	return n, err
}

func (f *uncachedFile) readCached(p []byte, offset int64) (n int, err error) {
	file, err := os.Open(f.file.Name())
	if err != nil {
		return 0, err
	}
	n, err = file.ReadAt(p, offset)
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	return n, err
}
