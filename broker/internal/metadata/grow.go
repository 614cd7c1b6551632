package metadata

import "fmt"

// MorePartitions asks for a topic to have Count partitions in all.
type MorePartitions struct {
	Topic       string
	Count       int32
	Assigned    bool      // Assignments was given
	Assignments [][]int32 // the brokers of each new partition
}

// Grown is what became of a MorePartitions.
type Grown struct {
	Topic string
	Err   error
}

// CreatePartitions decides which topics get more partitions. A result per topic, in the order of the first mention.
//
// It refuses with ErrUnknownTopic, ErrInvalidPartitions if the count is not more than what the topic has,
// ErrInvalidReplicaAssignment, ErrPolicy, and ErrInvalidRequest for a topic that comes twice and for the broker's
// own topics, whose number of partitions says where a key belongs.
func (image *Image) CreatePartitions(wanted []MorePartitions) ([]Record, []Grown) {
	mentions := map[string]int{}
	for i := range wanted {
		mentions[wanted[i].Topic]++
	}
	budget := partitionsPerChange
	var records []Record
	var results []Grown
	for i := range wanted {
		w := &wanted[i]
		count := mentions[w.Topic]
		if count == 0 {
			continue // answered at its first mention
		}
		mentions[w.Topic] = 0
		result := Grown{Topic: w.Topic}
		if count > 1 {
			result.Err = fmt.Errorf("%w: topic %q is in the request %d times", ErrInvalidRequest, w.Topic, count)
		} else if result.Err = image.checkGrowth(w, budget); result.Err == nil {
			t := image.Topic(w.Topic)
			budget -= int(w.Count - t.Partitions)
			records = append(records, image.partitionRecords(t.ID, t.Partitions, w.Count)...)
		}
		results = append(results, result)
	}
	return records, results
}

func (image *Image) checkGrowth(w *MorePartitions, budget int) error {
	t := image.Topic(w.Topic)
	switch {
	case t == nil:
		return fmt.Errorf("%w: %q", ErrUnknownTopic, w.Topic)
	case t.Internal:
		return fmt.Errorf("%w: topic %q is the broker's own", ErrInvalidRequest, w.Topic)
	case w.Count == t.Partitions:
		return fmt.Errorf("%w: topic %q has %d already", ErrInvalidPartitions, w.Topic, t.Partitions)
	case w.Count < t.Partitions:
		return fmt.Errorf("%w: topic %q has %d, %d would be fewer", ErrInvalidPartitions, w.Topic, t.Partitions, w.Count)
	}
	added := int(w.Count - t.Partitions)
	if added > budget {
		return fmt.Errorf("%w: more than %d partitions in one request", ErrPolicy, partitionsPerChange)
	}
	if !w.Assigned {
		return nil
	}
	if len(w.Assignments) != added {
		return fmt.Errorf("%w: %d assignments for %d new partitions", ErrInvalidReplicaAssignment, len(w.Assignments), added)
	}
	for i, replicas := range w.Assignments {
		if err := image.CheckReplicas(replicas); err != nil {
			return fmt.Errorf("partition %d: %w", int(t.Partitions)+i, err)
		}
	}
	return nil
}
