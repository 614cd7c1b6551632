package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/millrace/millrace/cmd/millrace/internal/envelope"
	"github.com/twmb/franz-go/pkg/kgo"
)

// inputs are the opened files of one produce.
type inputs struct {
	files    []*input
	terminal bool // one of them is a terminal
}

type input struct {
	name   string
	reader io.Reader
	closer io.Closer
}

// openInputs opens all files before anything is sent, so that a missing one sends nothing.
func openInputs(names []string, stdin io.Reader) (*inputs, error) {
	all := &inputs{}
	for _, name := range names {
		if name == "-" {
			all.files = append(all.files, &input{name: "stdin", reader: stdin})
			all.terminal = all.terminal || isTerminal(stdin)
			continue
		}
		file, err := os.Open(name)
		if err != nil {
			all.close()
			return nil, err
		}
		all.files = append(all.files, &input{name: name, reader: file, closer: file})
	}
	return all, nil
}

func (i *inputs) close() {
	for _, in := range i.files {
		if in.closer != nil {
			in.closer.Close()
		}
	}
}

// readRecord is a record with where it was read, or an error.
type readRecord struct {
	record *kgo.Record
	place  string
	err    error
}

// produceRun sends the records of all inputs.
type produceRun struct {
	plan   *producePlan
	target *target
	client *kgo.Client
	stderr io.Writer
	notes  io.Writer
	begun  time.Time // when the first record was sent
	paced  int64     // records that were sent since

	mu struct {
		sync.Mutex
		sent   int
		failed int
	}
}

// readAhead is how many records wait between the reader and the client.
const readAhead = 256

// all reads and sends everything. What was read when ctx ends is still sent, within drainMax.
func (r *produceRun) all(ctx context.Context, in *inputs) error {
	records := make(chan readRecord, readAhead)
	stopReading := make(chan struct{})
	// Nobody waits for this goroutine when ctx ends first: a read of a terminal or a silent pipe
	// cannot be interrupted, and the process is about to end.
	go r.read(in, records, stopReading)
	sending, giveUp := context.WithCancelCause(context.WithoutCancel(ctx))
	var watching sync.WaitGroup
	watching.Go(func() { r.watch(sending, giveUp) })
	defer watching.Wait()
	defer giveUp(nil)
	interrupted := false
	for !interrupted {
		var item readRecord
		var open bool
		select {
		case <-ctx.Done():
			interrupted = true
			continue
		case <-sending.Done():
			r.fail("", errors.New("the broker does not answer; nothing from there on was sent"))
			interrupted = true
			continue
		case item, open = <-records:
		}
		if !open {
			break
		}
		if item.err != nil {
			r.fail(item.place, item.err)
			continue
		}
		if r.pace(ctx) {
			r.send(sending, item)
		}
	}
	close(stopReading)
	drain, cancel := sending, context.CancelFunc(func() {})
	if interrupted {
		drain, cancel = context.WithTimeout(sending, drainMax)
	}
	defer cancel()
	if err := r.client.Flush(drain); err != nil {
		giveUp(errStalled)
		_ = r.client.Flush(context.Background()) // every record fails now
	}
	return r.finish(ctx)
}

// errStalled is why records fail that the broker does not acknowledge.
var errStalled = errors.New("no acknowledgement, the record may be written or not")

// watch ends ctx with errStalled when records wait and none is acknowledged for stallMax.
func (r *produceRun) watch(ctx context.Context, giveUp context.CancelCauseFunc) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	progress := stallWatch{limit: stallMax, moved: time.Now()}
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			r.mu.Lock()
			done := int64(r.mu.sent + r.mu.failed)
			r.mu.Unlock()
			if progress.stalled(done, r.client.BufferedProduceRecords() > 0, now) {
				giveUp(errStalled)
			}
		}
	}
}

func (r *produceRun) read(in *inputs, records chan<- readRecord, stop <-chan struct{}) {
	defer close(records)
	put := func(item readRecord) bool {
		select {
		case records <- item:
			return true
		case <-stop:
			return false
		}
	}
	for _, file := range in.files {
		source := r.plan.open(file.reader)
		for {
			record, err := source.next()
			if errors.Is(err, io.EOF) {
				break
			}
			place := file.name + " " + source.place()
			var bad *badRecord
			if err != nil && !errors.As(err, &bad) {
				put(readRecord{place: place, err: fmt.Errorf("%w; nothing from there on was sent", err)})
				return
			}
			if !put(readRecord{record: record, place: place, err: err}) {
				return
			}
		}
	}
}

// pace waits until --rate allows the next record. It returns false if ctx ends first.
func (r *produceRun) pace(ctx context.Context) bool {
	if r.plan.rate == 0 {
		return true
	}
	now := time.Now()
	if r.paced == 0 {
		r.begun = now
	}
	timer := time.NewTimer(dueAt(r.begun, r.paced, r.plan.rate).Sub(now))
	defer timer.Stop()
	r.paced++
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// dueAt returns when record n, counted from 0, is due.
func dueAt(begun time.Time, n int64, perSecond float64) time.Time {
	return begun.Add(time.Duration(float64(n) / perSecond * float64(time.Second)))
}

// send completes a record by the flags and hands it to the client. It blocks while the client has
// bufferedBytesMax.
func (r *produceRun) send(ctx context.Context, item readRecord) {
	record := item.record
	record.Topic = r.target.topic
	if r.plan.partition >= 0 {
		record.Partition = r.plan.partition
	}
	if record.Partition < envelope.NoPartition || record.Partition >= r.target.partitions {
		r.fail(item.place, r.target.noPartition(record.Partition))
		return
	}
	if record.Key == nil {
		record.Key = r.plan.key
	}
	record.Headers = append(record.Headers, r.plan.headers...)
	if r.plan.tombstone && len(record.Value) == 0 {
		record.Value = nil
	}
	r.client.Produce(ctx, record, func(_ *kgo.Record, err error) {
		if err != nil {
			if errors.Is(context.Cause(ctx), errStalled) {
				err = errStalled
			}
			r.fail(item.place, brokerError(err, ""))
			return
		}
		r.mu.Lock()
		r.mu.sent++
		r.mu.Unlock()
	})
}

// fail tells a failure, or only counts it when there were many.
func (r *produceRun) fail(place string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.failed++
	if r.mu.failed > failureLinesMax {
		return
	}
	if place != "" {
		err = fmt.Errorf("%s: %w", place, err)
	}
	fmt.Fprintln(r.stderr, "millrace: "+oneLine(err))
}

// finish writes the summary.
func (r *produceRun) finish(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.failed == 0 {
		fmt.Fprintf(r.notes, "%s written to %s\n", plural(r.mu.sent, "record"), r.target.topic)
		return ctx.Err()
	}
	if rest := r.mu.failed - failureLinesMax; rest > 0 {
		fmt.Fprintf(r.stderr, "millrace: and %s\n", plural(rest, "more failure"))
	}
	fmt.Fprintf(r.stderr, "%s written to %s, %d failed\n", plural(r.mu.sent, "record"), r.target.topic, r.mu.failed)
	return errReported
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
