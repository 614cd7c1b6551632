package envelope

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/millrace/millrace/cmd/millrace/internal/usage"
	"github.com/twmb/franz-go/pkg/kgo"
)

// NoPartition is the Partition of a decoded record that names none.
const NoPartition = -1

var (
	recordFields = []string{"topic", "partition", "offset", "timestamp", "timestamp_type", "key", "value", "headers"}
	headerFields = []string{"key", "value"}
)

// Decode reads one envelope. The fields "value" is required, null for a tombstone; the others may
// be left out: no "topic" leaves Topic empty, no "partition" gives NoPartition, no "timestamp" leaves
// Timestamp zero. "offset" and "timestamp_type" are checked and otherwise left to the broker, which
// decides both.
// The record does not share memory with line. An error is one line and tells what is wrong: a
// field that does not exist, is there twice or has the wrong type, bytes that are not JSON or that
// JSON would not carry without loss.
func Decode(line []byte) (*kgo.Record, error) {
	if !utf8.Valid(line) {
		return nil, errors.New(`not valid UTF-8 (other bytes are written {"base64":"..."})`)
	}
	fields, err := object(line, recordFields)
	if err != nil {
		return nil, err
	}
	record := &kgo.Record{Partition: NoPartition}
	if raw, ok := fields["topic"]; ok {
		if record.Topic, err = text(raw); err != nil {
			return nil, fmt.Errorf(`"topic" %w`, err)
		}
	}
	if err := decodeNumbers(record, fields); err != nil {
		return nil, err
	}
	if raw, ok := fields["key"]; ok {
		if record.Key, err = byteString(raw); err != nil {
			return nil, fmt.Errorf(`"key" %w`, err)
		}
	}
	raw, ok := fields["value"]
	if !ok {
		return nil, errors.New(`no "value" (write null for a tombstone)`)
	}
	if record.Value, err = byteString(raw); err != nil {
		return nil, fmt.Errorf(`"value" %w`, err)
	}
	record.Headers, err = decodeHeaders(fields["headers"])
	return record, err
}

func decodeNumbers(record *kgo.Record, fields map[string]json.RawMessage) error {
	if raw, ok := fields["partition"]; ok {
		n, err := integer(raw, 32)
		if err != nil || n < 0 {
			return fmt.Errorf(`"partition" must be a number from 0, found %s`, excerpt(raw))
		}
		record.Partition = int32(n)
	}
	if raw, ok := fields["offset"]; ok {
		if _, err := integer(raw, 64); err != nil {
			return fmt.Errorf(`"offset" must be a whole number, found %s`, excerpt(raw))
		}
	}
	if raw, ok := fields["timestamp"]; ok {
		ms, err := integer(raw, 64)
		if err != nil {
			return fmt.Errorf(`"timestamp" must be milliseconds since 1970, found %s`, excerpt(raw))
		}
		record.Timestamp = time.UnixMilli(ms).UTC()
		if record.Timestamp.IsZero() {
			// A client takes the zero time for "now"; the nanosecond is cut off again on the wire.
			record.Timestamp = record.Timestamp.Add(time.Nanosecond)
		}
	}
	if raw, ok := fields["timestamp_type"]; ok && string(raw) != "null" {
		name, err := text(raw)
		if err != nil || name != timestampTypes[0] && name != timestampTypes[1] {
			return fmt.Errorf(`"timestamp_type" must be "CreateTime" or "LogAppendTime", found %s`, excerpt(raw))
		}
	}
	return nil
}

func decodeHeaders(raw json.RawMessage) ([]kgo.RecordHeader, error) {
	if raw == nil || string(raw) == "null" {
		return nil, nil
	}
	var list []json.RawMessage
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, fmt.Errorf(`"headers" must be a list of {"key":...,"value":...}, found %s`, excerpt(raw))
	}
	headers := make([]kgo.RecordHeader, 0, len(list))
	for i, item := range list {
		header, err := decodeHeader(item)
		if err != nil {
			return nil, fmt.Errorf("header %d: %w", i+1, err)
		}
		headers = append(headers, header)
	}
	return headers, nil
}

func decodeHeader(raw json.RawMessage) (kgo.RecordHeader, error) {
	fields, err := object(raw, headerFields)
	if err != nil {
		return kgo.RecordHeader{}, err
	}
	for _, name := range headerFields {
		if _, ok := fields[name]; !ok {
			return kgo.RecordHeader{}, fmt.Errorf("no %q", name)
		}
	}
	key, err := text(fields["key"])
	if err != nil {
		return kgo.RecordHeader{}, fmt.Errorf(`"key" %w`, err)
	}
	value, err := byteString(fields["value"])
	if err != nil {
		return kgo.RecordHeader{}, fmt.Errorf(`"value" %w`, err)
	}
	return kgo.RecordHeader{Key: key, Value: value}, nil
}

// object splits one JSON object into its fields, which must be among names and there once: what
// encoding/json would drop silently is an error here.
func object(data []byte, names []string) (map[string]json.RawMessage, error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	start, err := decoder.Token()
	if err != nil {
		return nil, syntaxError(err)
	}
	if start != json.Delim('{') {
		return nil, fmt.Errorf("must be a JSON object, found %s", excerpt(data))
	}
	fields := make(map[string]json.RawMessage, len(names))
	for decoder.More() {
		token, err := decoder.Token()
		if err != nil {
			return nil, syntaxError(err)
		}
		name, _ := token.(string)
		if !slices.Contains(names, name) {
			return nil, fmt.Errorf("unknown field %q%s", name, usage.Hint(name, names))
		}
		if _, twice := fields[name]; twice {
			return nil, fmt.Errorf("field %q is there twice", name)
		}
		var raw json.RawMessage
		if err := decoder.Decode(&raw); err != nil {
			return nil, syntaxError(err)
		}
		fields[name] = raw
	}
	if _, err := decoder.Token(); err != nil {
		return nil, syntaxError(err)
	}
	if rest := bytes.TrimSpace(data[decoder.InputOffset():]); len(rest) > 0 {
		return nil, fmt.Errorf("text after the object: %s", excerpt(rest))
	}
	return fields, nil
}

func syntaxError(err error) error {
	var syntax *json.SyntaxError
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("not a JSON object: it ends too early")
	case errors.As(err, &syntax):
		return fmt.Errorf("not a JSON object: %w at byte %d", err, syntax.Offset)
	}
	return fmt.Errorf("not a JSON object: %w", err)
}

// byteString decodes what appendBytes wrote; null gives nil, empty gives an empty slice.
func byteString(raw json.RawMessage) ([]byte, error) {
	if string(raw) == "null" {
		return nil, nil
	}
	s, err := text(raw)
	if err != nil {
		return nil, err
	}
	return append(make([]byte, 0, len(s)), s...), nil
}

// text decodes what appendText wrote.
func text(raw json.RawMessage) (string, error) {
	switch raw[0] {
	case '"':
		if unpairedSurrogate(raw) {
			return "", errors.New("has half of a surrogate pair, which no UTF-8 can hold")
		}
		var s string
		err := json.Unmarshal(raw, &s)
		return s, err
	case '{':
		fields, err := object(raw, []string{"base64"})
		if err != nil {
			return "", err
		}
		var encoded string
		if err := json.Unmarshal(fields["base64"], &encoded); err != nil {
			return "", errors.New(`needs {"base64":"..."}`)
		}
		b, err := base64.StdEncoding.Strict().DecodeString(encoded)
		if err != nil {
			return "", fmt.Errorf("is not base64: %w", err)
		}
		return string(b), nil
	}
	return "", fmt.Errorf(`must be a string, {"base64":"..."} or null, found %s`, excerpt(raw))
}

// unpairedSurrogate reports whether the JSON string raw escapes a surrogate without its partner.
// encoding/json would turn it into U+FFFD without a word.
func unpairedSurrogate(raw []byte) bool {
	for i := 0; i < len(raw)-1; i++ {
		if raw[i] != '\\' {
			continue
		}
		i++
		if raw[i] != 'u' {
			continue
		}
		switch unit := escaped(raw, i-1); {
		case unit >= 0xdc00 && unit < 0xe000:
			return true
		case unit >= 0xd800 && unit < 0xdc00:
			low := escaped(raw, i+5)
			if low < 0xdc00 || low >= 0xe000 {
				return true
			}
			i += 6
		}
	}
	return false
}

// escaped returns the code unit of the escape \uXXXX at raw[at:], or -1 if there is none.
func escaped(raw []byte, at int) int {
	if at+6 > len(raw) || raw[at] != '\\' || raw[at+1] != 'u' {
		return -1
	}
	unit, err := strconv.ParseUint(string(raw[at+2:at+6]), 16, 16)
	if err != nil {
		return -1
	}
	return int(unit)
}

func integer(raw json.RawMessage, bits int) (int64, error) {
	return strconv.ParseInt(string(raw), 10, bits)
}

// excerptBytes bounds how much of a wrong input an error repeats.
const excerptBytes = 40

func excerpt(raw []byte) string {
	raw = bytes.TrimSpace(raw)
	if len(raw) <= excerptBytes {
		return strconv.Quote(string(raw))
	}
	return strconv.Quote(string(raw[:excerptBytes])) + "..."
}
