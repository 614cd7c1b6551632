package main

import (
	"testing"
	"time"

	"github.com/millrace/millrace/examples/internal/stagetest"
	"github.com/millrace/millrace/internal/clicks"
	"github.com/millrace/millrace/streams/streamstest"
)

func TestClickstreamVerifies(t *testing.T) {
	stagetest.Verify(t, example, 10_000, "clicks=10400 ", "lost=0", "duplicated=0")
}

func TestThePictureIsTheTopology(t *testing.T) { stagetest.Picture(t, topology()) }

func TestALateClickIsNoPartOfAVisit(t *testing.T) {
	d := streamstest.New(t, topology(), streamstest.Options{Partitions: map[string]int{clicked.Name(): 1, visited.Name(): 1, tooLate.Name(): 1}})
	minute := func(n int64) int64 { return clicks.FirstMs + n*time.Minute.Milliseconds() }
	for id, at := range []int64{0, 20, 200, 5, 400} {
		click := clicks.Click{ID: int64(id), User: "ada", Action: "buy", TimeMs: minute(at)}
		streamstest.Send(d, clicked, click.User, click, streamstest.At(click.Time()))
	}
	d.Drain()
	visits, late := streamstest.Read(d, visited), streamstest.Read(d, tooLate)
	if len(visits) != 2 || visits[0].Value != (Visit{Clicks: 2, Bought: 2}) || visits[0].Key.Window.EndMs != minute(20) || visits[1].Value.Clicks != 1 {
		t.Errorf("visits %+v", visits)
	}
	if len(late) != 1 || late[0].Value.ID != 3 {
		t.Errorf("late %+v", late)
	}
}
