package history

import (
	"fmt"
	"slices"
	"strings"
)

// The kinds of what can be wrong.
const (
	Lost       = "lost"        // acknowledged and not stored at the end
	Moved      = "moved"       // acknowledged at one offset and found at another
	Duplicated = "duplicated"  // stored at more than one offset
	Invented   = "invented"    // found, but never sent to this place
	Altered    = "altered"     // found with other bytes than were sent
	Reordered  = "reordered"   // two records of a producer are stored against their order
	Overtaken  = "overtaken"   // sent after another was acknowledged, and stored before it
	Gap        = "gap"         // offsets are not dense
	Changed    = "changed"     // an offset holds different records at different times
	Skipped    = "skipped"     // a reader passed over offsets
	WentBack   = "went back"   // a reader was given an offset again
	EndBehind  = "end behind"  // an end that is not beyond what was acknowledged, or before an earlier end
	EndAhead   = "end ahead"   // an end beyond all that was ever sent
	CommitLost = "commit lost" // a committed offset before one that was acknowledged
	CommitMade = "commit made" // a committed offset that nobody asked for
	Unread     = "unread"      // a group has committed beyond a record that no member was given
	TopicLost  = "topic lost"
	TopicBack  = "topic back" // deleted, and there again
	TopicMade  = "topic made" // never created
	Unfinished = "unfinished" // acknowledged, and the history does not say what is stored
)

// Violation is a broken promise.
type Violation struct {
	Kind string
	Text string
}

func (v Violation) String() string { return v.Kind + ": " + v.Text }

// Summary counts what a history contains, so that a test can tell a pass from an empty history.
type Summary struct {
	Sent, Acked, Stored, Read, Ends, Commits, CommitsSeen, Topics, TopicsDeleted int
}

func (s Summary) String() string {
	return fmt.Sprintf("sent %d, acknowledged %d, stored %d, read %d, ends %d, commits %d, seen %d, topics %d, deleted %d",
		s.Sent, s.Acked, s.Stored, s.Read, s.Ends, s.Commits, s.CommitsSeen, s.Topics, s.TopicsDeleted)
}

// Check returns what is wrong with a history, in the order in which it was found. Time is linear in the events.
func Check(events []any) ([]Violation, Summary) {
	c := checker{
		places: map[Place]*place{}, readers: map[readerKey]*position{}, groups: map[groupKey]*group{}, topics: map[string]*topic{},
	}
	for i, e := range events {
		c.event(Moment(i), e)
	}
	c.finish()
	return c.violations, c.summary
}

type checker struct {
	violations []Violation
	summary    Summary
	places     map[Place]*place
	order      []Place // places as they came up
	readers    map[readerKey]*position
	groups     map[groupKey]*group
	topics     map[string]*topic
}

func (c *checker) wrong(kind, format string, arguments ...any) {
	c.violations = append(c.violations, Violation{Kind: kind, Text: fmt.Sprintf(format, arguments...)})
}

func (c *checker) event(now Moment, event any) {
	switch e := event.(type) {
	case Sent:
		c.summary.Sent++
		c.place(e.Place).send(now, e.Record)
	case Acked:
		c.summary.Acked++
		c.acked(now, e)
	case Assigned:
		c.assigned(now, e)
	case Read:
		c.summary.Read++
		c.read(e)
	case End:
		c.summary.Ends++
		c.end(now, e)
	case CommitAsked:
		c.group(e.Group, e.Place).ask(now, e.Offset)
	case CommitAcked:
		c.summary.Commits++
		c.group(e.Group, e.Place).acked.add(now, e.Offset)
	case CommitSeen:
		c.summary.CommitsSeen++
		c.commitSeen(now, e)
	case TopicAsked, TopicCreated, DeleteAsked, Deleted, Topics:
		c.topicEvent(e)
	case Stored:
		c.stored(e)
	default:
		panic(fmt.Sprintf("history: no event: %T", event))
	}
}

func (c *checker) finish() {
	for _, at := range c.order {
		p := c.places[at]
		if !p.stored && len(p.ackedAt) > 0 && !c.gone(at.Topic) {
			c.wrong(Unfinished, "%v has %d acknowledged records, and nobody looked", at, len(p.ackedAt))
		}
	}
	for _, key := range c.groupOrder() {
		c.groups[key].finish(c, key)
	}
}

func (c *checker) groupOrder() []groupKey {
	keys := make([]groupKey, 0, len(c.groups))
	for key := range c.groups {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b groupKey) int {
		return strings.Compare(fmt.Sprint(a), fmt.Sprint(b))
	})
	return keys
}

// maxima keeps how a number that only counts when it grows has grown.
type maxima []maximum

type maximum struct {
	at    Moment
	value int64
}

func (m *maxima) add(at Moment, value int64) {
	if n := len(*m); n == 0 || (*m)[n-1].value < value {
		*m = append(*m, maximum{at, value})
	}
}

// before is the greatest value that was added before the moment; -1 if there was none.
func (m maxima) before(at Moment) int64 {
	i, _ := slices.BinarySearchFunc(m, at, func(x maximum, at Moment) int { return int(x.at - at) })
	if i == 0 {
		return -1
	}
	return m[i-1].value
}
