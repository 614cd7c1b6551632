package metadata

import "fmt"

// TopicRef names a topic by its name or, if Name is nil, by its id.
type TopicRef struct {
	Name *string
	ID   [16]byte
}

// Deleted is what became of a TopicRef.
type Deleted struct {
	TopicRef
	Err   error
	Topic *Topic // nil if Err is set
}

// DeleteTopics decides which topics cease to be. A result per TopicRef, in their order, except that one that comes
// several times is refused and answered once.
//
// It refuses with ErrUnknownTopic, ErrUnknownTopicID, and ErrInvalidRequest for a topic that comes twice (by name or
// by id), for name and id at once, for neither, and for the broker's own topics.
func (image *Image) DeleteTopics(refs []TopicRef) ([]Record, []Deleted) {
	type identity struct {
		name string
		id   [16]byte
	}
	mentions := map[identity]int{}
	identify := func(ref TopicRef) identity {
		if ref.Name != nil {
			return identity{name: *ref.Name, id: ref.ID}
		}
		return identity{id: ref.ID}
	}
	byTopic := map[[16]byte]int{}
	for _, ref := range refs {
		mentions[identify(ref)]++
		if t, err := image.find(ref); err == nil {
			byTopic[t.ID]++
		}
	}
	var records []Record
	var results []Deleted
	for _, ref := range refs {
		count := mentions[identify(ref)]
		if count == 0 {
			continue // answered at its first mention
		}
		mentions[identify(ref)] = 0
		result := Deleted{TopicRef: ref}
		t, err := image.find(ref)
		switch {
		case count > 1 || err == nil && byTopic[t.ID] > 1:
			result.Err = fmt.Errorf("%w: the topic is in the request more than once", ErrInvalidRequest)
		case err != nil:
			result.Err = err
		case t.Internal:
			result.Err = fmt.Errorf("%w: topic %q is the broker's own", ErrInvalidRequest, t.Name)
		default:
			result.Topic = t
			records = append(records, &RemoveTopicRecord{ID: t.ID})
		}
		results = append(results, result)
	}
	return records, results
}

func (image *Image) find(ref TopicRef) (*Topic, error) {
	switch {
	case ref.Name == nil && ref.ID == [16]byte{}:
		return nil, fmt.Errorf("%w: neither a topic's name nor its id", ErrInvalidRequest)
	case ref.Name != nil && ref.ID != [16]byte{}:
		return nil, fmt.Errorf("%w: both a topic's name and an id", ErrInvalidRequest)
	case ref.Name != nil:
		if t := image.Topic(*ref.Name); t != nil {
			return t, nil
		}
		return nil, fmt.Errorf("%w: %q", ErrUnknownTopic, *ref.Name)
	}
	if t := image.TopicByID(ref.ID); t != nil {
		return t, nil
	}
	return nil, fmt.Errorf("%w: %x", ErrUnknownTopicID, ref.ID)
}
