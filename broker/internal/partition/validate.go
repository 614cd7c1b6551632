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
	if b.IsTransactional() && b.ProducerID() < 0 {
		return nil, fmt.Errorf("%w: transactional batch without a producer id", record.ErrInvalid)
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

// checkRecords looks at every record, which costs a decompression: only where the topic asks for it, or where the
// header says that one of them is too far ahead. A greatest timestamp that no record has is corrected.
func (c *Config) checkRecords(b record.Batch, nowMs int64) error {
	if !c.checksRecords() && !c.tooLate(b.MaxTimestampMs(), nowMs) {
		return nil
	}
	reader, err := b.Records(maxDecompressedBytes)
	if err != nil {
		return err
	}
	judge := c.judge(nowMs)
	var rejected RejectedError
	maxTimestampMs := int64(math.MinInt64)
	for i := int32(0); reader.Next(); i++ {
		maxTimestampMs = max(maxTimestampMs, reader.TimestampMs())
		rejected.add(i, judge(reader))
	}
	switch {
	case reader.Err() != nil:
		return reader.Err()
	case rejected.Err != nil:
		return &rejected
	case maxTimestampMs != b.MaxTimestampMs():
		b.SetMaxTimestampMs(maxTimestampMs)
	}
	return nil
}

// judge returns what says why the topic does not take a record, nil if it does. A missing key is told before a
// timestamp, as by Kafka.
func (c *Config) judge(nowMs int64) func(*record.Reader) error {
	checkAge, oldestMs := c.checksAge(), nowMs-c.TimestampBeforeMaxMs
	old := fmt.Errorf("%w: more than message.timestamp.before.max.ms=%d before now=%d", ErrTimestamp, c.TimestampBeforeMaxMs, nowMs)
	late := fmt.Errorf("%w: more than message.timestamp.after.max.ms=%d after now=%d", ErrTimestamp, c.TimestampAfterMaxMs, nowMs)
	return func(r *record.Reader) error {
		timestampMs := r.TimestampMs()
		switch {
		case c.Log.Compacted && r.Record().Key == nil:
			return ErrNoKey
		case checkAge && timestampMs != record.NoTimestamp && timestampMs < oldestMs:
			return old
		case c.tooLate(timestampMs, nowMs):
			return late
		}
		return nil
	}
}
