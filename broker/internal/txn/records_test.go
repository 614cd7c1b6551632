package txn

import (
	"bytes"
	"encoding/hex"
	"reflect"
	"strings"
	"testing"
)

// kafkaRecords are values that Apache Kafka 4.3.1 has written for the transactional id "probe", and what they say.
var kafkaRecords = []struct {
	value string
	want  metadata
}{
	{
		"0001 0000000000000000 0000 00009c40 00 00 000001a1ff2a0e14 ffffffffffffffff 01 00080000000000000000",
		metadata{phase: Empty, updatedMs: 1795282308628, startMs: -1},
	},
	{
		"0001 0000000000000000 0000 00009c40 01 03 02740200000000 00 02750200000000 00 000001a1ff2a1090 000001a1ff2a1090 02 00080000000000000000 02020002",
		metadata{phase: Ongoing, partitions: []Partition{{"t", 0}, {"u", 0}}, updatedMs: 1795282309264, startMs: 1795282309264, version: 2},
	},
	{
		"0001 0000000000000000 0001 00009c40 04 01 000001a1ff2a12f7 000001a1ff2a1090 02 00080000000000000000 02020002",
		metadata{phase: CompleteCommit, producerEpoch: 1, updatedMs: 1795282309879, startMs: 1795282309264, version: 2},
	},
	{
		"0001 0000000000000000 0002 00009c40 05 01 000001a1ff2a153d 000001a1ff2a1422 02 00080000000000000000 02020002",
		metadata{phase: CompleteAbort, producerEpoch: 2, updatedMs: 1795282310461, startMs: 1795282310178, version: 2},
	},
}

const kafkaKey = "0000 0005 70726f6265"

// TestRecordsAreKafkas reads what Kafka has written, and writes the same bytes.
func TestRecordsAreKafkas(t *testing.T) {
	for _, c := range kafkaRecords {
		s := newWorld().state
		if err := s.Replay(unhex(t, kafkaKey), unhex(t, c.value)); err != nil {
			t.Fatal(err)
		}
		c.want.timeoutMs = 40_000
		c.want.nextProducerID = noProducerID
		c.want.lastProducerEpoch = noProducerEpoch
		got := s.transactions["probe"].metadata
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("read %+v, want %+v", got, c.want)
		}
		r := s.record("probe", &got)
		if !bytes.Equal(r.Key, unhex(t, kafkaKey)) || !bytes.Equal(r.Value, unhex(t, c.value)) {
			t.Errorf("%s: wrote %x %x\nwant %x", c.want.phase, r.Key, r.Value, unhex(t, c.value))
		}
	}
}

// TestPartitionsOfARecordAreSorted: Kafka writes them as they come.
func TestPartitionsOfARecordAreSorted(t *testing.T) {
	m, err := readValue(unhex(t, "0001 0000000000000000 0001 00009c40 02 03 0275030000000100000000 00 0274030000000100000000 00"+
		"000001a1ff2a12ea 000001a1ff2a1090 02 00080000000000000000 02020002"))
	want := []Partition{{"t", 0}, {"t", 1}, {"u", 0}, {"u", 1}}
	if err != nil || !reflect.DeepEqual(m.partitions, want) {
		t.Errorf("read %v, %v, want %v", m.partitions, err, want)
	}
}

// TestCountsBeyondTheValueAreRefused: numbers that promise more than there is cost neither time nor memory.
func TestCountsBeyondTheValueAreRefused(t *testing.T) {
	head := "0001 0000000000000000 0001 00009c40 02"
	for name, value := range map[string]string{
		"topics":     head + "ffffffff0f",
		"partitions": head + "02 0274 ffffffff0f",
		"name":       head + "02 ffffffff0f 74",
		"tags":       head + "01 000001a1ff2a12ea 000001a1ff2a1090 ffffffff0f",
		"topic tags": head + "02 0274 0200000000 ffffffff0f",
		"tag size":   head + "01 000001a1ff2a12ea 000001a1ff2a1090 01 00ffffffff0f",
		"old topics": "0000 0000000000000000 0001 00009c40 02 7fffffff",
	} {
		if m, err := readValue(unhex(t, value)); err == nil {
			t.Errorf("%s: read %+v", name, m)
		}
	}
}

func unhex(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
