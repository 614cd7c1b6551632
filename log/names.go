package log

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/millrace/millrace/internal/disk"
)

// Names with Kafka's meaning and format.
const (
	logSuffix             = ".log"
	indexSuffix           = ".index"
	timeIndexSuffix       = ".timeindex"
	txnIndexSuffix        = ".txnindex"
	kafkaSnapshotSuffix   = ".snapshot"
	deletedSuffix         = ".deleted"
	cleanedSuffix         = ".cleaned"
	swapSuffix            = ".swap"
	leaderEpochName       = "leader-epoch-checkpoint"
	partitionMetadataName = "partition.metadata"
)

// Names of our own: what Kafka has no file for.
const (
	checkpointName        = "millrace.checkpoint"
	syncMarkName          = "millrace.syncmark"
	cleanerName           = "millrace.cleaner"
	producersSuffix       = ".producers"
	tornSuffix            = ".torn"
	offsetDigits          = 20
	tornFileMax           = 1 << 20 // bytes kept of a torn tail
	tornFilesMax          = 4       // torn tails kept
	tempSuffix            = disk.TempSuffix
	sealedScanMax   int64 = 64 << 20
)

// fileName is the name of the file that belongs to an offset.
func fileName(offset int64, suffix string) string {
	return fmt.Sprintf("%0*d%s", offsetDigits, offset, suffix)
}

// path is the path of a file that belongs to an offset.
func path(dir string, offset int64, suffix string) string {
	return filepath.Join(dir, fileName(offset, suffix))
}

// parseName is the inverse of fileName. ok is false for any other name.
func parseName(name, suffix string) (offset int64, ok bool) {
	digits, ok := strings.CutSuffix(name, suffix)
	if !ok || len(digits) != offsetDigits {
		return 0, false
	}
	for _, c := range []byte(digits) {
		if c < '0' || c > '9' {
			return 0, false
		}
	}
	offset, err := strconv.ParseInt(digits, 10, 64)
	return offset, err == nil
}
