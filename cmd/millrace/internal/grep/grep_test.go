package grep

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

func TestTermsMatch(t *testing.T) {
	record := &kgo.Record{
		Key:   []byte("user-17"),
		Value: []byte("paid 30 EUR"),
		Headers: []kgo.RecordHeader{
			{Key: "source", Value: []byte("web")}, {Key: "source", Value: []byte("app")}, {Key: "null", Value: nil},
		},
	}
	tombstone := &kgo.Record{Key: []byte{}}
	for _, test := range []struct {
		terms             string
		record, tombstone bool
	}{
		{"", true, true},
		{"k:^user", true, false},
		{"k:", true, true}, // an empty key is a key
		{"v:", true, false},
		{"!v:", false, true},
		{"v:[0-9]+ EUR$", true, false},
		{"k:^paid", false, false},
		{"h:source=^app$", true, false},
		{"h:source=a=b", false, false},
		{"h:source", true, false},
		{"h:null", true, false},
		{"h:null=", false, false},
		{"!h:source=web", false, true},
		{"k:user|v:EUR", true, false},
		{"k:user|!v:EUR", false, false},
	} {
		var filter Filter
		for _, s := range strings.FieldsFunc(test.terms, func(r rune) bool { return r == '|' }) {
			term, err := Parse(s)
			if err != nil {
				t.Fatal(err)
			}
			filter = append(filter, term)
		}
		if got := filter.Match(record); got != test.record {
			t.Errorf("%q matches the record: %v, want %v", test.terms, got, test.record)
		}
		if got := filter.Match(tombstone); got != test.tombstone {
			t.Errorf("%q matches the tombstone: %v, want %v", test.terms, got, test.tombstone)
		}
	}
}

func TestWrongTermsAreNamed(t *testing.T) {
	for s, want := range map[string]string{
		"foo":  "is no filter",
		"x:a":  `unknown part "x"`,
		"v:(":  "missing closing )",
		"h:=a": "no header name",
	} {
		if _, err := Parse(s); err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "-G: ") {
			t.Errorf("%s: got %v, want %q", s, err, want)
		}
	}
}
