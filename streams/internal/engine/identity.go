package engine

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"

	"github.com/millrace/millrace/internal/disk"
)

const (
	lockFileName    = "lock"
	processFileName = "process-id"
	processIDBytes  = 8
)

// Identity is who a process of an application is: its state directory, which it alone has, and the id that is kept in it. A
// process that starts again with the same directory is the same one, and ends what it left open.
type Identity struct {
	ProcessID string
	Dir       string // of the application: <state dir>/<app>
	lock      io.Closer
}

// OpenIdentity takes the state directory of an application, and makes it if need be. It fails at once if another process has it.
func OpenIdentity(fsys disk.FS, stateDir, app string) (*Identity, error) {
	id := &Identity{Dir: filepath.Join(stateDir, app)}
	if err := fsys.MkdirAll(id.Dir); err != nil {
		return nil, fmt.Errorf("state directory %s: %w", id.Dir, err)
	}
	if err := id.take(fsys); err != nil {
		return nil, err
	}
	if err := id.load(fsys); err != nil {
		return nil, errors.Join(err, id.Close())
	}
	return id, nil
}

// take takes the lock and leaves the number of this process for whoever fails to.
func (id *Identity) take(fsys disk.FS) (err error) {
	name := filepath.Join(id.Dir, lockFileName)
	id.lock, err = fsys.Lock(name)
	if errors.Is(err, disk.ErrLocked) {
		holder := "another process"
		if pid, err := disk.ReadFile(fsys, name); err == nil && len(bytes.TrimSpace(pid)) > 0 {
			holder = "process " + string(bytes.TrimSpace(pid))
		}
		return fmt.Errorf("state directory %s is in use by %s: give each process of an application a directory of its own: %w",
			id.Dir, holder, err)
	}
	if err != nil {
		return fmt.Errorf("state directory %s: lock: %w", id.Dir, err)
	}
	f, err := fsys.OpenWrite(name)
	if err != nil {
		return errors.Join(fmt.Errorf("state directory %s: %w", id.Dir, err), id.Close())
	}
	pid := []byte(strconv.Itoa(os.Getpid()) + "\n")
	if _, err = f.WriteAt(pid, 0); err == nil {
		err = f.Truncate(int64(len(pid)))
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(fmt.Errorf("state directory %s: %w", id.Dir, err), id.Close())
	}
	return nil
}

var processID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// load reads the id of the process, or makes one.
func (id *Identity) load(fsys disk.FS) error {
	name := filepath.Join(id.Dir, processFileName)
	data, err := disk.ReadFile(fsys, name)
	if errors.Is(err, fs.ErrNotExist) {
		id.ProcessID = randomID()
		err = disk.WriteAtomic(fsys, name, []byte(id.ProcessID+"\n"))
		if err != nil {
			return fmt.Errorf("keep the process id in %s: %w", name, err)
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the process id: %w", err)
	}
	id.ProcessID = string(bytes.TrimSpace(data))
	if !processID.MatchString(id.ProcessID) {
		return fmt.Errorf("%s has %.80q, which is no process id: remove it to get a new one", name, data)
	}
	return nil
}

// Close gives the directory up.
func (id *Identity) Close() error {
	if id.lock == nil {
		return nil
	}
	lock := id.lock
	id.lock = nil
	return lock.Close()
}

// randomID returns an id that nobody else has.
func randomID() string {
	id := make([]byte, processIDBytes)
	_, _ = rand.Read(id) // never fails
	return hex.EncodeToString(id)
}
