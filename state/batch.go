package state

import "github.com/cockroachdb/pebble/v2"

// batchWriter puts changes into one batch of Pebble.
type batchWriter struct {
	batch *pebble.Batch
	items []sortItem // to sort, kept from batch to batch
	spare []sortItem
}

// sort sorts the items, whose heads are known.
func (w *batchWriter) sort(key func(value uint64) []byte) {
	w.items, w.spare = sortItems(w.items, w.spare, key)
}

// sortByKey finds the heads first.
func (w *batchWriter) sortByKey(key func(value uint64) []byte) {
	var common prefix
	for _, item := range w.items {
		common.add(key(item.value))
	}
	for i := range w.items {
		w.items[i].head = head(key(w.items[i].value)[len(common.bytes):])
	}
	w.sort(key)
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
