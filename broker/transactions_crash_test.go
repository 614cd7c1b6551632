package broker

import (
	"testing"

	"github.com/millrace/millrace/log/record"
)

// decisions counts the markers in a partition's log, and the batches of records before the first of them.
func decisions(t *testing.T, b *Broker, topic string, index int32) (batches, commits, aborts int) {
	t.Helper()
	rest := recordsIn(t, b, topic, index)
	for len(rest) > 0 {
		batch, next, err := record.Next(rest)
		if err != nil {
			t.Fatal(err)
		}
		rest = next
		if !batch.IsControl() {
			batches++
			continue
		}
		marker, err := batch.ParseEndTxnMarker()
		switch {
		case err != nil:
			t.Fatal(err)
		case marker.Type == record.ControlCommit:
			commits++
		default:
			aborts++
		}
	}
	return batches, commits, aborts
}

// TestCrashDuringATransactionLeavesAllOfItOrNothing loses the power after every file operation of a transaction over
// several partitions. After the restart, and once the transactional id is in use again, it is committed in all
// partitions or in none; one that was acknowledged is; and nothing is left undecided.
func TestCrashDuringATransactionLeavesAllOfItOrNothing(t *testing.T) {
	const partitions = 3
	bothProtocols(t, func(t *testing.T, newer bool) {
		states := crashesDuring(t, func(b *Broker) {
			createTopic(t, b, "t", partitions)
			newTransactor(t, dial(t, b), "app", newer).init()
		}, func(b *Broker) {
			x := newTransactor(t, dial(t, b), "app", newer)
			x.init()
			for partition := range int32(partitions) {
				x.produce("t", partition, "v")
			}
			x.commit()
		})
		committed, none := 0, 0
		for _, state := range states {
			t.Run(state.title, func(t *testing.T) {
				b, stop := startOn(t, state.files, nil)
				defer stop()
				x := newTransactor(t, dial(t, b), "app", newer)
				x.init()
				awaitQuiet(t, b)
				with := 0
				for index := range int32(partitions) {
					batches, commits, aborts := decisions(t, b, "t", index)
					if commits > 0 {
						with++
					}
					if commits > 0 && (aborts > 0 || batches != 1) || batches > 0 && commits+aborts == 0 {
						t.Errorf("partition %d: %d batches, %d commits, %d aborts", index, batches, commits, aborts)
					}
				}
				switch {
				case with == partitions:
					committed++
				case with > 0:
					t.Errorf("committed in %d partitions of %d", with, partitions)
				case state.acknowledged:
					t.Error("an acknowledged transaction is not committed")
				default:
					none++
				}
				x.produce("t", 0, "w")
				x.commit()
			})
		}
		if committed == 0 || none == 0 {
			t.Errorf("%d states are committed, %d are not", committed, none)
		}
	})
}
