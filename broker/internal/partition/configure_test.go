package partition

import (
	"testing"

	"github.com/millrace/millrace/internal/disk"
)

// TestConfigureIsAllOrNothing: half of a configuration, the partition's without the log's, is none that anybody asked for.
func TestConfigureIsAllOrNothing(t *testing.T) {
	p := open(t, disk.NewMem(), nil)
	config := DefaultConfig()
	config.Flush, config.MaxMessageBytes, config.Log.SegmentBytes = FlushOS, 1, 0
	p.Configure(config)
	if got := p.Config(); got.Flush != FlushCommit || got.MaxMessageBytes == 1 {
		t.Errorf("%+v", got)
	}
	config.Log.SegmentBytes = 1
	p.Configure(config)
	if got := p.Config(); got.Flush != FlushOS || got.MaxMessageBytes != 1 || got.Log.SegmentBytes != 1 {
		t.Errorf("%+v", got)
	}
}
