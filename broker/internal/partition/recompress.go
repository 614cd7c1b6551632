package partition

import "github.com/millrace/millrace/log/record"

// recompress returns a copy of b in another codec. Only a topic whose compression.type is not `producer` pays this.
func recompress(b record.Batch, codec record.Codec, level int) (record.Batch, error) {
	reader, err := b.Records(maxDecompressedBytes)
	if err != nil {
		return nil, err
	}
	options := record.Options{Codec: codec, Level: level, Transactional: b.IsTransactional()}
	if b.ProducerID() >= 0 {
		options.Producer = &record.Producer{ID: b.ProducerID(), Epoch: b.ProducerEpoch(), BaseSequence: b.BaseSequence()}
	}
	builder := record.NewBuilder(options)
	var headers []record.Header
	for reader.Next() {
		r := reader.Record()
		headers = r.Headers.AppendTo(headers[:0])
		builder.Add(reader.TimestampMs(), r.Key, r.Value, headers...)
	}
	if err := reader.Err(); err != nil {
		return nil, err
	}
	return builder.Build()
}
