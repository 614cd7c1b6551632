package partition

import (
	"fmt"
	"math"

	"github.com/millrace/millrace/log/record"
)

// admit checks what a client may not get past, outside of every lock, and returns the batch as it is to be stored:
// b itself or, if the topic asks for another codec, a rewritten copy.
// The rules are those of Kafka's LogValidator and UnifiedLog.analyzeAndValidateRecords.
func (c *Config) admit(b record.Batch, nowMs int64) (record.Batch, error) {
	if err := c.checkSize(b); err != nil {
		return nil, err
	}
	if c.looksInside(b, nowMs) {
		return c.examineInTurn(b, nowMs)
	}
	return c.examine(b, nowMs)
}

func (c *Config) examineInTurn(b record.Batch, nowMs int64) (admitted record.Batch, err error) {
	err = admissions.run(func() (err error) {
		admitted, err = c.examine(b, nowMs)
		return err
	})
	return admitted, err
}

// looksInside says whether b is going to be decompressed or compressed anew.
func (c *Config) looksInside(b record.Batch, nowMs int64) bool {
	switch {
	case len(b) < record.HeaderSize:
		return false
	case c.Recompress && b.Codec() != c.Codec:
		return true
	}
	return b.Codec() != record.None &&
		(b.MaxTimestampMs() < b.BaseTimestampMs() || c.checksRecords() || c.tooLate(b.MaxTimestampMs(), nowMs))
}

func (c *Config) examine(b record.Batch, nowMs int64) (record.Batch, error) {
	if err := b.ValidateProduced(maxDecompressedBytes); err != nil {
		return nil, err
	}
	if b.IsTransactional() {
		return nil, fmt.Errorf("%w: producer %d epoch %d", ErrTransaction, b.ProducerID(), b.ProducerEpoch())
	}
	if err := c.checkRecords(b, nowMs); err != nil {
		return nil, err
	}
	if !c.Recompress || b.Codec() == c.Codec {
		return b, nil
	}
	b, err := recompress(b, c.Codec, c.CodecLevel)
	if err != nil {
		return nil, err
	}
	return b, c.checkSize(b)
}

func (c *Config) checkSize(b record.Batch) error {
	if limit := int(c.MaxMessageBytes); len(b) > limit {
		return &TooLargeError{Size: len(b), Limit: limit}
	}
	if int64(len(b)) > c.Log.SegmentBytes {
		return &TooLargeError{Size: len(b), Limit: int(c.Log.SegmentBytes), Segment: true}
	}
	return nil
}

// tooLate says whether a record with that time would come from further ahead than the topic allows.
func (c *Config) tooLate(timestampMs, nowMs int64) bool {
	return !c.Log.LogAppendTime && timestampMs > nowMs && timestampMs-nowMs > c.TimestampAfterMaxMs
}

// checksRecords says whether the topic asks for something that a batch's header does not tell.
func (c *Config) checksRecords() bool { return c.checksAge() || c.Log.Compacted }

func (c *Config) checksAge() bool {
	return !c.Log.LogAppendTime && c.TimestampBeforeMaxMs != math.MaxInt64
}

// checkRecords looks at every record, which costs a decompression: only where the topic asks for it, or to name those
// that are too far ahead.
func (c *Config) checkRecords(b record.Batch, nowMs int64) error {
	tooLate := c.tooLate(b.MaxTimestampMs(), nowMs)
	if !c.checksRecords() && !tooLate {
		return nil
	}
	found, err := c.findOffenders(b, nowMs)
	switch {
	case err != nil:
		return err
	case len(found.keyless) > 0:
		return &RejectedError{Records: found.keyless, Err: ErrNoKey}
	case len(found.old) > 0:
		return &RejectedError{Records: found.old, Err: fmt.Errorf("%w: more than message.timestamp.before.max.ms=%d before now=%d",
			ErrTimestamp, c.TimestampBeforeMaxMs, nowMs)}
	case !tooLate:
		return nil
	}
	late := fmt.Errorf("%w: more than message.timestamp.after.max.ms=%d after now=%d", ErrTimestamp, c.TimestampAfterMaxMs, nowMs)
	if len(found.late) == 0 { // the header claims a time that no record has
		return late
	}
	return &RejectedError{Records: found.late, Err: late}
}

// offenders are the positions of records that a topic does not take, at most rejectedMax of each kind.
type offenders struct {
	keyless, old, late []int32
}

func (c *Config) findOffenders(b record.Batch, nowMs int64) (found offenders, err error) {
	checkAge := c.checksAge()
	reader, err := b.Records(maxDecompressedBytes)
	if err != nil {
		return found, err
	}
	for i := int32(0); reader.Next(); i++ {
		timestampMs := reader.TimestampMs()
		if c.Log.Compacted && reader.Record().Key == nil && len(found.keyless) < rejectedMax {
			found.keyless = append(found.keyless, i)
		}
		if checkAge && timestampMs != record.NoTimestamp && timestampMs < nowMs-c.TimestampBeforeMaxMs && len(found.old) < rejectedMax {
			found.old = append(found.old, i)
		}
		if c.tooLate(timestampMs, nowMs) && len(found.late) < rejectedMax {
			found.late = append(found.late, i)
		}
	}
	return found, reader.Err()
}
