package clicks

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"testing"
	"time"
)

var stream = Stream{Seed: 1, Users: 500, Every: time.Second, Jitter: 5 * time.Second, LatePercent: 2, Delay: time.Hour}

func TestTheStreamIsTheSameForever(t *testing.T) {
	hash := sha256.New()
	for id := range int64(10_000) {
		hash.Write(stream.Click(id).Append(nil))
	}
	const want = "91777c2fda74c4de"
	if got := hex.EncodeToString(hash.Sum(nil))[:16]; got != want {
		t.Errorf("hash %s, want %s", got, want)
	}
}

func TestAClickIsJSONAndBack(t *testing.T) {
	want := stream.Click(123)
	var got Click
	if err := json.Unmarshal(want.Append(nil), &got); err != nil || got != want || got.ID != 123 {
		t.Errorf("%+v, want %+v: %v", got, want, err)
	}
	marshalled, err := json.Marshal(want)
	if err != nil || string(marshalled) != string(want.Append(nil)) {
		t.Errorf("Append gives %s, Marshal %s: %v", want.Append(nil), marshalled, err)
	}
}

func TestSomeClicksAreLate(t *testing.T) {
	late := 0
	for id := range int64(10_000) {
		behind := time.UnixMilli(FirstMs).Add(time.Duration(id) * stream.Every).Sub(stream.Click(id).Time())
		if behind < 0 || behind > stream.Jitter+stream.Delay {
			t.Fatalf("click %d is %v behind", id, behind)
		}
		if behind > stream.Jitter {
			late++
		}
	}
	if late < 150 || late > 250 {
		t.Errorf("%d of 10000 clicks are late, want about 200", late)
	}
}
