package clicks

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"testing"
)

func TestTheStreamIsTheSameForever(t *testing.T) {
	hash := sha256.New()
	for id := range int64(10_000) {
		hash.Write(Stream{Seed: 1}.Append(nil, id))
	}
	const want = "2f5c3d07af42d49e"
	if got := hex.EncodeToString(hash.Sum(nil))[:16]; got != want {
		t.Errorf("hash %s, want %s", got, want)
	}
}

func TestAClickIsJSONWithItsIDAndKey(t *testing.T) {
	value := Stream{Seed: 7}.Append(nil, 123)
	var click struct {
		ID   int64  `json:"id"`
		User string `json:"user"`
		Page string `json:"page"`
		Time int64  `json:"time"`
	}
	if err := json.Unmarshal(value, &click); err != nil {
		t.Fatal(err)
	}
	id, ok := ID(value)
	if !ok || id != 123 || click.ID != 123 || click.User == "" || string(Key(value)) != click.User || click.Page == "" || click.Time == 0 {
		t.Errorf("%s: id %d %v key %s", value, id, ok, Key(value))
	}
	if _, ok := ID([]byte(`{"id":x,`)); ok {
		t.Error("an id that is none")
	}
}

// deliver sends the clicks [0, n) to partition 0 at the offset of their id.
func deliver(l *Ledger, from, to int64) {
	for id := from; id < to; id++ {
		l.Delivered(0, id, l.stream.Append(nil, id))
	}
}

func TestTheLedgerTellsWhatBecameOfEachClick(t *testing.T) {
	const n = 10
	for _, test := range []struct {
		name string
		do   func(*Ledger)
		want Tally
	}{
		{"exactly once", func(l *Ledger) { deliver(l, 0, n) }, Tally{Sent: n, Received: n}},
		{"lost", func(l *Ledger) { deliver(l, 0, 4); deliver(l, 5, n) }, Tally{Sent: n, Received: 9, Lost: 1}},
		{"redelivered", func(l *Ledger) { deliver(l, 0, 6); deliver(l, 3, n) }, Tally{Sent: n, Received: n, Redelivered: 3}},
		{"stored twice", func(l *Ledger) { deliver(l, 0, n); l.Delivered(0, 50, l.stream.Append(nil, 3)) }, Tally{Sent: n, Received: n, Duplicated: 1}},
		{"stored twice at another partition", func(l *Ledger) { deliver(l, 0, n); l.Delivered(1, 3, l.stream.Append(nil, 3)) }, Tally{Sent: n, Received: n, Duplicated: 1}},
		{"altered", func(l *Ledger) {
			deliver(l, 0, n)
			l.Delivered(0, 11, []byte(`{"id":3,"user":"x"}`))
			l.Delivered(0, 12, []byte("garbage"))
			l.Delivered(0, 13, l.stream.Append(nil, 99))
		}, Tally{Sent: n, Received: n, Altered: 3}},
		{"reordered", func(l *Ledger) {
			deliver(l, 0, 8)
			l.Delivered(0, 8, l.stream.Append(nil, 9))
			l.Delivered(0, 9, l.stream.Append(nil, 8))
		}, Tally{Sent: n, Received: n, Reordered: 1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := NewLedger(Stream{Seed: 1}, n)
			for id := range int64(n) {
				l.Acknowledged(id)
				l.Acknowledged(id)
			}
			test.do(l)
			got, lost := l.Close()
			if got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
			if int64(len(lost)) != got.Lost {
				t.Errorf("lost ids %v", lost)
			}
			if exact := test.want.Lost+test.want.Duplicated+test.want.Altered+test.want.Reordered == 0; got.Exact() != exact {
				t.Errorf("exact %v, want %v", got.Exact(), exact)
			}
		})
	}
}

func TestNextIsBehindTheLastDelivered(t *testing.T) {
	l := NewLedger(Stream{}, 10)
	deliver(l, 0, 5)
	deliver(l, 2, 3)
	if l.Next(0) != 5 || l.Next(1) != 0 {
		t.Errorf("next %d and %d, want 5 and 0", l.Next(0), l.Next(1))
	}
}
