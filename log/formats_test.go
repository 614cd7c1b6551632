package log

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestEveryFileIsDocumented holds docs/formats against the names that this package gives to files.
func TestEveryFileIsDocumented(t *testing.T) {
	pages, err := filepath.Glob(filepath.Join("..", "docs", "formats", "*.md"))
	if err != nil || len(pages) == 0 {
		t.Fatalf("no pages: %v", err)
	}
	var text strings.Builder
	for _, page := range pages {
		data, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		text.Write(data)
	}
	for _, name := range []string{
		logSuffix, indexSuffix, timeIndexSuffix, txnIndexSuffix, kafkaSnapshotSuffix, deletedSuffix, cleanedSuffix, tempSuffix,
		leaderEpochName, partitionMetadataName, checkpointName, syncMarkName, producersSuffix, tornSuffix,
	} {
		if !strings.Contains(text.String(), name+"`") && !strings.Contains(text.String(), name+" ") {
			t.Errorf("docs/formats does not tell what %s is", name)
		}
	}
}
