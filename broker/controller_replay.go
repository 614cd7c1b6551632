package broker

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"

	"github.com/millrace/millrace/broker/internal/metadata"
	"github.com/millrace/millrace/broker/internal/partition"
	"github.com/millrace/millrace/log/record"
)

// replayBytes is how much of the metadata log is read at once. Longer batches are read all the same.
const replayBytes = 1 << 20

// replay reads the whole metadata log and returns the image that it leads to.
func (c *controller) replay(clusterID string) (*metadata.Image, error) {
	var records []metadata.Record
	offsets := c.log.Offsets()
	for next := offsets.LogStart; next < offsets.HighWatermark; {
		batches, err := c.readBatches(next)
		if err != nil {
			return nil, fmt.Errorf("offset %d: %w", next, err)
		}
		for len(batches) > 0 {
			var batch record.Batch
			if batch, batches, err = record.Next(batches); err != nil {
				return nil, fmt.Errorf("offset %d: %w", next, err)
			}
			known := len(records)
			if records, err = appendRecords(records, batch); err != nil {
				return nil, err
			}
			c.noteSnapshot(records[known:], len(batch))
			next = batch.NextOffset()
		}
	}
	image, err := metadata.Empty(clusterID, c.static.NodeId).Apply(records...)
	if err != nil {
		return nil, err
	}
	c.noteRemoved(records)
	return image, nil
}

// noteRemoved notes the topics that records, which are all that the log has, have created and removed again.
func (c *controller) noteRemoved(records []metadata.Record) {
	names := map[[16]byte]string{}
	for _, r := range records {
		switch r := r.(type) {
		case *metadata.TopicRecord:
			names[r.ID] = r.Name
		case *metadata.RemoveTopicRecord:
			c.removed[r.ID] = names[r.ID]
		}
	}
}

// readBatches returns whole batches from offset on, at least one.
func (c *controller) readBatches(offset int64) ([]byte, error) {
	r, _, err := c.log.Read(offset, replayBytes, true, partition.ReadUncommitted)
	if err != nil {
		return nil, err
	}
	if r == nil {
		return nil, fmt.Errorf("%w: nothing there", record.ErrShort)
	}
	defer r.Release()
	batches := make([]byte, r.Size())
	if _, err := r.ReadAt(batches, 0); err != nil {
		return nil, err
	}
	return batches, nil
}

func appendRecords(records []metadata.Record, batch record.Batch) ([]metadata.Record, error) {
	reader, err := batch.Records(replayBytes)
	if err != nil {
		return nil, fmt.Errorf("offset %d: %w", batch.BaseOffset(), err)
	}
	for reader.Next() {
		r, err := metadata.Decode(reader.Record().Value)
		if err != nil {
			return nil, fmt.Errorf("offset %d: %w", reader.Offset(), err)
		}
		records = append(records, r)
	}
	if err := reader.Err(); err != nil {
		return nil, fmt.Errorf("offset %d: %w", batch.BaseOffset(), err)
	}
	return records, nil
}

// newID returns a random id (UUID version 4) as Kafka makes them: its text does not begin with a dash, which
// command lines would take for a flag.
func newID() [16]byte {
	for {
		var id [16]byte
		_, _ = rand.Read(id[:]) // never fails
		id[6] = id[6]&0x0f | 0x40
		id[8] = id[8]&0x3f | 0x80
		if idText(id)[0] != '-' {
			return id
		}
	}
}

// idText is an id as Kafka writes it.
func idText(id [16]byte) string { return base64.RawURLEncoding.EncodeToString(id[:]) }
