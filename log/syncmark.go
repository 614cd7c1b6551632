package log

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sync"

	"github.com/millrace/millrace/internal/disk"
)

// millrace.syncmark says how far the log is known to be durable, in two slots of 512 bytes that are overwritten in
// turn after each sync:
//
//	+-----------+-------------+-----------+--------------+------------+-------------+--------------+---------------+-------+-------------+
//	| magic u32 | version u16 | flags u16 | sequence u64 | offset i64 | segment i64 | position i64 | log start i64 | 0 ... | crc-32c u32 |
//	+-----------+-------------+-----------+--------------+------------+-------------+--------------+---------------+-------+-------------+
//
// The slot with the larger sequence counts. The file itself is synced only when the log is rolled, cut or closed: after
// a killed process it is exact, after a power failure merely older, and what it says was true at its time in either case.
//
// The flag failed says that a write or sync of the log has failed: pages in the cache may then count as clean that are
// not on the medium. It lives as long as they do, in the page cache itself, and makes recovery write them again.
const (
	syncMarkMagic    = 0x6d72736d // "mrsm"
	syncMarkVersion  = 1
	syncMarkSlotSize = 512
	syncMarkCRCAt    = syncMarkSlotSize - crcSize
	failedFlag       = 1 << 0
)

// errSyncMark: the bytes are no slot.
var errSyncMark = errors.New("sync mark is damaged")

// syncMark is the content of one slot.
type syncMark struct {
	sequence uint64
	durable  place
	logStart int64
	failed   bool
}

func (m syncMark) encode(slot *[syncMarkSlotSize]byte) {
	clear(slot[:])
	binary.BigEndian.PutUint32(slot[0:], syncMarkMagic)
	binary.BigEndian.PutUint16(slot[4:], syncMarkVersion)
	if m.failed {
		binary.BigEndian.PutUint16(slot[6:], failedFlag)
	}
	binary.BigEndian.PutUint64(slot[8:], m.sequence)
	binary.BigEndian.PutUint64(slot[16:], uint64(m.durable.offset))
	binary.BigEndian.PutUint64(slot[24:], uint64(m.durable.segment))
	binary.BigEndian.PutUint64(slot[32:], uint64(m.durable.position))
	binary.BigEndian.PutUint64(slot[40:], uint64(m.logStart))
	binary.BigEndian.PutUint32(slot[syncMarkCRCAt:], crc32.Checksum(slot[:syncMarkCRCAt], castagnoli))
}

func decodeSyncMark(slot []byte) (syncMark, error) {
	if len(slot) < syncMarkSlotSize || binary.BigEndian.Uint32(slot) != syncMarkMagic {
		return syncMark{}, fmt.Errorf("%w: %d bytes without its header", errSyncMark, len(slot))
	}
	if crc32.Checksum(slot[:syncMarkCRCAt], castagnoli) != binary.BigEndian.Uint32(slot[syncMarkCRCAt:]) {
		return syncMark{}, fmt.Errorf("%w: crc does not match", errSyncMark)
	}
	if version := binary.BigEndian.Uint16(slot[4:]); version > syncMarkVersion {
		return syncMark{}, fmt.Errorf("sync mark version %d, at most %d is known: %w", version, syncMarkVersion, ErrNewerFormat)
	}
	m := syncMark{
		sequence: binary.BigEndian.Uint64(slot[8:]),
		durable: place{
			offset:   int64(binary.BigEndian.Uint64(slot[16:])),
			segment:  int64(binary.BigEndian.Uint64(slot[24:])),
			position: int64(binary.BigEndian.Uint64(slot[32:])),
		},
		logStart: int64(binary.BigEndian.Uint64(slot[40:])),
		failed:   binary.BigEndian.Uint16(slot[6:])&failedFlag != 0,
	}
	if !m.durable.sane() || m.logStart < 0 {
		return syncMark{}, fmt.Errorf("%w: %+v", errSyncMark, m)
	}
	return m, nil
}

// decodeSyncMarks returns the newest intact slot of a file's content. ok is false if there is none.
func decodeSyncMarks(data []byte) (newest syncMark, ok bool, err error) {
	for at := 0; at+syncMarkSlotSize <= len(data) && at < 2*syncMarkSlotSize; at += syncMarkSlotSize {
		m, err := decodeSyncMark(data[at:][:syncMarkSlotSize])
		if errors.Is(err, ErrNewerFormat) {
			return syncMark{}, false, err
		}
		if err == nil && (!ok || m.sequence > newest.sequence) {
			newest, ok = m, true
		}
	}
	return newest, ok, nil
}

// syncMarks writes the file.
type syncMarks struct {
	mu struct {
		sync.Mutex
		file   disk.File
		newest syncMark
		slot   [syncMarkSlotSize]byte
	}
}

// advance notes a later durable place in the slot whose turn it is. An earlier one changes nothing: a sync that took
// long may end after that of a roll.
func (s *syncMarks) advance(durable place, logStart int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	newest := s.mu.newest
	if durable.offset < newest.durable.offset || durable == newest.durable && logStart == newest.logStart && !newest.failed {
		return nil
	}
	return s.writeLocked(syncMark{durable: durable, logStart: logStart})
}

// advanceStart notes a later log start.
func (s *syncMarks) advanceStart(logStart int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writeLocked(syncMark{durable: s.mu.newest.durable, logStart: logStart})
}

// noteFailure sets the flag failed.
func (s *syncMarks) noteFailure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.file == nil {
		return nil // nothing was written
	}
	return s.writeLocked(syncMark{durable: s.mu.newest.durable, logStart: s.mu.newest.logStart, failed: true})
}

// reset notes a durable place, be it earlier than the newest, in both slots and syncs them: neither must ever claim
// more again.
func (s *syncMarks) reset(durable place, logStart int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for range 2 {
		if err := s.writeLocked(syncMark{durable: durable, logStart: logStart}); err != nil {
			return err
		}
	}
	return s.mu.file.SyncData()
}

func (s *syncMarks) writeLocked(next syncMark) error {
	next.sequence = s.mu.newest.sequence + 1
	next.encode(&s.mu.slot)
	if _, err := s.mu.file.WriteAt(s.mu.slot[:], int64(next.sequence%2)*syncMarkSlotSize); err != nil {
		return err
	}
	s.mu.newest = next
	return nil
}

func (s *syncMarks) sync() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.file.SyncData()
}

func (s *syncMarks) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.file == nil {
		return nil
	}
	err := s.mu.file.Close()
	s.mu.file = nil
	return err
}

// readSyncMark returns the newest mark of the file name. ok is false if there is none.
func readSyncMark(fsys disk.FS, name string) (m syncMark, ok bool, err error) {
	f, err := fsys.Open(name)
	if err != nil {
		return syncMark{}, false, err
	}
	defer f.Close()
	var data [2 * syncMarkSlotSize]byte
	n, err := f.ReadAt(data[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return syncMark{}, false, fmt.Errorf("read %s: %w", name, err)
	}
	return decodeSyncMarks(data[:n])
}
