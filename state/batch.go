package state

import "github.com/cockroachdb/pebble/v2"

// batchWriter puts changes into one batch of Pebble.
type batchWriter struct {
	batch *pebble.Batch
	items []sortItem // to sort with, kept from batch to batch
}

func (w *batchWriter) put(c change) error {
	if c.deleted {
		return w.batch.Delete(c.key, nil)
	}
	op := w.batch.SetDeferred(len(c.key), len(c.value))
	copy(op.Key, c.key)
	copy(op.Value, c.value)
	return op.Finish()
}
