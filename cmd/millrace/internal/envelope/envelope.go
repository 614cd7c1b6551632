// Package envelope is the JSON form of a record: one line holds everything that a record is, for
// any bytes, so that what `consume -J` writes `produce -J` reads back without loss.
//
//	{"topic":"clicks","partition":0,"offset":7,"timestamp":1760000000000,"timestamp_type":"CreateTime",
//	 "key":"u1","value":{"base64":"/wA="},"headers":[{"key":"trace","value":null}]}
//
// A byte string is a JSON string when it is valid UTF-8, {"base64":"..."} (RFC 4648 §4, padded)
// when it is not, and null when it is null, which is not the same as empty. Headers keep their order
// and their duplicates. The timestamp is in milliseconds since 1970.
package envelope

import (
	"encoding/base64"
	"strconv"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Append appends r's envelope to dst, without a newline, and returns the longer slice.
func Append(dst []byte, r *kgo.Record) []byte {
	dst = append(dst, `{"topic":`...)
	dst = appendText(dst, r.Topic)
	dst = append(dst, `,"partition":`...)
	dst = strconv.AppendInt(dst, int64(r.Partition), 10)
	dst = append(dst, `,"offset":`...)
	dst = strconv.AppendInt(dst, r.Offset, 10)
	dst = append(dst, `,"timestamp":`...)
	dst = strconv.AppendInt(dst, r.Timestamp.UnixMilli(), 10)
	dst = append(dst, `,"timestamp_type":`...)
	dst = append(dst, timestampType(r.Attrs.TimestampType())...)
	dst = append(dst, `,"key":`...)
	dst = appendBytes(dst, r.Key)
	dst = append(dst, `,"value":`...)
	dst = appendBytes(dst, r.Value)
	dst = append(dst, `,"headers":[`...)
	for i, header := range r.Headers {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"key":`...)
		dst = appendText(dst, header.Key)
		dst = append(dst, `,"value":`...)
		dst = appendBytes(dst, header.Value)
		dst = append(dst, '}')
	}
	return append(dst, "]}"...)
}

// timestampTypes are Kafka's names for the two kinds of timestamps, by the bit in the attributes.
var timestampTypes = [...]string{"CreateTime", "LogAppendTime"}

func timestampType(bit int8) string {
	if bit < 0 || int(bit) >= len(timestampTypes) {
		return "null" // a record from before timestamps had a type
	}
	return `"` + timestampTypes[bit] + `"`
}

func appendBytes(dst, b []byte) []byte {
	if b == nil {
		return append(dst, "null"...)
	}
	return appendText(dst, string(b))
}

func appendText(dst []byte, s string) []byte {
	if utf8.ValidString(s) {
		return appendQuoted(dst, s)
	}
	dst = append(dst, `{"base64":"`...)
	dst = base64.StdEncoding.AppendEncode(dst, []byte(s))
	return append(dst, `"}`...)
}

const hexDigits = "0123456789abcdef"

// appendQuoted appends s, valid UTF-8, as a JSON string that stays on one line for any reader:
// control characters and the two line separators of Unicode are escaped.
func appendQuoted(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r == '\n':
			dst = append(dst, `\n`...)
		case r == '\r':
			dst = append(dst, `\r`...)
		case r == '\t':
			dst = append(dst, `\t`...)
		case r < 0x20 || r == 0x7f || r == '\u2028' || r == '\u2029':
			dst = append(dst, `\u`...)
			dst = append(dst, hexDigits[r>>12&15], hexDigits[r>>8&15], hexDigits[r>>4&15], hexDigits[r&15])
		default:
			dst = utf8.AppendRune(dst, r)
		}
	}
	return append(dst, '"')
}
