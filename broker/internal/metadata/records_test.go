package metadata

import (
	"bytes"
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/millrace/millrace/broker/internal/quota"
)

func text(s string) *string { return &s }

// allRecords is one record of each type with every field set.
func allRecords() []Record {
	id := [16]byte{1, 2, 3, 15: 16}
	return []Record{
		&RegisterBrokerRecord{BrokerID: 1, IncarnationID: id, BrokerEpoch: 5, EndPoints: []EndPoint{{"PLAINTEXT", "localhost", 9092, 0}},
			Features: []Feature{{"metadata.version", 1, 7}}, Rack: text("r"), Fenced: true, InControlledShutdown: true},
		&TopicRecord{Name: "clicks", ID: id},
		&PartitionRecord{PartitionID: 3, TopicID: id, Replicas: []int32{1, 2}, Isr: []int32{1}, RemovingReplicas: []int32{2},
			AddingReplicas: []int32{}, Leader: 1, LeaderEpoch: 4, PartitionEpoch: 9},
		&ConfigRecord{ResourceType: 2, ResourceName: "clicks", Name: "retention.ms", Value: text("1000")},
		&ConfigRecord{ResourceType: 2, ResourceName: "clicks", Name: "retention.ms"},
		&RemoveTopicRecord{ID: id},
		&FeatureLevelRecord{Name: "metadata.version", Level: 7},
		&ProducerIDsRecord{BrokerID: 1, BrokerEpoch: 5, NextProducerID: 2000},
		&ClientQuotaRecord{Entity: []quota.Part{{Type: "user"}, {Type: "client-id", Name: text("app")}}, Key: "k", Value: 1.5, Remove: true},
		&BeginTransactionRecord{},
		&EndTransactionRecord{},
	}
}

// The bytes are those of Kafka's schemas, field by field.
func TestRecordsAreEncodedAsKafkasAre(t *testing.T) {
	id := "0102030000000000 0000000000000010"
	for i, want := range []string{
		"01 00 01  00000001" + id + "0000000000000005  02 0a 504c41494e54455854 0a 6c6f63616c686f7374 2384 0000 00" +
			"02 11 6d657461646174612e76657273696f6e 0001 0007 00  02 72  01 01  00",
		"01 02 00  07 636c69636b73" + id + "00",
		"01 03 00  00000003" + id + "03 00000001 00000002  02 00000001  02 00000002  01  00000001 00000004 00000009  00",
		"01 04 00  02 07 636c69636b73 0d 726574656e74696f6e2e6d73 05 31303030  00",
		"01 04 00  02 07 636c69636b73 0d 726574656e74696f6e2e6d73 00  00",
		"01 09 00" + id + "00",
		"01 0c 00  11 6d657461646174612e76657273696f6e 0007  00",
		"01 0f 00  00000001 0000000000000005 00000000000007d0  00",
		"01 0e 00  03  05 75736572 00 00  0a 636c69656e742d6964 04 617070 00  02 6b 3ff8000000000000 01  00",
		"01 17 00  00",
		"01 18 00  00",
	} {
		record := allRecords()[i]
		encoded, err := hex.DecodeString(strings.ReplaceAll(want, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		if got := Encode(record); !bytes.Equal(got, encoded) {
			t.Errorf("%T:\ngot  %x\nwant %x", record, got, encoded)
		}
		if got, err := Decode(encoded); err != nil || !reflect.DeepEqual(got, record) {
			t.Errorf("%T: decoded to %+v, %v", record, got, err)
		}
	}
}

func TestDecodeSkipsTaggedFields(t *testing.T) {
	encoded := Encode(&FeatureLevelRecord{Name: "f", Level: 1})
	encoded = append(encoded[:len(encoded)-1], 2, 0, 3, 'a', 'b', 'c', 9, 0)
	got, err := Decode(encoded)
	if err != nil || !reflect.DeepEqual(got, &FeatureLevelRecord{Name: "f", Level: 1}) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestDecodeRefusesWhatItDoesNotKnow(t *testing.T) {
	for _, c := range []struct {
		encoded []byte
		want    error
	}{
		{[]byte{2, 2, 0}, ErrNewer},                              // another frame
		{[]byte{1, 100, 0}, ErrNewer},                            // another type
		{append([]byte{1, 3, 1}, make([]byte, 40)...), ErrNewer}, // another version
		{nil, ErrCorrupt},
		{[]byte{1, 2}, ErrCorrupt},
		{[]byte{1, 2, 0}, ErrCorrupt},
		{[]byte{1, 2, 0, 0xff, 0xff, 0xff, 0xff, 0x0f}, ErrCorrupt},                   // a name of 4 GB
		{append(Encode(&RemoveTopicRecord{}), 0), ErrCorrupt},                         // something after it
		{append([]byte{1, 2, 0, 0}, make([]byte, 17)...), ErrCorrupt},                 // a null name
		{[]byte{1, 12, 0, 2, 'f', 0, 1, 1, 0, 0xff, 0xff, 0xff, 0xff, 1}, ErrCorrupt}, // an absurd tagged field
		{[]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, ErrCorrupt},
	} {
		if got, err := Decode(c.encoded); !errors.Is(err, c.want) {
			t.Errorf("%x: %+v, %v, want %v", c.encoded, got, err, c.want)
		}
	}
}

func TestDecodeRefusesEveryTruncation(t *testing.T) {
	for _, record := range allRecords() {
		encoded := Encode(record)
		for size := range encoded {
			if got, err := Decode(encoded[:size]); !errors.Is(err, ErrCorrupt) {
				t.Errorf("%T cut to %d of %d bytes: %+v, %v", record, size, len(encoded), got, err)
			}
		}
	}
}

// What decodes, encodes to something that decodes to the same; nothing panics or allocates out of bounds.
func FuzzDecode(f *testing.F) {
	for _, record := range allRecords() {
		f.Add(Encode(record))
	}
	f.Fuzz(func(t *testing.T, encoded []byte) {
		record, err := Decode(encoded)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrNewer) {
				t.Fatalf("error of another kind: %v", err)
			}
			return
		}
		again, err := Decode(Encode(record))
		if err != nil || !reflect.DeepEqual(again, record) {
			t.Fatalf("%+v came back as %+v, %v", record, again, err)
		}
	})
}
