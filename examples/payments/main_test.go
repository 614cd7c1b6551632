package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/millrace/millrace/examples/internal/stagetest"
	"github.com/millrace/millrace/streams/streamstest"
)

// TestMain lets this binary be the process that is killed, as the program is.
func TestMain(m *testing.M) {
	if isWorker() {
		if err := work(); err != nil {
			fmt.Fprintln(os.Stderr, "payments worker:", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func TestPaymentsVerifiesThroughKills(t *testing.T) {
	kills = 2
	said := stagetest.Verify(t, example, 5_000, "transfers=5000 postings=10000 ", "sum=0.00 kills=2 lost=0 duplicated=0")
	if killed := strings.Count(said, "kill -9 "); killed != kills {
		t.Errorf("%d processes were killed:\n%s", killed, said)
	}
}

func TestThePictureIsTheTopology(t *testing.T) { stagetest.Picture(t, topology()) }

func TestTheTransfersAreTheSameForever(t *testing.T) {
	hash := sha256.New()
	for i := range int64(1000) {
		if err := json.NewEncoder(hash).Encode(transfer(1, i)); err != nil {
			t.Fatal(err)
		}
	}
	const want = "a3e253f9b41a4234"
	if got := hex.EncodeToString(hash.Sum(nil))[:16]; got != want {
		t.Errorf("hash %s, want %s", got, want)
	}
}

func TestATransferIsPostedOnBothSides(t *testing.T) {
	d := streamstest.New(t, topology(), streamstest.Options{})
	streamstest.Send(d, transfers, "ada", Transfer{ID: 1, From: "ada", To: "bob", Cents: 250})
	streamstest.Send(d, transfers, "bob", Transfer{ID: 2, From: "bob", To: "ada", Cents: 50})
	d.Drain()
	got := streamstest.KV(d, store)
	if got["ada"] != (Account{Cents: -200, Postings: 2}) || got["bob"] != (Account{Cents: 200, Postings: 2}) {
		t.Errorf("accounts %+v", got)
	}
}
