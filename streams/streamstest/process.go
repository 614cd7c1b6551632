package streamstest

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/streams/internal/engine"
	"github.com/millrace/millrace/streams/streamstest/internal/cluster"
)

// process is an instance of the application: a producer and tasks, which it loses when it crashes, and a disk, of which it then
// loses some of what was not synced.
type process struct {
	driver     *Driver
	name       string
	disk       *disk
	session    string            // of this run
	producer   *cluster.Producer // nil: it does not run
	generation int               // of the group, as far as it knows
	tasks      []*task           // ordered by id
	frozen     bool
	active     bool // it has done something since it last committed
	taken      int  // records since then
	committing commit
	fed        []*kgo.Record // to tasks since the last commit
}

func newProcess(d *Driver, index int) *process {
	return &process{driver: d, name: fmt.Sprintf("%s-%d", d.options.App, index), disk: d.newDisk(vfs.NewCrashableMem())}
}

func (p *process) running() bool { return p.producer != nil && !p.frozen }

// start makes the process run all tasks that it owns.
func (p *process) start() error {
	d := p.driver
	if p.producer == nil {
		d.sessions++
		p.session = fmt.Sprintf("session-%d", d.sessions)
		p.producer = p.newProducer()
		p.generation = d.generation
	}
	opened := false
	for _, id := range d.tasks() {
		if d.processes[d.owners[id]] != p || slices.ContainsFunc(p.tasks, func(t *task) bool { return t.id == id }) {
			continue
		}
		t, err := p.open(id)
		if err != nil {
			return fmt.Errorf("open task %v: %w", id, err)
		}
		p.tasks, opened = append(p.tasks, t), true
	}
	if !opened {
		return nil
	}
	return p.reach(Starting)
}

// drop closes one task, whose work is committed.
func (p *process) drop(id engine.TaskID) error {
	i := slices.IndexFunc(p.tasks, func(t *task) bool { return t.id == id })
	if i < 0 {
		return nil // it has crashed meanwhile
	}
	t := p.tasks[i]
	p.tasks = slices.Delete(p.tasks, i, i+1)
	return t.Close()
}

// newProducer is InitProducerId: it ends what an earlier run of the process has left open.
func (p *process) newProducer() *cluster.Producer {
	if p.driver.options.AtLeastOnce {
		return p.driver.cluster.Producer("")
	}
	return p.driver.cluster.Producer(p.name)
}

// stop closes all tasks. What they have not committed is dropped.
func (p *process) stop() error {
	var failures []error
	for _, t := range p.tasks {
		failures = append(failures, t.Close())
	}
	if p.producer != nil {
		if err := p.producer.Abort(); !lost(err) {
			failures = append(failures, err)
		}
	}
	p.producer, p.tasks, p.fed, p.active, p.taken, p.committing = nil, nil, nil, false, 0, commit{}
	return errors.Join(failures...)
}

// feed gives a task the next batch of one of its inputs.
func (p *process) feed(t *task, from *source) error {
	records, next, err := from.log.Read(from.position, 1+p.driver.random.IntN(p.driver.options.BatchMax))
	if err != nil {
		return fmt.Errorf("task %v, input %s: %w", t.id, from.name, err)
	}
	from.position = next
	for _, s := range t.sources {
		var added []*kgo.Record
		if s == from {
			added = copies(records)
			p.fed = append(p.fed, added...)
		}
		if err := t.Add(s.name.Topic, added, s.position, s.log.Stable()); err != nil {
			return err
		}
	}
	p.active = true
	p.taken += len(records)
	if err := t.Process(background); err != nil {
		return err
	}
	if err := p.reach(Processing); err != nil {
		return err
	}
	if every := p.driver.options.CommitEvery; every > 0 && p.taken >= every {
		return p.commit()
	}
	return nil
}

// reuse overwrites what tasks have processed and committed, as a client does that uses its memory again.
func (p *process) reuse() {
	for _, t := range p.tasks {
		for _, s := range t.sources {
			if t.Queued(s.name.Topic) > 0 {
				return
			}
		}
	}
	for _, r := range p.fed {
		for _, data := range [][]byte{r.Key, r.Value} {
			for i := range data {
				data[i] = '?'
			}
		}
	}
	p.fed = nil
}

// copies returns records that a task may do with as it likes.
func copies(records []*kgo.Record) []*kgo.Record {
	all := make([]*kgo.Record, len(records))
	for i, r := range records {
		all[i] = copyOf(r)
	}
	return all
}

func copyOf(r *kgo.Record) *kgo.Record {
	c := *r
	c.Key, c.Value, c.Headers = slices.Clone(r.Key), slices.Clone(r.Value), slices.Clone(r.Headers)
	for i := range c.Headers {
		c.Headers[i].Value = slices.Clone(c.Headers[i].Value)
	}
	return &c
}

// produce is what tasks write with.
func (p *process) produce(records ...*kgo.Record) error {
	p.active = true
	for _, r := range records {
		appended := copyOf(r)
		if err := p.producer.Produce(appended); err != nil {
			return err
		}
		r.Partition, r.Offset = appended.Partition, appended.Offset
	}
	return nil
}

// tick lets timers see the clock.
func (p *process) tick() error {
	if !p.running() {
		return nil
	}
	p.active = true
	for _, t := range p.tasks {
		if err := t.Tick(background, p.driver.now); err != nil {
			return err
		}
	}
	return nil
}

// settle does what becomes of a process after an error, and returns those with which the application would end.
func (p *process) settle(err error) error {
	var crash *crashed
	switch {
	case err == nil:
		return nil
	case errors.As(err, &crash):
		p.crash(crash.disk)
		return nil
	case errors.Is(err, errFrozen):
		p.freeze()
		return nil
	}
	stopping := p.stop()
	if errors.Is(err, errAborted) || lost(err) {
		return stopping
	}
	return errors.Join(err, stopping)
}

func (p *process) environment(id engine.TaskID) engine.Environment {
	d := p.driver
	return engine.Environment{
		App: d.options.App, Session: p.session, State: p.stateOptions(id), Produce: p.produce,
		Now: func() time.Time { return d.now }, PartitionsOf: d.partitionsOf, RecordBytesMaxOf: d.recordBytesMaxOf(),
		Counters: d.counters, Logger: d.options.Logger,
	}
}
