package log

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"math"
	"path/filepath"

	"github.com/millrace/millrace/internal/disk"
)

// millrace.cleaner says how far the log has been compacted, big-endian, replaced as a whole:
//
//	+-----------+-------------+-----------+-------------+------------+-------------+
//	| magic u32 | version u16 | dirty i64 | sparse i64  | due ms i64 | crc-32c u32 |
//	+-----------+-------------+-----------+-------------+------------+-------------+
//
// A pass begins at the offset dirty, and only below the offset sparse may offsets be missing: it is written before a pass
// that takes some away. At the time due the first delete horizon has passed, and the next pass takes tombstones away; -1: never.
const (
	cleanerMagic   = 0x6d72636c // "mrcl"
	cleanerVersion = 1
	cleanerSize    = 4 + 2 + 8 + 8 + 8 + crcSize
)

// errCleaner: the bytes are no cleaner checkpoint.
var errCleaner = errors.New("cleaner checkpoint is damaged")

// cleanerState is the content of the file.
type cleanerState struct {
	dirty  int64 // all below has been compacted
	sparse int64 // offsets may be missing below
	dueMs  int64 // when a delete horizon passes, -1: never
}

// cleanerUnknown is what holds where the file is damaged: anything below may be missing, and nothing has been compacted.
var cleanerUnknown = cleanerState{sparse: math.MaxInt64, dueMs: -1}

func (c cleanerState) encode() []byte {
	dst := make([]byte, 0, cleanerSize)
	dst = binary.BigEndian.AppendUint32(dst, cleanerMagic)
	dst = binary.BigEndian.AppendUint16(dst, cleanerVersion)
	dst = binary.BigEndian.AppendUint64(dst, uint64(c.dirty))
	dst = binary.BigEndian.AppendUint64(dst, uint64(c.sparse))
	dst = binary.BigEndian.AppendUint64(dst, uint64(c.dueMs))
	return binary.BigEndian.AppendUint32(dst, crc32.Checksum(dst, castagnoli))
}

// decodeCleanerState is the inverse of encode. It returns errCleaner or ErrNewerFormat.
func decodeCleanerState(data []byte) (cleanerState, error) {
	if len(data) < 6+crcSize || binary.BigEndian.Uint32(data) != cleanerMagic {
		return cleanerState{}, fmt.Errorf("%w: %d bytes without its header", errCleaner, len(data))
	}
	body := data[:len(data)-crcSize]
	if crc32.Checksum(body, castagnoli) != binary.BigEndian.Uint32(data[len(body):]) {
		return cleanerState{}, fmt.Errorf("%w: crc does not match", errCleaner)
	}
	if version := binary.BigEndian.Uint16(data[4:]); version > cleanerVersion {
		return cleanerState{}, fmt.Errorf("cleaner checkpoint version %d, at most %d is known: %w", version, cleanerVersion, ErrNewerFormat)
	}
	if len(data) != cleanerSize {
		return cleanerState{}, fmt.Errorf("%w: %d bytes, not %d", errCleaner, len(data), cleanerSize)
	}
	c := cleanerState{
		dirty:  int64(binary.BigEndian.Uint64(data[6:])),
		sparse: int64(binary.BigEndian.Uint64(data[14:])),
		dueMs:  int64(binary.BigEndian.Uint64(data[22:])),
	}
	if c.dirty < 0 || c.sparse < 0 {
		return cleanerState{}, fmt.Errorf("%w: dirty %d, sparse %d", errCleaner, c.dirty, c.sparse)
	}
	return c, nil
}

// readCleanerState returns what the directory's file says. known is false if there is none, and then nothing has been compacted
// here; one that is damaged gives cleanerUnknown. Errors: ErrNewerFormat, and failures of the file.
func readCleanerState(fsys disk.FS, dir string) (c cleanerState, known bool, err error) {
	name := filepath.Join(dir, cleanerName)
	data, err := disk.ReadFile(fsys, name)
	if errors.Is(err, fs.ErrNotExist) {
		return cleanerState{dueMs: -1}, false, nil
	}
	if err != nil {
		return cleanerState{}, false, err
	}
	c, err = decodeCleanerState(data)
	if errors.Is(err, ErrNewerFormat) {
		return cleanerState{}, false, fmt.Errorf("%s: %w", name, err)
	}
	if err != nil {
		return cleanerUnknown, true, nil
	}
	return c, true, nil
}

// saveCleaner replaces the file; on return it is durable. One that says the same already stays.
func (l *Log) saveCleaner(c cleanerState) error {
	if *l.cleaner.Load() == c {
		return nil
	}
	name := filepath.Join(l.dir, cleanerName)
	if err := disk.WriteAtomic(l.fsys, name, c.encode()); err != nil {
		return writeError("write "+name, err)
	}
	l.cleaner.Store(&c)
	return nil
}
