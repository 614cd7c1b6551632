package segmentdump

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/disk"
	"github.com/millrace/millrace/log"
	"github.com/millrace/millrace/log/record"
)

// transact makes a log in dir with transactions that were compacted until some markers are gone. It returns the aborted
// transactions of the segments that were not compacted, as the tool prints them.
func transact(t *testing.T, dir string) (aborted []string) {
	t.Helper()
	config := log.DefaultConfig()
	config.IndexIntervalBytes, config.Compacted, config.DeleteRetentionMs = 256, true, 0
	l, _, err := log.Open(log.Options{FS: disk.OS(), Dir: dir, TopicID: [16]byte{1, 2, 3}, Config: config, NowMs: firstTimestampMs})
	if err != nil {
		t.Fatal(err)
	}
	nowMs, sequences := int64(firstTimestampMs), map[int64]int32{}
	round := func() {
		t.Helper()
		first := l.LogEndOffset()
		for id := range int64(2) {
			b := record.NewBuilder(record.Options{Codec: record.Zstd, Transactional: true, Producer: &record.Producer{ID: id, BaseSequence: sequences[id]}})
			for i := range 4 {
				b.Add(nowMs, fmt.Appendf(nil, "key-%d", i), fmt.Appendf(nil, "value of producer %d", id))
			}
			sequences[id] += 4
			batch, err := b.Build()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := l.Append(batch, log.AppendOptions{NowMs: nowMs}); err != nil {
				t.Fatal(err)
			}
		}
		for id, kind := range []record.ControlType{record.ControlCommit, record.ControlAbort} {
			marker := record.EndTxnMarker{Type: kind, ProducerID: int64(id), CoordinatorEpoch: 5, TimestampMs: nowMs}.Batch()
			if _, err := l.Append(marker, log.AppendOptions{NowMs: nowMs, Internal: true}); err != nil {
				t.Fatal(err)
			}
		}
		aborted = append(aborted, fmt.Sprintf("version: 0 producerId: 1 firstOffset: %d lastOffset: %d lastStableOffset: %d", first+4, first+9, first+10))
	}
	for range 4 {
		nowMs += 1000
		for range 5 {
			round()
		}
		if err := l.Roll(nowMs); err != nil {
			t.Fatal(err)
		}
		if _, err := l.Compact(log.CompactOptions{NowMs: nowMs, Before: l.LogEndOffset(), MapBytes: 1 << 20}); err != nil {
			t.Fatal(err)
		}
	}
	aborted = nil
	for range 5 {
		round()
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return aborted
}

func TestKafkaReadsOurTransactions(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "bank-0")
	aborted := transact(t, dir)
	out := runTool(t, files(t, dir, "*.log"), "--deep-iteration", "--print-data-log")
	for _, complaint := range out.complaints() {
		// Gaps are what it should find: it says so of Kafka's own compacted segments.
		if !strings.HasPrefix(complaint, "Non-consecutive offsets") && !strings.Contains(complaint, " is followed by ") {
			t.Errorf("the tool complains: %s", complaint)
		}
	}
	markers, batches := 0, 0
	for line := range strings.Lines(out.stdout) {
		switch {
		case strings.HasPrefix(line, "baseOffset: "):
			batches++
			if fields(strings.TrimSpace(line))["isvalid"] != "true" {
				t.Errorf("not valid: %s", line)
			}
		case strings.Contains(line, "endTxnMarker: "):
			markers++
			if fields(strings.TrimSpace(line))["coordinatorEpoch"] != "5" {
				t.Errorf("marker: %s", line)
			}
		}
	}
	// Of 40 markers in the first segments those are gone that had nothing left; 10 are in the last one.
	if markers < 12 || markers >= 40 || batches < 30 {
		t.Errorf("%d markers, %d batches", markers, batches)
	}
	indexes := runTool(t, files(t, dir, "*.txnindex"))
	if complaints := indexes.complaints(); len(complaints) > 0 {
		t.Errorf("the tool complains:\n%s", strings.Join(complaints, "\n"))
	}
	lines := strings.Split(indexes.stdout, "\n")
	for _, expected := range aborted {
		if !slices.Contains(lines, expected) {
			t.Errorf("%q is missing in\n%s", expected, indexes.stdout)
		}
	}
	if _, findings, err := log.Verify(log.InspectOptions{FS: disk.OS(), Dir: dir}); err != nil || len(findings) > 0 {
		t.Errorf("%v, %+v", err, findings)
	}
}
