package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/cmd/millrace/internal/clientconfig"
	"github.com/millrace/millrace/cmd/millrace/internal/envelope"
	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"
)

// someBytes draws nil, empty, text and arbitrary bytes.
func someBytes() *rapid.Generator[[]byte] {
	return rapid.OneOf(
		rapid.Just([]byte(nil)), rapid.Just([]byte{}), rapid.SliceOf(rapid.Byte()),
		rapid.Map(rapid.String(), func(s string) []byte { return []byte(s + "\n") }),
	)
}

func someRecord() *rapid.Generator[*kgo.Record] {
	return rapid.Custom(func(t *rapid.T) *kgo.Record {
		record := &kgo.Record{
			Partition: rapid.Int32Range(0, 2).Draw(t, "partition"),
			Timestamp: time.UnixMilli(rapid.Int64Range(0, 1_700_000_000_000).Draw(t, "timestamp")),
			Key:       someBytes().Draw(t, "key"), Value: someBytes().Draw(t, "value"),
		}
		for range rapid.IntRange(0, 3).Draw(t, "headers") {
			record.Headers = append(record.Headers, kgo.RecordHeader{
				Key: string(someBytes().Draw(t, "header key")), Value: someBytes().Draw(t, "header value"),
			})
		}
		return record
	})
}

// byPartition splits lines of consume -J by partition, with the topic taken out.
func byPartition(lines, topic string) [3][]string {
	var split [3][]string
	for line := range strings.Lines(lines) {
		line = strings.Replace(line, fmt.Sprintf(`"topic":"%s"`, topic), `"topic":""`, 1)
		for p := range split {
			if strings.Contains(line, fmt.Sprintf(`"partition":%d,`, p)) {
				split[p] = append(split[p], line)
				break
			}
		}
	}
	return split
}

// What consume -J prints, produce -J writes: through two topics of a real broker, every byte, null,
// header and timestamp of every record is the same, in the same order of its partition.
func TestConsumePipedIntoProduceLosesNothing(t *testing.T) {
	useBroker(t)
	round := 0
	rapid.Check(t, func(t *rapid.T) {
		round++
		records := rapid.SliceOfN(someRecord(), 1, 20).Draw(t, "records")
		codec := rapid.SampledFrom(clientconfig.Codecs).Draw(t, "codec")
		first, second := fmt.Sprintf("first-%d", round), fmt.Sprintf("second-%d", round)
		var want [3][]string
		var input []byte
		for _, record := range records {
			record.Offset = int64(len(want[record.Partition]))
			line := append(envelope.Append(nil, record), '\n')
			want[record.Partition] = append(want[record.Partition], string(line))
			input = append(input, line...)
		}
		pipe := func(stdin string, args ...string) string {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			var stdout, stderr bytes.Buffer
			if code := run(ctx, args, strings.NewReader(stdin), &stdout, &stderr); code != 0 {
				t.Fatalf("millrace %q: exit code %d: %s", args, code, stderr.String())
			}
			return stdout.String()
		}
		pipe("", "topic", "create", first, second, "-p", "3", "-c", "retention.ms=-1")
		pipe(string(input), "produce", first, "-J", "-z", codec)
		got := pipe("", "consume", first, "-J", "-e")
		if split := byPartition(got, first); fmt.Sprint(split) != fmt.Sprint(want) {
			t.Fatalf("consumed\n%s\nwant\n%s", split, want)
		}
		pipe(got, "produce", second, "-J", "-z", codec)
		again := pipe("", "consume", second, "-J", "-e")
		if split := byPartition(again, second); fmt.Sprint(split) != fmt.Sprint(want) {
			t.Fatalf("after the second topic\n%s\nwant\n%s", split, want)
		}
		pipe("", "topic", "delete", first, second, "-y")
	})
}
