package segmentdump

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/disk"
	"github.com/millrace/millrace/log"
	"github.com/millrace/millrace/log/record"
)

// compact makes a log in dir whose segments have been compacted twice, with delete horizons, and batches without records. It
// returns the values that must be left.
func compact(t *testing.T, dir string) (left []string) {
	t.Helper()
	config := log.DefaultConfig()
	config.SegmentBytes, config.IndexIntervalBytes, config.Compacted, config.DeleteRetentionMs = 8<<10, 256, true, 1000
	l, _, err := log.Open(log.Options{FS: disk.OS(), Dir: dir, TopicID: [16]byte{1, 2, 3}, Config: config, NowMs: firstTimestampMs})
	if err != nil {
		t.Fatal(err)
	}
	last := map[string]string{}
	write := func(options record.Options, nowMs int64, from, keys int, tombstone bool) {
		t.Helper()
		b := record.NewBuilder(options)
		for i := range 10 {
			key := fmt.Sprintf("key-%d", (from+i)%keys)
			if tombstone {
				b.Add(nowMs, []byte(key), nil, record.Header{Key: []byte("h")})
				delete(last, key)
				continue
			}
			last[key] = fmt.Sprintf("value-%d-%d-%s", options.Codec, from+i, strings.Repeat("x", 50))
			b.Add(nowMs+int64(i), []byte(key), []byte(last[key]))
		}
		batch, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.Append(batch, log.AppendOptions{NowMs: nowMs}); err != nil {
			t.Fatal(err)
		}
	}
	nowMs := int64(firstTimestampMs)
	for round := range 3 {
		for codec := record.None; codec <= record.Zstd; codec++ {
			for i := range 20 {
				nowMs += 10
				producer := &record.Producer{ID: int64(10*round) + int64(codec), BaseSequence: int32(10 * i)}
				write(record.Options{Codec: codec, Producer: producer}, nowMs, 7*i, 60, false)
			}
			write(record.Options{Codec: codec}, nowMs, 10*round, 60, true)
		}
		if err := l.Roll(nowMs); err != nil {
			t.Fatal(err)
		}
		done, err := l.Compact(log.CompactOptions{NowMs: nowMs, Before: l.LogEndOffset(), MapBytes: 1 << 20})
		if err != nil || done.RecordsOut >= done.RecordsIn {
			t.Fatalf("%+v, %v", done, err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for _, value := range last {
		left = append(left, value)
	}
	return left
}

func TestKafkaReadsOurCompactedSegments(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state-0")
	left := compact(t, dir)
	out := runTool(t, files(t, dir, "*.log"), "--deep-iteration", "--print-data-log")
	for _, complaint := range out.complaints() {
		// Gaps are what it should find: it says so of Kafka's own compacted segments.
		if !strings.HasPrefix(complaint, "Non-consecutive offsets") && !strings.Contains(complaint, " is followed by ") {
			t.Errorf("the tool complains: %s", complaint)
		}
	}
	horizons, empty, values := 0, 0, 0
	for line := range strings.Lines(out.stdout) {
		got := fields(strings.TrimSpace(line))
		switch {
		case strings.HasPrefix(line, "baseOffset: "):
			if got["isvalid"] != "true" {
				t.Errorf("not valid: %s", line)
			}
			if got["deleteHorizonMs"] != "OptionalLong.empty" {
				horizons++
			}
			if got["count"] == "0" {
				empty++
			}
		case strings.Contains(line, "payload: "):
			values++
		}
	}
	if horizons == 0 || empty == 0 || values != len(left) {
		t.Errorf("%d batches with a delete horizon, %d without records, %d values of %d", horizons, empty, values, len(left))
	}
	for _, value := range left {
		if strings.Count(out.stdout, "payload: "+value) != 1 {
			t.Errorf("%s is there %d times", value, strings.Count(out.stdout, "payload: "+value))
		}
	}
	for _, suffix := range []string{".index", ".timeindex"} {
		if complaints := runTool(t, files(t, dir, "*"+suffix)).complaints(); len(complaints) > 0 {
			t.Errorf("%s: the tool complains:\n%s", suffix, strings.Join(complaints, "\n"))
		}
	}
	if _, findings, err := log.Verify(log.InspectOptions{FS: disk.OS(), Dir: dir}); err != nil || len(findings) > 0 {
		t.Errorf("%v, %+v", err, findings)
	}
}
