package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/examples/internal/stagetest"
	"github.com/millrace/millrace/streams/streamstest"
)

func TestCSVStatsVerifies(t *testing.T) {
	stagetest.Verify(t, example, 1_000, "rows=1000 columns=6 cells=6000 ", "lost=0", "duplicated=0")
}

func TestAFileOfOnesOwnIsDescribed(t *testing.T) {
	file = filepath.Join(t.TempDir(), "mine.csv")
	defer func() { file = "" }()
	if err := os.WriteFile(file, []byte("name,age\nAda,36\nBob,\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	said := stagetest.Verify(t, example, 1, "rows=2 columns=2 cells=4 filled=1 ")
	if !strings.Contains(said, "integer        2 cells,      1 missing, mean    36.00") {
		t.Errorf("it said\n%s", said)
	}
}

func TestThePictureIsTheTopology(t *testing.T) {
	stagetest.Picture(t, describing([]string{"a"}), filling([]string{"a"}, nil))
}

func TestTheTableIsTheSameForever(t *testing.T) {
	var table bytes.Buffer
	if err := writeTable(&table, 1, 1000); err != nil {
		t.Fatal(err)
	}
	hash := sha256.Sum256(table.Bytes())
	const want = "1c92205479448777"
	if got := hex.EncodeToString(hash[:])[:16]; got != want {
		t.Errorf("hash %s, want %s", got, want)
	}
}

func TestTypesOfColumns(t *testing.T) {
	for _, test := range []struct {
		cells []string
		want  string
	}{
		{nil, ""}, {[]string{""}, ""}, {[]string{"1", "", "-2"}, "integer"}, {[]string{"1", "2.5"}, "number"}, {[]string{"true", "false"}, "boolean"},
		{[]string{"2020-01-31"}, "date"}, {[]string{"2020-01-31", "soon"}, "text"}, {[]string{"1", "true"}, "text"},
	} {
		c := Column{}
		for _, cell := range test.cells {
			c = addCell("", cell, c)
		}
		if c.Type != test.want {
			t.Errorf("%q are %q, not %q", test.cells, c.Type, test.want)
		}
	}
}

func TestGapsAreFilled(t *testing.T) {
	known := map[string]Column{"name": {Type: "text"}, "age": {Type: "integer", Numbers: 2, Sum: 50}}
	d := streamstest.New(t, filling([]string{"name", "age"}, known), streamstest.Options{})
	streamstest.Send(d, rows, 7, []string{"", ""})
	d.Drain()
	got := streamstest.Read(d, filled)
	if len(got) != 1 || got[0].Key != 7 || !slices.Equal(got[0].Value, []string{"unknown", "25.00"}) {
		t.Errorf("filled %+v", got)
	}
}
