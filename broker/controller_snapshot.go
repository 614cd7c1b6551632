package broker

import (
	"context"
	"fmt"
	"time"

	"github.com/millrace/millrace/broker/internal/metadata"
	"github.com/millrace/millrace/log/record"
)

// shrink makes the metadata log short again once it has grown enough, so that the length of a start does not depend on
// the age of the data directory. If that fails, the log is merely longer, and the next try comes after as much growth.
// The caller has the turn.
func (c *controller) shrink(ctx context.Context) {
	before := c.log.Stats()
	if before.SizeBytes <= c.shrinkAtBytes {
		return
	}
	if err := c.writeSnapshot(context.WithoutCancel(ctx)); err != nil {
		c.shrinkAtBytes = before.SizeBytes + c.static.MetadataLogMaxRecordBytesBetweenSnapshots
		c.logger.Warn("metadata log not shortened", "bytes", before.SizeBytes, "err", err)
		return
	}
	after := c.log.Stats()
	c.shrinkAtBytes = after.SizeBytes + c.static.MetadataLogMaxRecordBytesBetweenSnapshots
	c.logger.Info("metadata log shortened", "log_start", after.LogStart, "bytes_before", before.SizeBytes, "bytes", after.SizeBytes)
}

// writeSnapshot appends the whole image in one batch, which begins a segment, and deletes what is before it once it is
// durable. A crash leaves the log with the snapshot or without, and a replay gives the same image either way.
func (c *controller) writeSnapshot(ctx context.Context) error {
	// The records that name deleted topics are about to go: what these topics have left on disk goes first.
	if err := c.finishDeletions(); err != nil {
		return err
	}
	if err := c.fs.SyncDir(c.dataDir); err != nil {
		return fmt.Errorf("sync data directory: %w", err)
	}
	_, values, err := encode(c.image(), c.image().Snapshot())
	if err != nil {
		return fmt.Errorf("encode snapshot: %w", err)
	}
	nowMs := time.Now().UnixMilli()
	if err := c.log.Roll(nowMs); err != nil {
		return err
	}
	base := c.log.Offsets().LogEnd
	err = c.commit(ctx, values)
	c.builder = record.Builder{} // its buffers have become as large as the snapshot
	if err != nil {
		return err
	}
	clear(c.removed)
	return c.log.DeleteSegmentsBefore(nowMs, base)
}

// noteSnapshot takes a batch of a replay into account that may be a snapshot of so many bytes.
func (c *controller) noteSnapshot(records []metadata.Record, bytes int) {
	if metadata.BeginsSnapshot(records) {
		c.shrinkAtBytes = int64(bytes) + c.static.MetadataLogMaxRecordBytesBetweenSnapshots
	}
}
