package engine

import "sync"

// Phase is what a shell is doing.
type Phase int

const (
	PhaseCreated     Phase = iota // Run was not called yet
	PhaseStarting                 // it looks for topics, and joins the group
	PhaseRestoring                // some of its tasks are not ready yet
	PhaseRunning                  // all are, if it has any
	PhaseUnreachable              // no broker can be reached; it keeps trying
	PhaseStopping                 // it finishes what it has in hand
	PhaseStopped                  // Run has returned nil
	PhaseFailed                   // Run has returned an error
)

// phases derives the phase from what is known, and tells of its changes in order.
type phases struct {
	notify func(Phase, error)

	mu struct {
		sync.Mutex
		phase Phase
		step  Phase // as Run has come
		away  bool
		cause error           // why no broker can be reached
		tasks map[string]bool // that are assigned; nil: nothing was yet
		ready map[string]bool
	}
	telling sync.Mutex // held while notify runs, and taken before mu is given up
}

func newPhases(notify func(Phase, error)) *phases { return &phases{notify: notify} }

func (p *phases) now() Phase {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.phase
}

// enter notes how far Run is.
func (p *phases) enter(step Phase, err error) {
	p.change(err, func() { p.mu.step = max(p.mu.step, step) })
}

func (p *phases) away(away bool, err error) {
	p.change(err, func() { p.mu.away, p.mu.cause = away, err })
}

func (p *phases) assigned(tasks map[string]bool) { p.change(nil, func() { p.mu.tasks = tasks }) }

func (p *phases) ready(tasks map[string]bool) { p.change(nil, func() { p.mu.ready = tasks }) }

// event tells of an error that changes nothing.
func (p *phases) event(err error) {
	p.telling.Lock()
	defer p.telling.Unlock()
	p.notify(p.now(), err)
}

func (p *phases) change(err error, do func()) {
	p.telling.Lock()
	defer p.telling.Unlock()
	p.mu.Lock()
	do()
	before := p.mu.phase
	p.mu.phase = p.phaseLocked()
	after := p.mu.phase
	p.mu.Unlock()
	if before != after {
		p.notify(after, err)
	}
}

func (p *phases) phaseLocked() Phase {
	switch {
	case p.mu.step != PhaseStarting:
		return p.mu.step
	case p.mu.away:
		return PhaseUnreachable
	case p.mu.tasks == nil:
		return PhaseStarting
	}
	for task := range p.mu.tasks {
		if !p.mu.ready[task] {
			return PhaseRestoring
		}
	}
	return PhaseRunning
}
