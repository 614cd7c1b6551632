package streamstest

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/millrace/millrace/streams"
	"github.com/millrace/millrace/streams/internal/engine"
	"github.com/millrace/millrace/streams/streamstest/internal/cluster"
)

// Driver runs a topology in one test. Its methods, and the functions that take it, fail the test with t.Fatal when something
// goes wrong that the test did not ask for. It belongs to the goroutine of the test.
type Driver struct {
	t          testing.TB
	options    Options
	program    *engine.Program
	counts     map[string]int // partitions of topics, by the names of the topology
	owners     map[engine.TaskID]int
	cluster    *cluster.Cluster
	outside    *cluster.Producer // of records that the test sends
	counters   *engine.Counters
	processes  []*process
	random     *rand.Rand
	now        time.Time
	generation int    // of the group
	sessions   int    // of processes so far
	disks      uint64 // so far
	faults     []*fault
	happened   int      // faults
	restored   int      // records of changelogs that tasks have read
	wiped      []string // why state was
}

// New returns a driver for a topology, with all its topics, and nothing in them. The first call that needs them starts the
// processes. They end with the test.
func New(t testing.TB, topology *streams.Topology, options Options) *Driver {
	t.Helper()
	options = options.withDefaults(t)
	d := &Driver{
		t: t, options: options, cluster: cluster.New(), counters: engine.NewCounters(),
		random: rand.New(rand.NewPCG(options.Seed, 1)), owners: map[engine.TaskID]int{},
	}
	d.outside = d.cluster.Producer("")
	d.setClock(options.Start)
	for i := range options.Processes {
		d.processes = append(d.processes, newProcess(d, i))
	}
	d.load(topology)
	t.Cleanup(d.close)
	return d
}

// Deploy stops the application and goes on with another topology under the same name: what is in the topics and on the disks is
// that of the earlier one. What the registry of an application would refuse, such as a store with other codecs, the stores
// themselves refuse when they are opened, which DrainError returns.
func (d *Driver) Deploy(topology *streams.Topology) {
	d.t.Helper()
	d.Stop()
	d.load(topology)
}

// load makes a topology the one that runs.
func (d *Driver) load(topology *streams.Topology) {
	d.t.Helper()
	program, err := streams.Compile(topology)
	if err != nil {
		d.t.Fatalf("the topology has mistakes: %v", err)
	}
	d.program = program
	d.createTopics()
	for i, id := range d.tasks() {
		if _, owned := d.owners[id]; !owned {
			d.owners[id] = i % len(d.processes)
		}
	}
}

// Now returns what the clock shows.
func (d *Driver) Now() time.Time { return d.now }

// Advance moves the clock on, lets timers and idle windows see it, and goes on until no input is left. A timer that would have
// been due several times meanwhile is called once, as after a pause of the process.
func (d *Driver) Advance(by time.Duration) {
	d.t.Helper()
	d.setClock(d.now.Add(by))
	d.must(d.start())
	for _, p := range d.processes {
		d.must(p.settle(p.tick()))
	}
	d.Drain()
}

func (d *Driver) setClock(now time.Time) { d.now, d.cluster.NowMs = now, now.UnixMilli() }

// Drain lets all processes work until no input is left and all they did is committed. It fails the test when a record cannot be
// processed; see [Driver.DrainError].
func (d *Driver) Drain() {
	d.t.Helper()
	d.must(d.DrainError())
}

// DrainError is Drain for tests of failures: it returns the error with which the application would end. The next call starts
// the application again, from what is committed.
func (d *Driver) DrainError() error {
	for range stepsMax {
		more, err := d.step()
		if err != nil || !more {
			return err
		}
	}
	return fmt.Errorf("no end after %d steps: the topology feeds itself", stepsMax)
}

// stepsMax bounds Drain: a topology that writes a topic that it reads would go on for ever.
const stepsMax = 10_000_000

// Step does one thing: it gives one task a batch of records, or when there are none, lets one process commit. It reports whether
// there was something to do.
func (d *Driver) Step() bool {
	d.t.Helper()
	more, err := d.step()
	d.must(err)
	return more
}

func (d *Driver) step() (more bool, err error) {
	if err := d.start(); err != nil {
		return false, err
	}
	if waiting := d.waiting(); len(waiting) > 0 {
		w := waiting[d.random.IntN(len(waiting))]
		return true, w.process.settle(w.process.feed(w.task, w.source))
	}
	for _, p := range d.processes {
		if p.running() && p.active {
			return true, p.settle(p.commit())
		}
	}
	return d.expire(), nil
}

// Commit lets all processes commit what they have done so far. What they have not read waits.
func (d *Driver) Commit() {
	d.t.Helper()
	d.must(d.start())
	for _, p := range d.processes {
		if p.running() {
			d.must(p.settle(p.commit()))
		}
	}
}

// input is a partition of a source topic in which there is something to read.
type input struct {
	process *process
	task    *task
	source  *source
}

func (d *Driver) waiting() (all []input) {
	for _, p := range d.processes {
		if !p.running() {
			continue
		}
		for _, t := range p.tasks {
			for _, s := range t.sources {
				if s.position < s.log.Stable() {
					all = append(all, input{p, t, s})
				}
			}
		}
	}
	return all
}

// start starts what should run and does not, until all of it runs: a process may crash meanwhile.
func (d *Driver) start() error {
	for {
		all := true
		for _, p := range d.processes {
			if p.frozen {
				continue
			}
			if err := p.settle(p.start()); err != nil {
				return err
			}
			all = all && (p.running() || p.frozen)
		}
		if all {
			return nil
		}
	}
}

// tasks returns the ids of all tasks, ordered by sub-topology and partition.
func (d *Driver) tasks() (all []engine.TaskID) {
	for _, sub := range d.program.Subtopologies {
		for i := range sub.Tasks(d.counts) {
			all = append(all, engine.TaskID{Subtopology: sub.Name, Partition: int32(i)})
		}
	}
	return all
}

// process returns the process of a number.
func (d *Driver) process(n int) *process {
	d.t.Helper()
	if n < 0 || n >= len(d.processes) {
		d.t.Fatalf("no process %d: Options.Processes is %d", n, len(d.processes))
	}
	return d.processes[n]
}

func (d *Driver) newDisk(files *vfs.MemFS) *disk {
	d.disks++
	return newDisk(files, d.options.Seed+d.disks<<32)
}

func (d *Driver) must(err error) {
	if err != nil {
		d.t.Helper()
		d.t.Fatalf("the application ended: %v", err)
	}
}

// Restored returns how many records of changelogs all tasks together have read so far, to bring their state up to date. After a crash that
// leaves the disk it is about what the state lacked; a whole changelog it is only where the disk was lost or was of no use.
func (d *Driver) Restored() int { return d.restored }

// Wiped returns why state was wiped, each time that it was.
func (d *Driver) Wiped() []string { return slices.Clone(d.wiped) }

// Stop ends all processes as SIGTERM does: they commit what they have done, write their state and leave. The next call that
// needs them starts them again.
func (d *Driver) Stop() {
	d.t.Helper()
	for _, p := range d.processes {
		if p.running() {
			d.must(p.settle(p.commit()))
		}
		d.must(p.stop())
	}
}

func (d *Driver) close() {
	for _, p := range d.processes {
		_ = p.stop() // the test is over: nothing that is written now will be read
	}
}

var background = context.Background()

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
