package coordinator

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"

	"github.com/millrace/millrace/broker/internal/partition"
	"github.com/millrace/millrace/internal/disk"
	"github.com/millrace/millrace/log"
	"github.com/millrace/millrace/log/record"
)

// ledger is a notebook that also writes down to whose transaction a line belongs, and how transactions end.
type ledger struct{ notebook }

func newLedger(world World) *ledger { return &ledger{*newNotebook(world)} }

func (l *ledger) ReplayTransactional(producerID int64, key, _ []byte) error {
	l.lines = append(l.lines, fmt.Sprintf("%s by %d", key, producerID))
	return nil
}

func (l *ledger) ReplayMarker(m record.EndTxnMarker) error {
	l.lines = append(l.lines, fmt.Sprintf("%v of %d/%d", m.Type, m.ProducerID, m.ProducerEpoch))
	return nil
}

// TestTransactionsAreReplayed: a machine that knows transactions is told of them, in the order of the log.
func TestTransactionsAreReplayed(t *testing.T) {
	files := disk.NewMem()
	p := openPartition(t, files, partition.FlushCommit)
	s := load(t, p)
	by := Transaction{ProducerID: 7, ProducerEpoch: 2}
	if err := tryWrite(t, s, by); !errors.Is(err, log.ErrInvalidTxnState) {
		t.Errorf("a transaction that nobody has verified: %v", err)
	}
	var err error
	if by.Verified, err = p.BeginVerification(by.ProducerID, by.ProducerEpoch, record.NoSequence, false); err != nil {
		t.Fatal(err)
	}
	one := func(key string) []record.Record { return []record.Record{{Key: []byte(key)}} }
	_, err = s.Do(t.Context(), func(n *notebook, _ uint64) any {
		for _, err := range []error{
			n.world.AppendTransactional(by, 1, append(one("a"), one("b")...)),
			n.world.Append(1, one("c")),
			n.world.AppendMarker(record.EndTxnMarker{Type: record.ControlCommit, ProducerID: 7, ProducerEpoch: 2, TimestampMs: 1}, false),
			n.world.AppendMarker(record.EndTxnMarker{Type: record.ControlAbort, ProducerID: 8, ProducerEpoch: 0, TimestampMs: 1}, false),
			n.world.Append(1, one("d")),
		} {
			if err != nil {
				t.Error(err)
			}
		}
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := tryWrite(t, s, by); !errors.Is(err, log.ErrInvalidTxnState) {
		t.Errorf("a verification that the marker has voided: %v", err)
	}
	s.Close()
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	p = openPartition(t, files, partition.FlushCommit)
	replayed, err := Load(t.Context(), Options[*ledger]{Partition: p, New: newLedger, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer replayed.Close()
	want := []string{"a by 7", "b by 7", "c", "commit of 7/2", "abort of 8/0", "d"}
	answer, err := replayed.Do(t.Context(), func(l *ledger, _ uint64) any { return slices.Clone(l.lines) })
	if err != nil || !slices.Equal(answer.([]string), want) {
		t.Errorf("replayed %q, %v, want %q", answer, err, want)
	}
	// A machine that does not know them sees their records as any other.
	lines(t, load(t, p), read, "a", "b", "c", "d")
}

// tryWrite appends a record of a transaction.
func tryWrite(t *testing.T, s *Shard[*notebook], by Transaction) error {
	t.Helper()
	answer, err := s.Do(t.Context(), func(n *notebook, _ uint64) any {
		return []error{n.world.AppendTransactional(by, 1, []record.Record{{Key: []byte("late")}})}
	})
	if err != nil {
		t.Fatal(err)
	}
	return answer.([]error)[0]
}
