package segmentdump

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/disk"
	"github.com/millrace/millrace/log"
	"github.com/millrace/millrace/log/record"
)

// writtenBatch is a batch that went into the log, as the tool must print it.
type writtenBatch struct {
	header  map[string]string
	records []map[string]string
}

const firstTimestampMs = 1_700_000_000_000

// writer appends to a log and notes what the tool must say of it.
type writer struct {
	t       *testing.T
	log     *log.Log
	epoch   int32
	nowMs   int64
	batches []writtenBatch
}

func (w *writer) append(b record.Batch, records []map[string]string) {
	w.t.Helper()
	w.nowMs += 10
	appended, err := w.log.Append(b, log.AppendOptions{NowMs: w.nowMs, LeaderEpoch: w.epoch, Internal: b.IsControl()})
	if err != nil {
		w.t.Fatal(err)
	}
	header := map[string]string{
		"baseOffset": fmt.Sprint(appended.BaseOffset), "lastOffset": fmt.Sprint(appended.LastOffset), "count": fmt.Sprint(b.Count()),
		"baseSequence": fmt.Sprint(b.BaseSequence()), "lastSequence": fmt.Sprint(b.LastSequence()),
		"producerId": fmt.Sprint(b.ProducerID()), "producerEpoch": fmt.Sprint(b.ProducerEpoch()), "partitionLeaderEpoch": fmt.Sprint(w.epoch),
		"isTransactional": fmt.Sprint(b.IsTransactional()), "isControl": fmt.Sprint(b.IsControl()), "deleteHorizonMs": "OptionalLong.empty",
		b.TimestampType().String(): fmt.Sprint(b.MaxTimestampMs()), "size": fmt.Sprint(len(b)), "magic": "2",
		"compresscodec": b.Codec().String(), "crc": fmt.Sprint(b.CRC()), "isvalid": "true",
	}
	for i, r := range records {
		r["offset"] = fmt.Sprint(appended.BaseOffset + int64(i))
		r["sequence"] = "-1"
		if b.BaseSequence() >= 0 {
			r["sequence"] = fmt.Sprint(b.BaseSequence() + int32(i))
		}
		if appended.LogAppendTimeMs >= 0 {
			delete(r, "CreateTime")
			r["LogAppendTime"] = fmt.Sprint(appended.LogAppendTimeMs)
		}
	}
	w.batches = append(w.batches, writtenBatch{header, records})
}

// data appends a batch of count records; the shapes of keys, values and headers go round.
func (w *writer) data(options record.Options, count int) {
	w.t.Helper()
	builder := record.NewBuilder(options)
	var records []map[string]string
	for i := range count {
		timestampMs := w.nowMs + int64(i%3)
		value := fmt.Sprintf("value-%d-%s", i, strings.Repeat("x", 3*i))
		want := map[string]string{"CreateTime": fmt.Sprint(timestampMs), "valueSize": fmt.Sprint(len(value)), "payload": value}
		var key []byte
		want["keySize"], want["headerKeys"] = "-1", "[]"
		if i%2 == 0 {
			key = fmt.Appendf(nil, "key-%d", i)
			want["keySize"], want["key"] = fmt.Sprint(len(key)), string(key)
		}
		var headers []record.Header
		if i%3 == 0 {
			headers = []record.Header{{Key: []byte("trace"), Value: []byte{0, 0xff}}, {Key: []byte("null")}}
			want["headerKeys"] = "[trace,null]"
		}
		builder.Add(timestampMs, key, []byte(value), headers...)
		records = append(records, want)
	}
	b, err := builder.Build()
	if err != nil {
		w.t.Fatal(err)
	}
	w.append(b, records)
}

func (w *writer) marker(kind record.ControlType, producerID int64) {
	w.t.Helper()
	b := record.EndTxnMarker{Type: kind, ProducerID: producerID, ProducerEpoch: 2, CoordinatorEpoch: 5, TimestampMs: w.nowMs}.Batch()
	w.append(b, []map[string]string{{
		"CreateTime": fmt.Sprint(w.nowMs), "keySize": "4", "valueSize": "6", "headerKeys": "[]",
		"endTxnMarker": strings.ToUpper(kind.String()), "coordinatorEpoch": "5",
	}})
}

// write makes a log of several segments with all that a batch can be, in dir.
func write(t *testing.T, dir string, logAppendTime bool) []writtenBatch {
	t.Helper()
	config := log.DefaultConfig()
	config.SegmentBytes, config.IndexIntervalBytes, config.LogAppendTime = 8<<10, 256, logAppendTime
	l, _, err := log.Open(log.Options{FS: disk.OS(), Dir: dir, TopicID: [16]byte{1, 2, 3}, Config: config, NowMs: firstTimestampMs})
	if err != nil {
		t.Fatal(err)
	}
	w := &writer{t: t, log: l, nowMs: firstTimestampMs}
	sequence := int32(0)
	for round := range 6 {
		w.epoch = int32(round / 2)
		for codec := record.None; codec <= record.Zstd; codec++ {
			w.data(record.Options{Codec: codec}, 1+3*round)
			w.data(record.Options{Codec: codec, Producer: &record.Producer{ID: 4000, Epoch: 0, BaseSequence: sequence}}, 10)
			sequence += 10
		}
		producer := &record.Producer{ID: int64(100 + round), Epoch: 2}
		w.data(record.Options{Codec: record.LZ4, Transactional: true, Producer: producer}, 4)
		w.marker([]record.ControlType{record.ControlCommit, record.ControlAbort}[round%2], producer.ID)
	}
	if l.Segments() < 3 {
		t.Fatalf("%d segments", l.Segments())
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return w.batches
}

// files are the names that match the pattern, whose elements are joined, ascending.
func files(t *testing.T, pattern ...string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(pattern...))
	if err != nil || len(names) == 0 {
		t.Fatalf("no %s: %v", filepath.Join(pattern...), err)
	}
	slices.Sort(names)
	return names
}

func TestKafkaReadsOurSegments(t *testing.T) {
	for name, logAppendTime := range map[string]bool{"CreateTime": false, "LogAppendTime": true} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "clicks-0")
			written := write(t, dir, logAppendTime)
			out := runTool(t, files(t, dir, "*.log"), "--deep-iteration", "--print-data-log")
			if complaints := out.complaints(); len(complaints) > 0 {
				t.Errorf("the tool complains:\n%s", strings.Join(complaints, "\n"))
			}
			compare(t, out.stdout, written)
		})
	}
}

// compare holds what the tool printed against what was written, batch by batch and record by record.
func compare(t *testing.T, stdout string, written []writtenBatch) {
	t.Helper()
	batch, next := -1, 0
	for line := range strings.Lines(stdout) {
		line = strings.TrimSpace(line)
		got := fields(line)
		switch {
		case strings.HasPrefix(line, "baseOffset: "):
			if batch >= 0 && next != len(written[batch].records) {
				t.Fatalf("%d records of %d in batch %d", next, len(written[batch].records), batch)
			}
			batch, next = batch+1, 0
			if batch == len(written) {
				t.Fatalf("more batches than the %d written: %s", len(written), line)
			}
			delete(got, "position")
			if !maps.Equal(got, written[batch].header) {
				t.Fatalf("batch %d:\n got %v\nwant %v", batch, got, written[batch].header)
			}
		case strings.HasPrefix(line, "| offset: "):
			if next == len(written[batch].records) {
				t.Fatalf("more records than the %d in batch %d: %s", next, batch, line)
			}
			if want := written[batch].records[next]; !maps.Equal(got, want) {
				t.Fatalf("batch %d, record %d:\n got %v\nwant %v", batch, next, got, want)
			}
			next++
		}
	}
	if batch != len(written)-1 || next != len(written[batch].records) {
		t.Fatalf("%d batches of %d", batch+1, len(written))
	}
}

func TestKafkaFindsOurIndexesSound(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "clicks-0")
	write(t, dir, false)
	for _, suffix := range []string{".index", ".timeindex"} {
		names := files(t, dir, "*"+suffix)
		all := runTool(t, names)
		if complaints := all.complaints(); len(complaints) > 0 {
			t.Errorf("%s: the tool complains:\n%s", suffix, strings.Join(complaints, "\n"))
		}
		if entries := strings.Count(all.stdout, "offset: "); entries < 2*len(names) {
			t.Errorf("%s: %d entries in %d files", suffix, entries, len(names))
		}
		if complaints := runTool(t, names, "--verify-index-only").complaints(); len(complaints) > 0 {
			t.Errorf("%s: the tool complains:\n%s", suffix, strings.Join(complaints, "\n"))
		}
		sanity := runTool(t, names, "--index-sanity-check")
		if passed := strings.Count(sanity.stdout, "passed sanity check"); passed != len(names) || len(sanity.complaints()) > 0 {
			t.Errorf("%s: %d of %d passed:\n%s%s", suffix, passed, len(names), sanity.stdout, sanity.stderr)
		}
	}
}

// TestKafkaComplainsOfAFlippedBit makes sure that the tests above can fail.
func TestKafkaComplainsOfAFlippedBit(t *testing.T) {
	for suffix, at := range map[string]int{".log": record.HeaderSize + 8, ".index": 3, ".timeindex": 7} {
		dir := filepath.Join(t.TempDir(), "clicks-0")
		write(t, dir, false)
		name := files(t, dir, "*"+suffix)[0]
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		data[at] ^= 0x01
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if complaints := runTool(t, []string{name}).complaints(); len(complaints) == 0 {
			t.Errorf("%s: byte %d is wrong, and the tool does not mind", suffix, at)
		}
	}
}
