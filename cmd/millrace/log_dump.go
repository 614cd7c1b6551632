package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/cmd/millrace/internal/envelope"
	"github.com/millrace/millrace/cmd/millrace/internal/output"
	"github.com/millrace/millrace/internal/disk"
	"github.com/millrace/millrace/log"
	"github.com/millrace/millrace/log/record"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"
)

// dumpRecordBytesMax bounds what the records of one batch may become when they are decompressed.
const dumpRecordBytesMax = 1 << 30

func newLogDumpCommand() *cobra.Command {
	var options output.Options
	var records bool
	cmd := &cobra.Command{
		Use:   "dump DIR",
		Short: "Print a partition directory batch by batch",
		Long: `Print what is in a partition directory (DATA-DIR/TOPIC-PARTITION): files, segments and batches, and with
--records every record. What is wrong is said where it is. Nothing is changed, and a broker may have the
directory open.

Text is printed as it is read; json and yaml are one document, which is held in memory.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return fmt.Errorf("needs one DIR, found %d", len(args))
			}
			return noEmpty("DIR", args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			d := newDump(args[0], records)
			err := partitionDirectory(args[0])
			if err != nil {
				return fmt.Errorf("log dump: %w", err)
			}
			if options.Text() {
				err = d.print(cmd.OutOrStdout(), options.NoHeaders)
			} else if err = d.collect(); err == nil {
				err = options.Print(cmd.OutOrStdout(), &d.document)
			}
			if err != nil {
				return fmt.Errorf("log dump: %w", err)
			}
			return nil
		},
	}
	options.AddFlags(cmd.Flags())
	cmd.Flags().BoolVar(&records, "records", false, "print the records of every batch")
	return cmd
}

// dump reads one directory.
type dump struct {
	options   log.InspectOptions
	topic     string // by the directory's name
	partition int32
	records   bool
	reader    record.Reader
	document  dumpDocument
}

func newDump(dir string, records bool) *dump {
	d := &dump{options: log.InspectOptions{FS: disk.OS(), Dir: dir, Records: records}, records: records}
	d.topic = filepath.Base(filepath.Clean(dir))
	if cut := strings.LastIndexByte(d.topic, '-'); cut > 0 {
		if partition, err := strconv.ParseInt(d.topic[cut+1:], 10, 32); err == nil {
			d.topic, d.partition = d.topic[:cut], int32(partition)
		}
	}
	return d
}

// dumpDocument is what --format json prints.
type dumpDocument struct {
	Summary  log.Summary    `json:"summary"`
	Files    []log.FileInfo `json:"files"`
	Segments []dumpSegment  `json:"segments"`
	Findings []log.Finding  `json:"findings"`
}

type dumpSegment struct {
	log.SegmentInfo
	Batches []dumpBatch `json:"batches"`
}

type dumpBatch struct {
	log.BatchInfo
	Records []json.RawMessage `json:"records,omitempty"` // envelopes, with --records
}

// Tables is never called: text is streamed.
func (d *dumpDocument) Tables() []output.Table { return nil }

// collect fills the document.
func (d *dump) collect() (err error) {
	d.document = dumpDocument{Files: []log.FileInfo{}, Segments: []dumpSegment{}, Findings: []log.Finding{}}
	d.document.Summary, err = log.Inspect(d.options, log.Visitor{
		File: func(f log.FileInfo) error {
			d.document.Files = append(d.document.Files, f)
			return nil
		},
		Segment: func(s log.SegmentInfo) error {
			d.document.Segments = append(d.document.Segments, dumpSegment{SegmentInfo: s, Batches: []dumpBatch{}})
			return nil
		},
		Batch: func(info log.BatchInfo, b record.Batch) error {
			batch := dumpBatch{BatchInfo: info}
			err := d.eachRecord(info, b, func(envelope []byte) error {
				batch.Records = append(batch.Records, bytes.Clone(envelope))
				return nil
			})
			segment := &d.document.Segments[len(d.document.Segments)-1]
			segment.Batches = append(segment.Batches, batch)
			return err
		},
		Finding: func(f log.Finding) error {
			d.document.Findings = append(d.document.Findings, f)
			return nil
		},
	})
	return err
}

// eachRecord calls visit with the envelope of every record of a sound batch, if records were asked for.
// visit must not keep its argument.
func (d *dump) eachRecord(info log.BatchInfo, b record.Batch, visit func(envelope []byte) error) error {
	if !d.records || !info.CRCOK || info.RecordsProblem != "" {
		return nil
	}
	if err := d.reader.Reset(b, dumpRecordBytesMax); err != nil {
		return err
	}
	var r kgo.Record
	var line []byte
	for d.reader.Next() {
		from := d.reader.Record()
		r = kgo.Record{Topic: d.topic, Partition: d.partition, Offset: d.reader.Offset(), Timestamp: time.UnixMilli(d.reader.TimestampMs()),
			Key: from.Key, Value: from.Value, Headers: r.Headers[:0]}
		for h := range from.Headers.All() {
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: string(h.Key), Value: h.Value})
		}
		line = envelope.Append(line[:0], &r)
		// Only the client itself can set this on a record; the field is the first of its name, as a topic has no bare quote.
		line = bytes.Replace(line, createTimeField, fmt.Appendf(nil, `"timestamp_type":%q`, info.TimestampType), 1)
		if err := visit(line); err != nil {
			return err
		}
	}
	return d.reader.Err()
}

var createTimeField = []byte(`"timestamp_type":"CreateTime"`)

const dumpBatchFormat = "%12s %12s %12s %7s %-7s %9s %6s %10s %12s  %-24s %s"

// print streams the text form. Errors of w show up in the last flush.
func (d *dump) print(w io.Writer, noHeaders bool) error {
	out := bufio.NewWriter(w)
	summary, err := log.Inspect(d.options, log.Visitor{
		File: func(f log.FileInfo) error {
			_, err := fmt.Fprintf(out, "file %s, %d bytes: %s\n", f.Name, f.Bytes, f.Content)
			return err
		},
		Segment: func(s log.SegmentInfo) error {
			fmt.Fprintf(out, "segment %s, %d bytes, %s, %s", s.Name, s.Bytes,
				indexText(s.IndexEntries, "index"), indexText(s.TimeIndexEntries, "time index"))
			if s.TxnIndexEntries >= 0 { // few have one
				fmt.Fprintf(out, ", %s", indexText(s.TxnIndexEntries, "transaction index"))
			}
			fmt.Fprintln(out)
			if !noHeaders {
				fmt.Fprintf(out, dumpBatchFormat+"\n", "POSITION", "BASE", "LAST", "COUNT", "CODEC", "BYTES", "EPOCH", "PRODUCER", "SEQUENCE", "MAX TIMESTAMP", "NOTES")
			}
			return nil
		},
		Batch: func(info log.BatchInfo, b record.Batch) error {
			fmt.Fprintln(out, strings.TrimRight(fmt.Sprintf(dumpBatchFormat, batchCells(info)...), " "))
			return d.eachRecord(info, b, func(envelope []byte) error {
				_, err := fmt.Fprintf(out, "    %s\n", envelope)
				return err
			})
		},
		Finding: func(f log.Finding) error {
			_, err := fmt.Fprintf(out, "%s: %s, byte %s: %s; what to do: %s\n", f.Severity, f.Path, positionText(f), f.Problem, f.Remedy)
			return err
		},
	})
	if err == nil && summary.OpenTransactions+summary.AbortedTransactions > 0 {
		fmt.Fprintf(out, "%d transactions aborted, %d open; first unstable offset %d\n",
			summary.AbortedTransactions, summary.OpenTransactions, summary.FirstUnstableOffset)
	}
	if err == nil {
		fmt.Fprintf(out, "%d segments, %d batches, %d records, %d bytes; log start %d, log end %d, durable below %d; damage %d, repairable %d, notes %d\n",
			summary.Segments, summary.Batches, summary.Records, summary.Bytes, summary.LogStartOffset, summary.LogEndOffset,
			summary.DurableOffset, summary.Damage, summary.Repairable, summary.Notes)
	}
	return errors.Join(err, out.Flush())
}

func indexText(entries int, kind string) string {
	if entries < 0 {
		return "no " + kind
	}
	return fmt.Sprintf("%d %s entries", entries, kind)
}

func batchCells(info log.BatchInfo) []any {
	producer, sequence := "-", "-"
	if info.ProducerID >= 0 {
		producer = fmt.Sprintf("%d/%d", info.ProducerID, info.ProducerEpoch)
	}
	if info.BaseSequence >= 0 {
		sequence = fmt.Sprintf("%d-%d", info.BaseSequence, info.LastSequence)
	}
	var notes []string
	for _, note := range []struct {
		is   bool
		text string
	}{
		{!info.CRCOK, "CRC WRONG"},
		{info.RecordsProblem != "", "RECORDS UNREADABLE"},
		{info.TimestampType == record.LogAppendTime.String(), info.TimestampType},
		{info.Transactional, "transactional"},
		{info.Control != "", "control " + info.Control},
		{info.CoordinatorEpoch >= 0, fmt.Sprintf("coordinator epoch %d", info.CoordinatorEpoch)},
	} {
		if note.is {
			notes = append(notes, note.text)
		}
	}
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	return []any{number(info.Position), number(info.BaseOffset), number(info.LastOffset), number(int64(info.Count)), info.Codec,
		strconv.Itoa(info.Bytes), number(int64(info.LeaderEpoch)), producer, sequence, timestampText(info.MaxTimestamp), strings.Join(notes, ", ")}
}

func timestampText(ms int64) string {
	if ms < 0 {
		return "-"
	}
	return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z")
}
