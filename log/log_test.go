package log

import (
	"fmt"
	"testing"

	"github.com/millrace/millrace/internal/disk"
)

func wantValues(t testing.TB, l *Log, from, to int64) {
	t.Helper()
	values := readAll(t, l, from)
	if l.LogEndOffset() != to || int64(len(values)) != to-from {
		t.Fatalf("log ends at %d with %d values from %d, expected end %d", l.LogEndOffset(), len(values), from, to)
	}
	for i, value := range values {
		if expected := fmt.Sprintf("value-%d", from+int64(i)); value != expected {
			t.Fatalf("offset %d holds %q, expected %q", from+int64(i), value, expected)
		}
	}
}

func TestWhatWasAppendedIsReadBack(t *testing.T) {
	fsys := disk.NewMem()
	l, _ := mustOpen(t, testOptions(fsys))
	fill(t, l, 50)
	if l.Segments() < 3 {
		t.Fatalf("%d segments, the test needs several", l.Segments())
	}
	mustSync(t, l)
	for from := range int64(50) {
		wantValues(t, l, from, 50)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l, told := mustOpen(t, testOptions(fsys))
	if !told.Clean {
		t.Error("not clean after Close")
	}
	wantValues(t, l, 0, 50)
	fill(t, l, 50)
	mustSync(t, l)
	wantValues(t, l, 0, 100)
}

func TestLogThatWasNotClosedIsScanned(t *testing.T) {
	fsys := disk.NewMem()
	l, _ := mustOpen(t, testOptions(fsys))
	fill(t, l, 50)
	again, told := mustOpen(t, testOptions(fsys))
	if told.Clean || told.ScannedBytes == 0 {
		t.Errorf("recovery %+v", told)
	}
	wantValues(t, again, 0, 50)
	fill(t, again, 10)
	wantValues(t, again, 0, 60)
}
