package reorder

import (
	"math/rand/v2"
	"slices"
)

// Kind is what becomes of a request.
type Kind int

const (
	// Passed: the broker gets it, and the client its answer.
	Passed Kind = iota
	// Repeated: as Passed, and later the broker gets it once more, over a new connection.
	Repeated
	// Unanswered: the broker gets it; when it answers, the client's connection is cut.
	Unanswered
	// Held: the client's connection is cut; later the broker gets the request, over the connection that the client used.
	Held
)

// Fate is what becomes of a request, and when. Of one that is Repeated or Held, the broker gets what is late once Later
// more subjects have come, before the next one, and that one waits for its answer: with 0 it is the very next.
type Fate struct {
	Kind  Kind
	Later int
}

// Late is a request whose time has come.
type Late struct {
	Request Request
	Kind    Kind // Repeated or Held
}

// Schedule decides what becomes of requests and keeps those that are late. It is pure and not safe for concurrent use.
type Schedule struct {
	subject func(Request) bool
	decide  func(number int, r Request) Fate
	count   int
	late    []waiting
}

type waiting struct {
	Late
	due int // the number of the subject that it comes before
}

// NewSchedule returns a schedule for the requests of which subject says true; others are Passed and not counted. decide
// says what becomes of each; number counts subjects from 0.
func NewSchedule(subject func(Request) bool, decide func(number int, r Request) Fate) *Schedule {
	return &Schedule{subject: subject, decide: decide}
}

// Keys is the subject of all requests with one of the keys.
func Keys(keys ...int16) func(Request) bool {
	return func(r Request) bool { return slices.Contains(keys, r.Key) }
}

// Step takes the request that comes next: the broker gets what is due, in order, and then what fate says.
func (s *Schedule) Step(r Request) (due []Late, fate Fate) {
	if !s.subject(r) {
		return nil, Fate{}
	}
	number := s.count
	s.count++
	s.late = slices.DeleteFunc(s.late, func(w waiting) bool {
		if w.due <= number {
			due = append(due, w.Late)
		}
		return w.due <= number
	})
	fate = s.decide(number, r)
	if fate.Kind == Repeated || fate.Kind == Held {
		s.late = append(s.late, waiting{Late{r, fate.Kind}, number + 1 + fate.Later})
	}
	return due, fate
}

// Rest gives away all that is late, due or not.
func (s *Schedule) Rest() (due []Late) {
	for _, w := range s.late {
		due = append(due, w.Late)
	}
	s.late = nil
	return due
}

// Count is how many subjects have come.
func (s *Schedule) Count() int { return s.count }

// Chances are the probabilities of fates, from 0 to 1 together; what is left is Passed. LaterMax bounds how many subjects
// something is late.
type Chances struct {
	Repeated, Unanswered, Held float64
	LaterMax                   int
}

// Random decides by chance.
func (c Chances) Random(random *rand.Rand) func(int, Request) Fate {
	return func(int, Request) Fate {
		p := random.Float64()
		later := random.IntN(c.LaterMax + 1)
		switch {
		case p < c.Repeated:
			return Fate{Repeated, later}
		case p < c.Repeated+c.Unanswered:
			return Fate{Kind: Unanswered}
		case p < c.Repeated+c.Unanswered+c.Held:
			return Fate{Held, later}
		}
		return Fate{}
	}
}
