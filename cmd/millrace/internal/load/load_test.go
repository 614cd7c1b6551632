package load

import (
	"bytes"
	"compress/flate"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestRecordsAreDueAtTheirRate(t *testing.T) {
	s := Schedule{Rate: 400}
	for n, want := range map[int64]time.Duration{0: 0, 1: 2500 * time.Microsecond, 400: time.Second, 400 * 3600: time.Hour} {
		if got := s.Due(n, time.Minute); got != want {
			t.Errorf("record %d is due at %v, want %v", n, got, want)
		}
	}
	if got := (Schedule{}).Due(7, time.Minute); got != time.Minute {
		t.Errorf("without a rate a record is due at %v, want now", got)
	}
}

func TestPayloadsAreOfTheirSizeAndSeed(t *testing.T) {
	compressed := map[string]float64{}
	for _, kind := range PayloadKinds {
		var values [2][]byte
		for i := range values {
			p, err := NewPayloads(kind, 1000, 7)
			if err != nil {
				t.Fatal(err)
			}
			for range 50 {
				next := p.Next()
				if len(next) != 1000 {
					t.Fatalf("%s: %d bytes", kind, len(next))
				}
				values[i] = append(values[i], next...)
			}
		}
		if !bytes.Equal(values[0], values[1]) {
			t.Errorf("%s: the same seed gives other values", kind)
		}
		var out bytes.Buffer
		w, _ := flate.NewWriter(&out, flate.DefaultCompression)
		w.Write(values[0])
		w.Close()
		compressed[kind] = float64(out.Len()) / float64(len(values[0]))
	}
	if compressed["random"] < 0.9 || compressed["text"] < 0.2 || compressed["text"] > 0.7 || compressed["zeros"] > 0.1 {
		t.Errorf("compressed to %v of their size", compressed)
	}
	if _, err := NewPayloads("nonsense", 1, 1); err == nil {
		t.Error("an unknown kind is taken")
	}
	if p, _ := NewPayloads("random", 3<<20, 1); len(p.Next()) != 3<<20 {
		t.Error("a large value is not of its size")
	}
}

func TestPercentilesAreThoseOfTheSortedLatencies(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := NewRecorder(time.Second)
		var all []float64
		for range rapid.IntRange(1, 300).Draw(t, "records") {
			due := time.Duration(rapid.IntRange(0, 3000).Draw(t, "due")) * time.Millisecond
			latency := time.Duration(rapid.IntRange(0, 100_000).Draw(t, "latency")) * 10 * time.Microsecond
			r.Done(10, due, due+latency)
			if due >= time.Second {
				all = append(all, latency.Seconds()*1000)
			}
		}
		slices.Sort(all)
		counts, _ := r.Counts()
		if counts.Records != int64(len(all)) || counts.Bytes != int64(10*len(all)) {
			t.Fatalf("%+v, want %d records", counts, len(all))
		}
		if len(all) == 0 {
			return
		}
		got := r.Latencies()
		for _, c := range []struct{ percentile, got float64 }{{50, got.P50}, {90, got.P90}, {99, got.P99}, {99.9, got.P999}, {100, got.Max}} {
			rank := c.percentile / 100 * float64(len(all)) // the library rounds it
			low, high := all[max(0, int(math.Floor(rank))-1)], all[max(0, int(math.Ceil(rank))-1)]
			if c.got < low-low/500-0.002 || c.got > high+high/500+0.002 {
				t.Fatalf("p%v of %d is %v, want %v to %v", c.percentile, len(all), c.got, low, high)
			}
		}
	})
}

func TestFailuresAreCountedAlsoInTheWarmUp(t *testing.T) {
	r := NewRecorder(time.Second)
	first := errors.New("first")
	r.Failed(first)
	r.FailedMany(2, errors.New("second"))
	r.Done(5, 0, time.Second)
	r.Done(5, time.Second, 3*time.Second)
	counts, err := r.Counts()
	if want := (Counts{Records: 1, Bytes: 5, WarmUp: 1, Errors: 3}); counts != want || err != first {
		t.Errorf("%+v, %v, want %+v, %v", counts, err, want, first)
	}
	if r.Measured() != 2*time.Second {
		t.Errorf("measured %v, want from the end of the warm-up to the last record", r.Measured())
	}
	r.Done(5, time.Second, 2*time.Hour)
	if longest := r.Latencies().Max; math.Abs(longest-600_000) > 600 {
		t.Errorf("the longest is %v ms, want the bound", longest)
	}
	var out strings.Builder
	if err := r.WriteDistribution(&out); err != nil || !strings.Contains(out.String(), "Percentile") {
		t.Errorf("%v, %q", err, out.String())
	}
}

func TestStampsAreReadByTheirRunOnly(t *testing.T) {
	value := []byte(strings.Repeat("x", StampBytes+4))
	stamped := Stamp(value, 42, 3*time.Second)
	if string(value) != strings.Repeat("x", StampBytes+4) || len(stamped) != len(value) || !strings.HasSuffix(string(stamped), "xxxx") {
		t.Errorf("%q became %q", value, stamped)
	}
	if due, ok := Stamped(stamped, 42); !ok || due != 3*time.Second {
		t.Errorf("read back %v, %t", due, ok)
	}
	for _, other := range [][]byte{value, stamped[:StampBytes-1], nil} {
		if _, ok := Stamped(other, 42); ok {
			t.Errorf("%q has a stamp", other)
		}
	}
	if _, ok := Stamped(stamped, 43); ok {
		t.Error("another run's stamp is taken")
	}
}
