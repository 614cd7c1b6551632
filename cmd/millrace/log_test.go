package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/cmd/millrace/internal/usage"
	"github.com/millrace/millrace/internal/disk"
	"github.com/millrace/millrace/log"
	"github.com/millrace/millrace/log/record"
	"go.yaml.in/yaml/v3"
)

// partitionDir is a closed log of two segments: ten batches, the last one a marker.
func partitionDir(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "page-views-3")
	config := log.DefaultConfig()
	config.SegmentBytes = 600
	l, _, err := log.Open(log.Options{FS: disk.OS(), Dir: dir, Config: config, NowMs: 1})
	if err != nil {
		t.Fatal(err)
	}
	appendBatch := func(b record.Batch) {
		if _, err := l.Append(b, log.AppendOptions{NowMs: 1, LeaderEpoch: 2, Internal: true}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 9 {
		builder := record.NewBuilder(record.Options{Codec: record.Codec(i % 5)})
		builder.Add(1_700_000_000_000, nil, []byte("first\nline"), record.Header{Key: []byte("h")})
		builder.Add(1_700_000_000_000+int64(i), []byte{0xff}, []byte{})
		b, err := builder.Build()
		if err != nil {
			t.Fatal(err)
		}
		if i == 8 {
			b.SetLogAppendTime(1_700_000_009_000)
		}
		appendBatch(b)
	}
	appendBatch(record.EndTxnMarker{Type: record.ControlAbort, ProducerID: 9, TimestampMs: 1}.Batch())
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// spoil flips a bit of the newest record in the first segment.
func spoil(t *testing.T, dir string) {
	t.Helper()
	name := filepath.Join(dir, "00000000000000000000.log")
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)-1] ^= 1
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func runLog(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, problems bytes.Buffer
	code = run(t.Context(), append([]string{"log"}, args...), strings.NewReader(""), &out, &problems)
	return out.String(), problems.String(), code
}

func TestLogVerifyOfASoundDirectorySaysSoAndExits0(t *testing.T) {
	dir := partitionDir(t)
	stdout, stderr, code := runLog(t, "verify", dir)
	if code != 0 || stderr != "" || !strings.Contains(stdout, "sound") || strings.Contains(stdout, "findings") {
		t.Errorf("exit %d, %q, %q", code, stdout, stderr)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) < 6 {
		t.Errorf("%d entries, %v", len(entries), err)
	}
}

func TestLogVerifyOfADamagedDirectoryExits1AndNamesThePlace(t *testing.T) {
	dir := partitionDir(t)
	spoil(t, dir)
	stdout, stderr, code := runLog(t, "verify", dir, "--format", "json")
	if code != 1 || !strings.Contains(stderr, "not sound") || strings.Count(stderr, "\n") != 1 {
		t.Errorf("exit %d, %q", code, stderr)
	}
	var document struct {
		Version int
		Logs    []struct {
			Dir      string
			Damage   int
			Findings []log.Finding
		}
	}
	if err := json.Unmarshal([]byte(stdout), &document); err != nil {
		t.Fatalf("%v: %s", err, stdout)
	}
	if document.Version != 1 || len(document.Logs) != 1 || document.Logs[0].Dir != dir || document.Logs[0].Damage == 0 {
		t.Fatalf("%+v", document)
	}
	if f := document.Logs[0].Findings[0]; f.Severity != log.Damage || !strings.HasSuffix(f.Path, ".log") || f.Position < 0 || f.Remedy == "" {
		t.Errorf("%+v", f)
	}
}

func TestLogVerifyTakesSeveralDirectories(t *testing.T) {
	sound, damaged := partitionDir(t), partitionDir(t)
	spoil(t, damaged)
	stdout, stderr, code := runLog(t, "verify", sound, damaged)
	if code != 1 || !strings.Contains(stdout, sound) || !strings.Contains(stdout, damaged) || strings.Contains(stderr, sound) {
		t.Errorf("exit %d, %q, %q", code, stdout, stderr)
	}
}

func TestLogDumpPrintsBatchesAndRecords(t *testing.T) {
	dir := partitionDir(t)
	stdout, stderr, code := runLog(t, "dump", dir)
	if code != 0 || stderr != "" {
		t.Fatalf("exit %d, %q", code, stderr)
	}
	for _, want := range []string{"segment 00000000000000000000.log", "control abort", "LogAppendTime", "zstd", "leader epochs: 2 from offset 0", "10 batches, 19 records"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("no %q in\n%s", want, stdout)
		}
	}
	if strings.Contains(stdout, `"value"`) {
		t.Error("records without --records")
	}
	stdout, _, _ = runLog(t, "dump", dir, "--records")
	want := `    {"topic":"page-views","partition":3,"offset":17,"timestamp":1700000009000,"timestamp_type":"LogAppendTime","key":{"base64":"/w=="},"value":"","headers":[]}`
	if !slices.Contains(strings.Split(stdout, "\n"), want) {
		t.Errorf("no line %s in\n%s", want, stdout)
	}
}

func TestLogDumpAsJSONAndYAMLSaysTheSame(t *testing.T) {
	dir := partitionDir(t)
	spoil(t, dir)
	type document struct {
		Version  int
		Segments []struct {
			Name    string
			Batches []struct {
				BaseOffset int64 `json:"base_offset" yaml:"base_offset"`
				CRCOK      bool  `json:"crc_ok" yaml:"crc_ok"`
				Records    []struct{ Offset int64 }
			}
		}
		Files    []struct{ Name, Content string }
		Findings []struct{ Severity string }
	}
	var fromJSON, fromYAML document
	stdout, _, code := runLog(t, "dump", dir, "--records", "--format", "json")
	if err := json.Unmarshal([]byte(stdout), &fromJSON); err != nil || code != 0 {
		t.Fatalf("exit %d, %v", code, err)
	}
	stdout, _, _ = runLog(t, "dump", dir, "--records", "--format", "yaml")
	if err := yaml.Unmarshal([]byte(stdout), &fromYAML); err != nil {
		t.Fatal(err)
	}
	a, _ := json.Marshal(fromJSON)
	b, _ := json.Marshal(fromYAML)
	if !bytes.Equal(a, b) {
		t.Errorf("json %s\nyaml %s", a, b)
	}
	batches, records, wrong := 0, 0, 0
	for _, s := range fromJSON.Segments {
		for _, batch := range s.Batches {
			batches++
			records += len(batch.Records)
			if !batch.CRCOK {
				wrong++
			}
		}
	}
	if batches != 10 || records != 17 || wrong != 1 || len(fromJSON.Findings) == 0 || len(fromJSON.Files) < 3 || fromJSON.Version != 1 {
		t.Errorf("%d batches, %d records, %d wrong: %s", batches, records, wrong, a)
	}
}

func TestLogCommandsRefuseWrongInput(t *testing.T) {
	dir, empty, data := partitionDir(t), t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(data, "meta.properties"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"dump"}, usage.ExitCode, "needs one DIR"},
		{[]string{"dump", dir, dir}, usage.ExitCode, "needs one DIR"},
		{[]string{"verify"}, usage.ExitCode, "needs a DIR"},
		{[]string{"verify", ""}, usage.ExitCode, "empty DIR"},
		{[]string{"verify", dir, "--format", "jsn"}, usage.ExitCode, `"json"`},
		{[]string{"dump", dir, "--record"}, usage.ExitCode, "--records"},
		{[]string{"verfy", dir}, usage.ExitCode, `"verify"`},
		{[]string{"dump", dir + "-missing"}, 1, dir + "-missing"},
		{[]string{"verify", data}, 1, data + " is a data directory, name partition directories in it"},
		{[]string{"dump", data, "--format", "json"}, 1, data + " is a data directory"},
		{[]string{"verify", empty}, 1, empty + " is not the directory of a partition"},
		{[]string{"verify", filepath.Join(dir, "leader-epoch-checkpoint")}, 1, "not a directory"},
	} {
		stdout, stderr, code := runLog(t, c.args...)
		if code != c.code || stdout != "" || !strings.Contains(stderr, c.says) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("log %v: exit %d, %q, %q", c.args, code, stdout, stderr)
		}
	}
}
