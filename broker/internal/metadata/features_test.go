package metadata

import "testing"

// A log from before there were transactions has the newest protocol, and a level that is set stays.
func TestTransactionVersionIsTheHighestUntilItIsSet(t *testing.T) {
	image := mustApply(t, Empty("c", 1), Format()...)
	if got := image.TransactionVersion(); got != TransactionVersionMax {
		t.Errorf("without a record: %d", got)
	}
	for _, level := range []int16{1, 0, 2, 2} {
		before := image.TransactionVersion()
		records := image.SetTransactionVersion(level)
		if (len(records) == 0) != (level == before) {
			t.Errorf("from %d to %d: %d records", before, level, len(records))
		}
		image = mustApply(t, image, recoded(t, records)...)
		if got := image.TransactionVersion(); got != level {
			t.Errorf("set to %d: %d", level, got)
		}
		if got := mustApply(t, Empty("c", 1), recoded(t, image.Snapshot())...).TransactionVersion(); got != level {
			t.Errorf("%d after a snapshot: %d", level, got)
		}
	}
	if _, err := image.Apply(&FeatureLevelRecord{Name: FeatureTransaction, Level: TransactionVersionMax + 1}); err == nil {
		t.Error("a level that is not known was taken")
	}
}
