package txn

import "slices"

// Description is what an administrator sees of a transactional id.
type Description struct {
	Phase         Phase
	ProducerID    int64
	ProducerEpoch int16
	TimeoutMs     int32
	StartMs       int64       // wall clock; -1 if there was no transaction yet
	Partitions    []Partition // of an open transaction; of a decided one those without marker. Not to be changed
}

// Describe describes a transactional id. Codes: InvalidRequest, TransactionalIDNotFound.
func (s *State) Describe(transactionalID string) (Description, Code) {
	t := s.transactions[transactionalID]
	switch {
	case transactionalID == "":
		return Description{}, InvalidRequest
	case t == nil:
		return Description{}, TransactionalIDNotFound
	}
	d := Description{
		Phase:         t.phase,
		ProducerID:    t.producerID,
		ProducerEpoch: t.producerEpoch,
		TimeoutMs:     t.timeoutMs,
		StartMs:       t.startMs,
		Partitions:    t.partitions,
	}
	if t.phase.decided() {
		d.Partitions = t.unwritten
	}
	return d, None
}

// Filter says what List lists: what fits all of it.
type Filter struct {
	ProducerIDs []int64 // ascending; nil: any
	Phases      []Phase // nil: any; empty: none
	DurationMs  int64   // since the last transaction began, at least; negative: any. An id without transaction fits
}

// Listing is one line of a list of transactional ids.
type Listing struct {
	TransactionalID string
	ProducerID      int64
	Phase           Phase
}

// List returns the transactional ids that fit, sorted.
func (s *State) List(f Filter) []Listing {
	var list []Listing
	for _, id := range s.ids() {
		if t := s.transactions[id]; s.fits(t, f) {
			list = append(list, Listing{TransactionalID: id, ProducerID: t.producerID, Phase: t.phase})
		}
	}
	return list
}

func (s *State) fits(t *transaction, f Filter) bool {
	if _, named := slices.BinarySearch(f.ProducerIDs, t.producerID); f.ProducerIDs != nil && !named {
		return false
	}
	return (f.Phases == nil || slices.Contains(f.Phases, t.phase)) &&
		(f.DurationMs < 0 || t.startMs <= s.wallMs-f.DurationMs)
}
