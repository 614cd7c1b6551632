package engine

import (
	"reflect"

	"github.com/twmb/franz-go/pkg/kgo"
)

// aheadRecords is how many records a task looks ahead of the one in hand.
const aheadRecords = 16

// aheadHook is who is told of the keys that come next, and in what codec they have to be.
type aheadHook struct {
	keys any
	tell func(keys [][]byte)
}

// OnAhead has tell called with the keys of records before they come, as the bytes that they are in their topic, for each input whose
// keys have the given codec. It is a hint only: records may be left out on their way, or have another key by then.
func (s *Site) OnAhead(keys any, tell func(keys [][]byte)) {
	if reflect.ValueOf(keys).Comparable() {
		s.onAhead = append(s.onAhead, aheadHook{keys, tell})
	}
}

// ahead tells of the keys of an input's records that come next.
type ahead struct {
	tell []func(keys [][]byte)
	told int // how far, in the input's queue
	keys [aheadRecords][]byte
}

// newAhead returns whom to tell of the keys of an input with the given codec.
func newAhead(hooks []aheadHook, codec any) (a ahead) {
	for _, hook := range hooks {
		if codec != nil && reflect.ValueOf(codec).Comparable() && hook.keys == codec {
			a.tell = append(a.tell, hook.tell)
		}
	}
	return a
}

// look tells of the records behind the head, unless it has.
func (a *ahead) look(queue []*kgo.Record, head int) {
	if head < a.told || len(a.tell) == 0 {
		return
	}
	n := min(aheadRecords, len(queue)-head)
	for i := range n {
		a.keys[i] = queue[head+i].Key
	}
	for _, tell := range a.tell {
		tell(a.keys[:n])
	}
	a.told = head + n
}
