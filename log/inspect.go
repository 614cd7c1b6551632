package log

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/millrace/millrace/internal/disk"
	"github.com/millrace/millrace/log/record"
)

// Severity says what a Finding means for the data.
type Severity string

const (
	// Damage: bytes that must be intact are not. The partition will not open, or records are lost.
	Damage Severity = "damage"
	// Repairable: a file that the next start finds wrong and makes anew from the batches.
	Repairable Severity = "repairable"
	// Note: worth knowing, nothing is wrong.
	Note Severity = "note"
)

// Finding is one thing that Inspect noticed.
type Finding struct {
	Severity Severity `json:"severity"`
	Path     string   `json:"path"`
	Position int64    `json:"position"` // byte in the file, -1: the file as a whole
	Problem  string   `json:"problem"`
	Remedy   string   `json:"remedy"` // what to do about it
}

// SegmentInfo describes one segment before its batches are walked.
type SegmentInfo struct {
	Name             string `json:"name"`
	BaseOffset       int64  `json:"base_offset"`
	Bytes            int64  `json:"bytes"`
	IndexEntries     int    `json:"index_entries"`     // -1: no such file
	TimeIndexEntries int    `json:"timeindex_entries"` // -1: no such file
	TxnIndexEntries  int    `json:"txnindex_entries"`  // -1: no such file
}

// BatchInfo is what the header of one batch says, and where it lies.
type BatchInfo struct {
	Position      int64  `json:"position"`
	Bytes         int    `json:"bytes"`
	BaseOffset    int64  `json:"base_offset"`
	LastOffset    int64  `json:"last_offset"`
	Count         int32  `json:"count"`
	Codec         string `json:"codec"`
	LeaderEpoch   int32  `json:"leader_epoch"`
	ProducerID    int64  `json:"producer_id"`
	ProducerEpoch int16  `json:"producer_epoch"`
	BaseSequence  int32  `json:"base_sequence"`
	LastSequence  int32  `json:"last_sequence"`
	TimestampType string `json:"timestamp_type"`
	BaseTimestamp int64  `json:"base_timestamp"` // ms
	MaxTimestamp  int64  `json:"max_timestamp"`  // ms
	Transactional bool   `json:"transactional"`
	Control       string `json:"control"` // the kind of a control batch, else empty
	// CoordinatorEpoch is that of a marker which ends a transaction, else -1.
	CoordinatorEpoch int32  `json:"coordinator_epoch"`
	CRC              uint32 `json:"crc"`
	CRCOK            bool   `json:"crc_ok"`
	RecordsProblem   string `json:"records_problem"` // why the records cannot be walked, else empty
}

// FileInfo is a file beside the segments and what it says, in words.
type FileInfo struct {
	Name    string `json:"name"`
	Bytes   int64  `json:"bytes"`
	Content string `json:"content"`
}

// Summary is what a whole directory holds.
type Summary struct {
	Dir            string `json:"dir"`
	Segments       int    `json:"segments"`
	Batches        int64  `json:"batches"`
	Records        int64  `json:"records"` // by the headers of sound batches
	Bytes          int64  `json:"bytes"`   // of sound batches
	LogStartOffset int64  `json:"log_start_offset"`
	LogEndOffset   int64  `json:"log_end_offset"` // after the last sound batch
	DurableOffset  int64  `json:"durable_offset"` // known to be durable at the least
	ClosedInOrder  bool   `json:"closed_in_order"`
	// OpenTransactions are open at the log end, from FirstUnstableOffset on; -1: none. AbortedTransactions have their marker here.
	OpenTransactions    int   `json:"open_transactions"`
	FirstUnstableOffset int64 `json:"first_unstable_offset"`
	AbortedTransactions int   `json:"aborted_transactions"`

	Damage     int `json:"damage"`     // findings of each severity
	Repairable int `json:"repairable"` //
	Notes      int `json:"notes"`
}

// Visitor is told what Inspect comes across, in the order of the log. Any function may be nil; an error from one ends
// the inspection and is returned.
type Visitor struct {
	File    func(FileInfo) error
	Segment func(SegmentInfo) error
	Batch   func(BatchInfo, record.Batch) error // the batch is valid during the call
	Finding func(Finding) error
}

// InspectOptions say how thoroughly to look.
type InspectOptions struct {
	FS  disk.FS
	Dir string
	// Records walks the records of every batch, decompressed.
	Records bool
	// MaxRecordBytes bounds what the records of one batch may become; 0: 1 GiB.
	MaxRecordBytes int
	// Compacted takes gaps between offsets for the work of compaction and not for damage. Where the directory says itself how
	// far it has been compacted it is not needed.
	Compacted bool
}

const defaultMaxRecordBytes = 1 << 30

// Inspect reads a partition's directory file by file and batch by batch, compares everything that says the same thing
// twice, and tells visit. It changes nothing and takes no lock, so a broker may have the directory open: what it is
// writing at the moment is not taken for damage. A directory of Kafka's can be inspected as well.
//
// The error is about reading, such as a directory that does not exist; what is wrong with the content is a Finding.
func Inspect(options InspectOptions, visit Visitor) (Summary, error) {
	if options.MaxRecordBytes == 0 {
		options.MaxRecordBytes = defaultMaxRecordBytes
	}
	i := inspection{options: options, visit: visit, summary: Summary{Dir: options.Dir}}
	if err := i.run(); err != nil {
		return i.summary, fmt.Errorf("inspect %s: %w", options.Dir, err)
	}
	return i.summary, nil
}

// Verify is Inspect with every record walked. It returns what was found, damage first.
func Verify(options InspectOptions) (Summary, []Finding, error) {
	options.Records = true
	var findings []Finding
	summary, err := Inspect(options, Visitor{Finding: func(f Finding) error {
		findings = append(findings, f)
		return nil
	}})
	damageFirst(findings)
	return summary, findings, err
}

func damageFirst(findings []Finding) {
	rank := map[Severity]int{Damage: 0, Repairable: 1, Note: 2}
	slices.SortStableFunc(findings, func(a, b Finding) int { return cmp.Compare(rank[a.Severity], rank[b.Severity]) })
}

// inspection is the state of one Inspect.
type inspection struct {
	options   InspectOptions
	visit     Visitor
	summary   Summary
	directory *directory

	checkpoint      checkpoint
	checkpointKnown bool
	markKnown       bool
	cleaner         cleanerState
	floor           place // all before it was durable when the inspection began
	saved           epochs
	savedKnown      bool
	seen            epochs // of the batches
	next            int64  // offset that the next batch must have
	latestEpoch     int32
	firstStart      int64      // log start when the inspection began; a broker may move it meanwhile
	lastVanished    bool       // the segment that was looked at last is gone
	transactions    *producers // nil: nobody follows them
	begun           *producers // of the batches alone: an abort without a batch needs no index
}

func (i *inspection) run() error {
	if entry, err := i.options.FS.Stat(i.options.Dir); err != nil {
		return err
	} else if !entry.IsDir {
		return errors.New("not a directory")
	}
	// The marks first: whatever is appended meanwhile only adds to what they promise.
	if err := i.readMarks(); err != nil {
		return err
	}
	i.firstStart = i.summary.LogStartOffset
	directory, err := listDirectory(i.options.FS, i.options.Dir)
	if corrupt, ok := errors.AsType[*CorruptError](err); ok {
		return i.find(Damage, corrupt.Path, -1, corrupt.Err.Error(), "start and stop Kafka on its own directory, then copy it again")
	}
	if err != nil {
		return err
	}
	i.directory = directory
	if err := i.inspectFiles(); err != nil {
		return err
	}
	if err := i.adoptSwaps(); err != nil {
		return err
	}
	if err := i.inspectBeginning(); err != nil {
		return err
	}
	i.latestEpoch, i.summary.FirstUnstableOffset = UndefinedEpoch, -1
	if len(directory.segments) > 0 {
		i.beginTransactions()
		defer i.endTransactions()
	}
	for n, s := range directory.segments {
		if err := i.inspectSegment(s, n == 0, n == len(directory.segments)-1); err != nil {
			return err
		}
	}
	return i.inspectEnd()
}

func (i *inspection) name(file string) string { return filepath.Join(i.options.Dir, file) }

func (i *inspection) find(severity Severity, path string, position int64, problem, remedy string) error {
	switch severity {
	case Damage:
		i.summary.Damage++
	case Repairable:
		i.summary.Repairable++
	default:
		i.summary.Notes++
	}
	if i.visit.Finding == nil {
		return nil
	}
	return i.visit.Finding(Finding{Severity: severity, Path: path, Position: position, Problem: problem, Remedy: remedy})
}

// Remedies that come up again and again.
const (
	restoreRemedy = "restore the partition's directory from a copy, or delete the records up to here"
	startRemedy   = "nothing: the next start makes it anew"
	noRemedy      = "nothing"
)

// inspectBeginning makes sure that the first segment has the log start.
func (i *inspection) inspectBeginning() error {
	segments := i.directory.segments
	i.summary.Segments = len(segments)
	if len(segments) == 0 {
		if i.floor.offset > i.summary.LogStartOffset {
			return i.find(Damage, i.options.Dir, -1,
				fmt.Sprintf("no segment is there, offsets [%d, %d) were durable", i.summary.LogStartOffset, i.floor.offset), restoreRemedy)
		}
		return i.find(Note, i.options.Dir, -1, "no segment: an empty log, or not the directory of a partition", noRemedy)
	}
	first := segments[0].base
	i.next = first
	if first <= i.summary.LogStartOffset {
		return nil
	}
	if !i.checkpointKnown && !i.markKnown {
		i.summary.LogStartOffset = first
		return nil
	}
	if deleted, err := i.deletedBelow(first); err != nil || deleted {
		return err
	}
	return i.find(Damage, i.options.Dir, -1,
		fmt.Sprintf("the log begins at offset %d, the first segment at %d", i.summary.LogStartOffset, first), restoreRemedy)
}

// inspectEnd compares the end of the last segment with what was durable, and the epochs of the batches with the file.
func (i *inspection) inspectEnd() error {
	i.summary.LogEndOffset = i.next
	if len(i.directory.segments) == 0 || i.lastVanished {
		return nil
	}
	last := i.directory.segments[len(i.directory.segments)-1]
	if i.next < i.floor.offset {
		err := i.find(Damage, last.path(logSuffix), -1,
			fmt.Sprintf("the log ends at offset %d, all before offset %d was durable", i.next, i.floor.offset), restoreRemedy)
		if err != nil {
			return err
		}
	}
	if i.firstStart > i.next {
		err := i.find(Damage, last.path(logSuffix), -1,
			fmt.Sprintf("the log ends at offset %d, before its start at %d", i.next, i.firstStart), restoreRemedy)
		if err != nil {
			return err
		}
	}
	return i.inspectEpochs()
}

// inspectEpochs compares the saved epochs with those of the batches. The file may lack the newest: they are saved later.
func (i *inspection) inspectEpochs() error {
	if !i.savedKnown {
		return nil
	}
	begins := max(i.summary.LogStartOffset, i.directory.segments[0].base)
	for _, e := range i.saved {
		if e.startOffset <= begins || e.startOffset >= i.next || slices.Contains(i.seen, e) || i.beginsInGap(e) {
			continue
		}
		err := i.find(Repairable, i.name(leaderEpochName), -1,
			fmt.Sprintf("leader epoch %d begins at offset %d here, the batch there has epoch %d", e.epoch, e.startOffset, i.seen.at(e.startOffset)),
			"remove the file: the next start makes it anew")
		if err != nil {
			return err
		}
	}
	return nil
}

// beginsInGap says whether compaction may have taken away the first batch of the epoch, and those that are left agree with it.
func (i *inspection) beginsInGap(e epochStart) bool {
	if missing, err := i.mayBeMissing(e.startOffset); err != nil || !missing {
		return false
	}
	for _, seen := range i.seen {
		if seen.epoch >= e.epoch {
			return seen.startOffset >= e.startOffset
		}
	}
	return true
}

// vanished says whether a file that was listed is gone: a broker has deleted it meanwhile.
func vanished(err error) bool { return errors.Is(err, fs.ErrNotExist) }
