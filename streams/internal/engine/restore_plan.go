package engine

import (
	"fmt"

	"github.com/millrace/millrace/consumer"
)

// markerOffsets is what the end of a transaction takes behind its last record. State is not behind because of it.
const markerOffsets = 1

// ChangelogFound is what a partition of a changelog is now.
type ChangelogFound struct {
	TopicID           [16]byte // zero if the broker has none
	Start, End        int64    // End with the records of open transactions
	DeleteRetentionMs int64    // how long the topic keeps tombstones
}

// RestorePlan says what has to be done before a task's state is that of its changelogs.
type RestorePlan struct {
	Wipe  string // why the local state is of no use and has to go; "" keeps it
	Spans []StoreSpan
}

// StoreSpan is what a store has to be restored from.
type StoreSpan struct {
	Store   string
	TopicID [16]byte
	consumer.Span
}

// Records is an upper bound for how many records there are to restore.
func (p RestorePlan) Records() (records int64) {
	for _, span := range p.Spans {
		records += span.To - span.From
	}
	return records
}

// PlanRestore decides what to restore. writtenMs is when the local state was last written, 0 if there is none. Local state is
// behind its changelogs or where they are, unless they are not what they were: then it is wiped, since nobody knows what of it
// holds. It is wiped as well when deletions may have been compacted away that it has not seen.
func PlanRestore(changelogs []Changelog, found map[string]ChangelogFound, writtenMs, nowMs int64) (plan RestorePlan) {
	for _, log := range changelogs {
		if why := log.useless(found[log.Store], writtenMs, nowMs); why != "" {
			plan.Wipe = why
			break
		}
	}
	for _, log := range changelogs {
		now := found[log.Store]
		from := log.NextOffset
		if plan.Wipe != "" || log.isNew() {
			from = now.Start
		}
		from = max(from, now.Start)
		plan.Spans = append(plan.Spans, StoreSpan{Store: log.Store, TopicID: now.TopicID, Span: consumer.Span{
			TopicPartition: consumer.TopicPartition{Topic: log.Topic, Partition: log.Partition}, From: from, To: max(from, now.End),
		}})
	}
	return plan
}

// isNew reports whether nothing of the changelog is stored.
func (c Changelog) isNew() bool { return c.NextOffset == 0 }

// useless returns why what is stored is of no use, "" if it is.
func (c Changelog) useless(now ChangelogFound, writtenMs, nowMs int64) string {
	var none [16]byte
	switch {
	case c.isNew():
		return ""
	case c.TopicID != now.TopicID && c.TopicID != none && now.TopicID != none:
		return fmt.Sprintf("topic %s was created anew: it is not the one that store %s was written from", c.Topic, c.Store)
	case c.NextOffset > now.End:
		return fmt.Sprintf("%s/%d ends at offset %d, store %s contains it up to %d: the topic was truncated",
			c.Topic, c.Partition, now.End, c.Store, c.NextOffset)
	case c.NextOffset+markerOffsets < now.Start:
		return fmt.Sprintf("%s/%d begins at offset %d, store %s contains it up to %d: what is between is deleted",
			c.Topic, c.Partition, now.Start, c.Store, c.NextOffset)
	case now.End-c.NextOffset > markerOffsets && writtenMs > 0 && nowMs-writtenMs > now.DeleteRetentionMs/2:
		return fmt.Sprintf("store %s was last written %d s ago: %s keeps deletions for %d s (delete.retention.ms), "+
			"some that it has not seen may be gone", c.Store, (nowMs-writtenMs)/1000, c.Topic, now.DeleteRetentionMs/1000)
	}
	return ""
}
