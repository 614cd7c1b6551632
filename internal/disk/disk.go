// Package disk is the file-system seam: every file that the broker writes goes through FS, so that a test can crash
// after any single operation, lose what was not synced, tear writes, flip bits, fail any call and run out of space.
//
// Three implementations: OS (the operating system's), Mem (in memory, with crash copies) and Faults (any other one,
// with errors injected).
package disk

import (
	"io"
	"os"
)

// FS is a file system. Names are slash-separated paths as the operating system takes them.
// Errors wrap fs.ErrNotExist, fs.ErrExist, syscall.ENOSPC and so on, as package os returns them.
// An FS is safe for concurrent use.
//
// A name that was created, renamed or removed survives a crash only once SyncDir of its directory has returned.
type FS interface {
	// Create makes a new, empty file for reading and writing. It fails with fs.ErrExist if name exists.
	Create(name string) (File, error)
	// Open opens an existing file for reading.
	Open(name string) (File, error)
	// OpenWrite opens an existing file for reading and writing.
	OpenWrite(name string) (File, error)
	// Remove deletes a file or an empty directory. Open files stay readable until closed.
	Remove(name string) error
	// Rename moves oldName to newName and replaces what was there.
	Rename(oldName, newName string) error
	// MkdirAll makes the directory and its parents; it is no error if it exists.
	MkdirAll(dir string) error
	// List returns the entries of dir sorted by name.
	List(dir string) ([]Entry, error)
	// Stat describes one file or directory.
	Stat(name string) (Entry, error)
	// SyncDir makes the names in dir durable.
	SyncDir(dir string) error
	// Lock takes the exclusive lock that the file name stands for, creating it if need be. It fails at once with
	// ErrLocked if another process (or another holder in this one) has it. Close releases it.
	Lock(name string) (io.Closer, error)
	// Usage says how much room the file system of dir has.
	Usage(dir string) (Usage, error)
}

// File is an open file. ReadAt and WriteAt may be called concurrently.
// What was written survives a crash only once SyncData or Sync has returned nil. After either has failed, nothing
// is known of what was written since the last success, and a retry that succeeds proves nothing.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// Truncate sets the file's size.
	Truncate(size int64) error
	// Allocate reserves room for the first size bytes and leaves the file's size as it is.
	Allocate(size int64) error
	// SyncData makes content and size durable (fdatasync).
	SyncData() error
	// Sync makes content and all metadata durable (fsync).
	Sync() error
	// Size is the file's size in bytes.
	Size() (int64, error)
	// Name is the path that the file was opened by.
	Name() string
}

// Backed is a File with an operating-system file behind it, which sendfile can read.
type Backed interface {
	File
	// OSFile returns the file. The caller must not close it.
	OSFile() *os.File
}

// Entry describes a file or a directory.
type Entry struct {
	Name  string // the last element of its path
	Size  int64  // bytes; 0 for a directory
	IsDir bool
}

// Usage is the room of a file system in bytes.
type Usage struct {
	TotalBytes int64
	FreeBytes  int64 // what an unprivileged process may still write
}
