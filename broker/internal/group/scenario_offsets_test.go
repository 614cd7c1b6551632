package group

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/log/record"
)

// runOffsets runs the commands about offsets and those of administrators.
func (w *world) runOffsets(t *testing.T, c command) {
	t.Helper()
	switch c.verb {
	case "commit":
		code, codes := w.state.Commit(commitRequest(t, c))
		w.printf("%s %v", code, codes)
	case "txn-commit":
		code, codes, err := w.state.CommitInTransaction(commitRequest(t, c), Producer{ID: c.number(t, "producer", 1)})
		if err != nil {
			w.printf("%v", err)
			return
		}
		w.printf("%s %v", code, codes)
	case "end":
		w.end(t, c)
	case "crash":
		// The last records of the log had not been committed.
		w.records = w.records[:len(w.records)-int(c.number(t, "loses", 0))]
		w.start()
	case "fetch":
		w.fetch(c)
	case "delete-offsets":
		var partitions []TopicPartition
		for _, word := range c.words {
			partitions = append(partitions, partitionOf(word))
		}
		code, codes := w.state.DeleteOffsets(c.group, partitions)
		w.printf("%s %v", code, codes)
	case "topic-deleted":
		w.state.TopicDeleted(func(topic string) bool { return topic != c.group })
	case "describe":
		w.describe(c)
	case "list":
		var phases []string
		if c.group != "" {
			phases = append(c.words, c.group)
		}
		for _, l := range w.state.List(phases) {
			w.printf("%s type=%q %s", l.Group, l.ProtocolType, l.Phase)
		}
	case "delete":
		w.printf("%s", w.state.Delete(c.group))
	default:
		t.Fatalf("unknown command %q", c.verb)
	}
}

func partitionOf(text string) TopicPartition {
	topic, partition, _ := strings.Cut(text, "/")
	index, _ := strconv.Atoi(partition)
	return TopicPartition{topic, int32(index)}
}

// commitRequest takes words such as t/0=12:text@3: offset, metadata, leader epoch.
func commitRequest(t *testing.T, c command) CommitRequest {
	r := CommitRequest{
		Group:       c.group,
		MemberID:    c.options["member"],
		InstanceID:  c.options["instance"],
		Generation:  int32(c.number(t, "generation", -1)),
		RetentionMs: -1,
	}
	if _, ok := c.options["retention"]; ok {
		r.RetentionMs = int64(c.ms(t, "retention", time.Hour))
	}
	for _, word := range c.words {
		where, what, _ := strings.Cut(word, "=")
		what, epoch, found := strings.Cut(what, "@")
		offset, metadata, _ := strings.Cut(what, ":")
		if n, err := strconv.Atoi(strings.TrimPrefix(metadata, "long")); err == nil && n > 0 {
			metadata = strings.Repeat("é", n)
		}
		o := CommitOffset{TopicPartition: partitionOf(where), LeaderEpoch: -1, Metadata: metadata}
		o.Offset, _ = strconv.ParseInt(offset, 10, 64)
		if found {
			n, _ := strconv.Atoi(epoch)
			o.LeaderEpoch = int32(n)
		}
		r.Offsets = append(r.Offsets, o)
	}
	return r
}

// end ends a producer's transaction: end commit producer=1.
func (w *world) end(t *testing.T, c command) {
	marker := record.EndTxnMarker{Type: record.ControlAbort, ProducerID: c.number(t, "producer", 1)}
	if c.group == "commit" {
		marker.Type = record.ControlCommit
	}
	if err := w.state.EndTransaction(TransactionEnd{Marker: marker}); err != nil {
		w.printf("%v", err)
	}
}

// fetch prints the offsets of the partitions that are named, or all.
func (w *world) fetch(c command) {
	var partitions []TopicPartition
	for _, word := range c.words {
		partitions = append(partitions, partitionOf(word))
	}
	if len(partitions) == 0 {
		partitions = w.state.Committed(c.group)
	}
	for _, p := range partitions {
		o, ok := w.state.Offset(c.group, p)
		unstable := ""
		if w.state.Unstable(c.group, p) {
			unstable = " unstable"
		}
		if !ok {
			w.printf("%s/%d none%s", p.Topic, p.Partition, unstable)
			continue
		}
		w.printf("%s/%d offset=%d metadata=%q epoch=%d%s", p.Topic, p.Partition, o.Offset, o.Metadata, o.LeaderEpoch, unstable)
	}
}

func (w *world) describe(c command) {
	d, ok := w.state.Describe(c.group)
	if !ok {
		w.printf("%s unknown", c.group)
		return
	}
	w.printf("%s type=%q protocol=%q", d.Phase, d.ProtocolType, d.Protocol)
	for _, m := range d.Members {
		w.printf("  %s instance=%q client=%s host=%s assignment=%q", m.ID, m.InstanceID, m.ClientID, m.ClientHost, m.Assignment)
	}
}
