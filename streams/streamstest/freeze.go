package streamstest

import "errors"

// errFrozen is that of a process which was told to stand still.
var errFrozen = errors.New("the process stands still")

// FreezeAt makes the process that comes to the point, the n-th time from now on that any does, stand still there, as a machine
// does that is paused: others take its tasks over, and it does not know. The last process that works goes on.
func (d *Driver) FreezeAt(point Point, n int) {
	d.t.Helper()
	if d.options.Processes < 2 {
		d.t.Fatal("a process stands still and there is no other: Options.Processes has to be 2 at least")
	}
	if point == Flushing {
		d.t.Fatal("a process cannot stand still while its disk is written")
	}
	d.fault(point, freezes, n)
}

// Freeze makes a process, counted from 0, stand still now. See [Driver.FreezeAt].
func (d *Driver) Freeze(process int) {
	d.t.Helper()
	p := d.process(process)
	if p.frozen || d.live() > 1 {
		p.freeze()
		return
	}
	d.t.Fatalf("process %d is the last that works: Options.Processes is %d", process, d.options.Processes)
}

// live returns how many processes do not stand still.
func (d *Driver) live() (n int) {
	for _, p := range d.processes {
		if !p.frozen {
			n++
		}
	}
	return n
}

// Thaw lets all processes go on that stand still: they try to finish what they were at, find that others have their tasks, and
// join the group again, without tasks.
func (d *Driver) Thaw() {
	d.t.Helper()
	for _, p := range d.processes {
		if !p.frozen {
			continue
		}
		p.frozen = false
		var err error
		if p.producer != nil {
			err = p.commit()
		}
		if err = errors.Join(p.settle(err), p.stop()); err != nil {
			d.t.Fatalf("process %s goes on after a pause: %v", p.name, err)
		}
	}
}

// Move gives a task to another process, counted from 0. The one that had it commits and closes it, as in a rebalance; what it
// leaves on its own disk stays there.
func (d *Driver) Move(subtopology string, partition, process int) {
	d.t.Helper()
	id := d.task(subtopology, partition)
	to := d.process(process)
	from := d.processes[d.owners[id]]
	if from == to {
		return
	}
	if to.frozen {
		d.t.Fatalf("task %v goes to process %d, which stands still", id, process)
	}
	if from.running() {
		d.must(from.settle(from.commit()))
		d.must(from.drop(id))
	}
	d.owners[id] = process
	d.rebalance()
}

// freeze gives the tasks of a process to the others.
func (p *process) freeze() {
	d := p.driver
	p.frozen = true
	var others []int
	for i, other := range d.processes {
		if !other.frozen {
			others = append(others, i)
		}
	}
	n := 0
	for _, id := range d.tasks() {
		if d.processes[d.owners[id]] == p {
			d.owners[id] = others[n%len(others)]
			n++
		}
	}
	d.rebalance()
}

// rebalance begins a new generation of the group, of which those know that do not stand still.
func (d *Driver) rebalance() {
	d.generation = d.cluster.Rebalance()
	for _, p := range d.processes {
		if !p.frozen {
			p.generation = d.generation
		}
	}
}
