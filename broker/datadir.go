package broker

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/millrace/millrace/internal/disk"
)

// The files of a data directory that are not partitions:
//
//	.lock                    held by the process that the directory belongs to, which writes its id into it
//	meta.properties          what the directory is: version, cluster.id, node.id, directory.id, as Kafka writes it
//	.kafka_cleanshutdown     written when everything was closed in order, removed at the next start
const (
	lockName          = ".lock"
	metaName          = "meta.properties"
	cleanShutdownName = ".kafka_cleanshutdown"

	// metaVersion is the format of data directories that this program writes. Kafka's is the same.
	metaVersion = 1
)

// dataDirectory is the broker's own directory, locked.
type dataDirectory struct {
	fs   disk.FS
	path string
	lock io.Closer

	clusterID   string
	nodeID      int32
	directoryID string
	clean       bool // the last process that had it closed everything in order
}

// openDataDirectory makes the directory if need be, locks it, and reads what it is. nodeID is what a new one is given
// and an existing one must have.
func openDataDirectory(fsys disk.FS, path string, nodeID int32) (*dataDirectory, error) {
	if err := makeDirectory(fsys, path); err != nil {
		return nil, directoryError(path, err)
	}
	lock, err := lockDirectory(fsys, path)
	if err != nil {
		return nil, err
	}
	d := &dataDirectory{fs: fsys, path: path, lock: lock}
	if err := d.load(nodeID); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return d, nil
}

// makeDirectory makes path and its parents where they are missing, and makes the names of those that it made durable.
func makeDirectory(fsys disk.FS, path string) error {
	var missing []string
	for dir := filepath.Clean(path); ; dir = filepath.Dir(dir) {
		_, err := fsys.Stat(dir)
		if err == nil || dir == filepath.Dir(dir) {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		missing = append(missing, dir)
	}
	if err := fsys.MkdirAll(path); err != nil {
		return err
	}
	for _, dir := range missing {
		if err := fsys.SyncDir(filepath.Dir(dir)); err != nil {
			return err
		}
	}
	return nil
}

// lockDirectory takes the lock, and leaves the process id for whoever fails to.
func lockDirectory(fsys disk.FS, path string) (io.Closer, error) {
	name := filepath.Join(path, lockName)
	lock, err := fsys.Lock(name)
	if errors.Is(err, disk.ErrLocked) {
		holder := "another process"
		if pid, readErr := disk.ReadFile(fsys, name); readErr == nil && len(bytes.TrimSpace(pid)) > 0 {
			holder = "process " + string(bytes.TrimSpace(pid))
		}
		return nil, fmt.Errorf("data directory %s is in use by %s: %w", path, holder, err)
	}
	if err != nil {
		return nil, directoryError(path, err)
	}
	if err := writePID(fsys, name); err != nil {
		return nil, errors.Join(directoryError(path, err), lock.Close())
	}
	return lock, nil
}

func writePID(fsys disk.FS, name string) error {
	f, err := fsys.OpenWrite(name)
	if err != nil {
		return err
	}
	pid := []byte(strconv.Itoa(os.Getpid()) + "\n")
	if _, err = f.WriteAt(pid, 0); err == nil {
		err = f.Truncate(int64(len(pid)))
	}
	return errors.Join(err, f.Close())
}

func directoryError(path string, err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("data directory %s is not writable: %w", path, err)
	}
	return fmt.Errorf("data directory %s: %w", path, err)
}

func (d *dataDirectory) load(nodeID int32) error {
	marker := filepath.Join(d.path, cleanShutdownName)
	if _, err := d.fs.Stat(marker); err == nil {
		d.clean = true
	} else if !errors.Is(err, fs.ErrNotExist) {
		return directoryError(d.path, err)
	}
	name := filepath.Join(d.path, metaName)
	text, err := disk.ReadFile(d.fs, name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = d.create(nodeID)
	case err != nil:
		return directoryError(d.path, err)
	default:
		err = d.parse(name, string(text), nodeID)
	}
	if err != nil || !d.clean {
		return err
	}
	// From here on the directory is in use: a crash is not a clean shutdown.
	if err := d.fs.Remove(marker); err != nil {
		return directoryError(d.path, err)
	}
	if err := d.fs.SyncDir(d.path); err != nil {
		return directoryError(d.path, err)
	}
	return nil
}

// create makes a new directory's identity.
func (d *dataDirectory) create(nodeID int32) error {
	d.clusterID, d.nodeID, d.directoryID = idText(newID()), nodeID, idText(newID())
	text := fmt.Sprintf("# written by millrace\nversion=%d\ncluster.id=%s\nnode.id=%d\ndirectory.id=%s\n",
		metaVersion, d.clusterID, d.nodeID, d.directoryID)
	if err := disk.WriteAtomic(d.fs, filepath.Join(d.path, metaName), []byte(text)); err != nil {
		return directoryError(d.path, err)
	}
	return nil
}

// parse reads a directory's identity and refuses what is not for this broker.
func (d *dataDirectory) parse(name, text string, nodeID int32) error {
	properties := map[string]string{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok {
			return fmt.Errorf("%s: line %q is not of the form key=value", name, line)
		}
		properties[strings.TrimSpace(key)] = strings.TrimSpace(value)
	}
	version, err := strconv.Atoi(properties["version"])
	if err != nil || version < 0 {
		return fmt.Errorf("%s: version %q is not a number", name, properties["version"])
	}
	if version > metaVersion {
		return fmt.Errorf("%s: version %d was written by a newer program; this one reads versions up to %d", name, version, metaVersion)
	}
	id, err := strconv.ParseInt(properties["node.id"], 10, 32)
	if err != nil {
		return fmt.Errorf("%s: node.id %q is not a number", name, properties["node.id"])
	}
	if int32(id) != nodeID {
		return fmt.Errorf("%s: the directory belongs to node.id %d, not to %d", name, id, nodeID)
	}
	if properties["cluster.id"] == "" {
		return fmt.Errorf("%s: cluster.id is missing", name)
	}
	d.clusterID, d.nodeID, d.directoryID = properties["cluster.id"], int32(id), properties["directory.id"]
	return nil
}

// markClean notes that everything in the directory was closed in order.
func (d *dataDirectory) markClean() error {
	if err := disk.WriteAtomic(d.fs, filepath.Join(d.path, cleanShutdownName), []byte("1\n")); err != nil {
		return directoryError(d.path, err)
	}
	return nil
}

// close gives the directory up.
func (d *dataDirectory) close() error {
	if err := d.lock.Close(); err != nil {
		return fmt.Errorf("unlock data directory %s: %w", d.path, err)
	}
	return nil
}
