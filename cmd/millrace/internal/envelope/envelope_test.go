package envelope

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"
)

// anyBytes draws nil, empty, text and arbitrary bytes, each often.
func anyBytes() *rapid.Generator[[]byte] {
	return rapid.OneOf(
		rapid.Just([]byte(nil)),
		rapid.Just([]byte{}),
		rapid.Map(rapid.String(), func(s string) []byte { return append([]byte{}, s...) }),
		rapid.SliceOf(rapid.Byte()),
		rapid.SliceOf(rapid.SampledFrom([]byte("\"\\/\n\r\t\x00\x7f{}\xff\xed\xa0\x80\xe2\x80\xa8u"))),
	)
}

func anyRecord() *rapid.Generator[*kgo.Record] {
	return rapid.Custom(func(t *rapid.T) *kgo.Record {
		record := &kgo.Record{
			Topic:     rapid.StringMatching(`[a-zA-Z0-9._-]{1,20}`).Draw(t, "topic"),
			Partition: rapid.Int32Min(0).Draw(t, "partition"),
			Offset:    rapid.Int64Min(0).Draw(t, "offset"),
			Timestamp: time.UnixMilli(rapid.OneOf(rapid.Int64(), rapid.Just[int64](-1), rapid.Just[int64](-62135596800000)).Draw(t, "timestamp")),
			Key:       anyBytes().Draw(t, "key"),
			Value:     anyBytes().Draw(t, "value"),
		}
		for range rapid.IntRange(0, 4).Draw(t, "headers") {
			record.Headers = append(record.Headers, kgo.RecordHeader{
				Key:   string(anyBytes().Draw(t, "header key")),
				Value: anyBytes().Draw(t, "header value"),
			})
		}
		return record
	})
}

func sameBytes(a, b []byte) bool { return (a == nil) == (b == nil) && bytes.Equal(a, b) }

func TestEnvelopeLosesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := anyRecord().Draw(t, "record")
		line := Append(nil, want)
		if bytes.ContainsAny(line, "\n\r") || !json.Valid(line) {
			t.Fatalf("not one line of JSON: %q", line)
		}
		got, err := Decode(line)
		if err != nil {
			t.Fatalf("decode %s: %v", line, err)
		}
		if got.Topic != want.Topic || got.Partition != want.Partition || got.Timestamp.UnixMilli() != want.Timestamp.UnixMilli() {
			t.Fatalf("got %v, want %v", got, want)
		}
		if got.Timestamp.IsZero() {
			t.Fatalf("timestamp %v would be taken for none", got.Timestamp)
		}
		if !sameBytes(got.Key, want.Key) || !sameBytes(got.Value, want.Value) || len(got.Headers) != len(want.Headers) {
			t.Fatalf("got %q %q, want %q %q", got.Key, got.Value, want.Key, want.Value)
		}
		for i, header := range want.Headers {
			if got.Headers[i].Key != header.Key || !sameBytes(got.Headers[i].Value, header.Value) {
				t.Fatalf("header %d: got %q, want %q", i, got.Headers[i], header)
			}
		}
		got.Offset = want.Offset // the broker's to give
		if again := Append(nil, got); !bytes.Equal(again, line) {
			t.Fatalf("second encoding differs:\n%s\n%s", line, again)
		}
	})
}

func TestEnvelopeText(t *testing.T) {
	record := &kgo.Record{
		Topic: "t", Partition: 2, Offset: 7, Timestamp: time.UnixMilli(1760000000123),
		Key: nil, Value: []byte{0xff, 0x00},
		Headers: []kgo.RecordHeader{{Key: "a", Value: []byte("<é>")}, {Key: "a", Value: nil}, {Key: "", Value: []byte{}}},
	}
	want := `{"topic":"t","partition":2,"offset":7,"timestamp":1760000000123,"timestamp_type":"CreateTime","key":null,` +
		`"value":{"base64":"/wA="},"headers":[{"key":"a","value":"<é>"},{"key":"a","value":null},{"key":"","value":""}]}`
	if got := string(Append(nil, record)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestDecodeSaysWhatIsWrong(t *testing.T) {
	for _, test := range []struct{ line, want string }{
		{``, "it ends too early"},
		{`hello`, "invalid character 'h'"},
		{`[1]`, "must be a JSON object"},
		{`{"value":"a"`, "it ends too early"},
		{`{"value":"a"} x`, `text after the object: "x"`},
		{`{"vlaue":"a"}`, `unknown field "vlaue", did you mean "value"?`},
		{`{"key":"a"}`, `no "value" (write null for a tombstone)`},
		{`{"value":"a","value":"b"}`, `field "value" is there twice`},
		{`{"value":1}`, `"value" must be a string`},
		{`{"value":{"a":1}}`, `"value" unknown field "a"`},
		{`{"value":{}}`, `"value" needs {"base64":"..."}`},
		{`{"value":{"base64":"?"}}`, `"value" is not base64`},
		{`{"value":{"base64":"AB=="}}`, `"value" is not base64`}, // bits that decoding would drop
		{`{"value":"\ud800"}`, `"value" has half of a surrogate pair`},
		{`{"value":"\ud800\ud800"}`, `"value" has half of a surrogate pair`},
		{`{"value":"\udc00"}`, `"value" has half of a surrogate pair`},
		{"{\"value\":\"\xff\"}", "not valid UTF-8"},
		{`{"value":"a","partition":-1}`, `"partition" must be a number from 0`},
		{`{"value":"a","partition":3000000000}`, `"partition" must be a number from 0`},
		{`{"value":"a","timestamp":"now"}`, `"timestamp" must be milliseconds`},
		{`{"value":"a","timestamp":1.5}`, `"timestamp" must be milliseconds`},
		{`{"value":"a","timestamp_type":"Now"}`, `"timestamp_type" must be`},
		{`{"value":"a","offset":"x"}`, `"offset" must be a whole number`},
		{`{"value":"a","headers":{}}`, `"headers" must be a list`},
		{`{"value":"a","headers":[{"key":"k"}]}`, `header 1: no "value"`},
		{`{"value":"a","headers":[{"key":null,"value":null}]}`, `header 1: "key" must be a string`},
	} {
		_, err := Decode([]byte(test.line))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("Decode(%s) = %v, want %q", test.line, err, test.want)
		}
	}
}

func TestDecodeLeavesOutWhatIsNotThere(t *testing.T) {
	got, err := Decode([]byte(` {"value" : "\ud83d\ude00\\ud800"} `))
	if err != nil {
		t.Fatal(err)
	}
	if got.Topic != "" || got.Partition != NoPartition || !got.Timestamp.IsZero() || got.Key != nil || string(got.Value) != "😀\\ud800" {
		t.Errorf("got %+v", got)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"topic":"t","partition":2,"timestamp":5,"key":null,"value":{"base64":"/wA="},"headers":[{"key":"a","value":""}]}`))
	f.Add([]byte(`{"value":"\ud83d\ude00"}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		record, err := Decode(line)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\n") {
				t.Errorf("the error is not one line: %q", err)
			}
			return
		}
		again, err := Decode(Append(nil, &kgo.Record{Topic: record.Topic, Key: record.Key, Value: record.Value, Headers: record.Headers}))
		if err != nil || !sameBytes(again.Key, record.Key) || !sameBytes(again.Value, record.Value) {
			t.Errorf("%q decodes to what does not survive: %v", line, err)
		}
	})
}
