package engine

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/millrace/millrace/windows"
)

func TestMetadataOutlivesACommit(t *testing.T) {
	m := metadata{Commit: 7, Session: "s", StreamMs: 12, Clocks: map[string]windows.ClockState{"a": {StreamMs: 3, EmittedMs: 2}}}
	text, err := m.encode()
	if err != nil {
		t.Fatal(err)
	}
	if back, ok := parseMetadata(text); !ok || !reflect.DeepEqual(back, m) {
		t.Errorf("%+v comes back as %+v", m, back)
	}
	if id := CommitID(text); id != "7-s" {
		t.Errorf("commit id %q", id)
	}
	for _, foreign := range []string{"", "consumer-1", `{"other":1}`, `{"commit":"x"}`} {
		if id := CommitID(foreign); id != "" {
			t.Errorf("%q is of commit %q", foreign, id)
		}
	}
}

func TestMetadataThatBrokersDoNotTakeIsAnError(t *testing.T) {
	m := metadata{Clocks: map[string]windows.ClockState{}}
	for i := range 100 {
		m.Clocks[fmt.Sprintf("a-window-store-%d", i)] = windows.ClockState{StreamMs: 1_700_000_000_000, EmittedMs: 1_700_000_000_000}
	}
	if _, err := m.encode(); err == nil || !strings.Contains(err.Error(), "the clocks of 100 windowed stores") {
		t.Error(err)
	}
}
