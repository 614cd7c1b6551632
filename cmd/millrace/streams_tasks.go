package main

import (
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"
)

// streamsTask is a sub-topology for one partition, with the member that runs it, null without one.
type streamsTask struct {
	Subtopology string         `json:"subtopology"`
	Partition   int32          `json:"partition"`
	Member      *string        `json:"member"`
	Lag         int64          `json:"lag"`
	Inputs      []streamsInput `json:"inputs"`
}

// streamsInput is a partition that a task reads. Its fields are null for what does not exist or is not known.
type streamsInput struct {
	Topic           string  `json:"topic"`
	Internal        bool    `json:"internal"`
	CommittedOffset *int64  `json:"committed_offset"`
	LogEndOffset    *int64  `json:"log_end_offset"`
	Lag             *int64  `json:"lag"`
	Error           *string `json:"error"`
}

func (t *streamsTask) name() string { return t.Subtopology + "/" + number(t.Partition) }

// tasks lists the tasks of the application with how far behind they are.
func (a *streamsApp) tasks(ctx context.Context, client *kadm.Client) ([]streamsTask, error) {
	var topics []string
	for _, s := range a.description.Subtopologies {
		for _, source := range s.Sources {
			topics = append(topics, a.topic(source))
		}
	}
	starts, err := client.ListStartOffsets(ctx, topics...)
	if err != nil {
		return nil, err
	}
	ends, err := client.ListEndOffsets(ctx, topics...)
	if err != nil {
		return nil, err
	}
	owners := a.owners()
	tasks := []streamsTask{}
	for _, s := range a.description.Subtopologies {
		for partition := range int32(s.Tasks) {
			task := streamsTask{Subtopology: s.Name, Partition: partition, Inputs: []streamsInput{}}
			for _, source := range s.Sources {
				described, _ := a.description.Topic(source)
				if int(partition) >= described.Partitions {
					continue
				}
				input := a.input(partitionKey{described.Kafka, partition}, starts, ends)
				input.Internal = described.Internal
				if owner, ok := owners[partitionKey{described.Kafka, partition}]; ok {
					task.Member = &owner
				}
				if input.Lag != nil {
					task.Lag += *input.Lag
				}
				task.Inputs = append(task.Inputs, input)
			}
			tasks = append(tasks, task)
		}
	}
	return tasks, nil
}

// owners returns the member that each partition is assigned to.
func (a *streamsApp) owners() map[partitionKey]string {
	owners := map[partitionKey]string{}
	for _, member := range a.group.Members {
		assigned, ok := member.Assigned.AsConsumer()
		if !ok {
			continue
		}
		for _, topic := range assigned.Topics {
			for _, partition := range topic.Partitions {
				owners[partitionKey{topic.Topic, partition}] = member.MemberID
			}
		}
	}
	return owners
}

// input compares what was committed with what there is. Without a commit all that is there is yet to be processed.
func (a *streamsApp) input(key partitionKey, starts, ends kadm.ListedOffsets) streamsInput {
	input := streamsInput{Topic: key.topic}
	start, err := listedOffset(key, starts)
	end, endErr := listedOffset(key, ends)
	if err == nil {
		err = endErr
	}
	if err != nil {
		message := oneLine(err)
		input.Error = &message
		return input
	}
	from := start
	if committed, ok := a.committed.Lookup(key.topic, key.partition); ok && committed.Err == nil && committed.At >= 0 {
		from, input.CommittedOffset = committed.At, &committed.At
	}
	lag := max(0, end-from)
	input.LogEndOffset, input.Lag = &end, &lag
	return input
}

// taskCounts returns how many tasks each member runs.
func taskCounts(tasks []streamsTask) map[string]int {
	counts := map[string]int{}
	for _, task := range tasks {
		if task.Member != nil {
			counts[*task.Member]++
		}
	}
	return counts
}

// totalLag adds up tasks.
func totalLag(tasks []streamsTask) (lag int64) {
	for _, task := range tasks {
		lag += task.Lag
	}
	return lag
}

// sortedMembers returns the group's members by id.
func (a *streamsApp) sortedMembers() []kadm.DescribedGroupMember {
	return slices.SortedFunc(slices.Values(a.group.Members), func(x, y kadm.DescribedGroupMember) int {
		if x.MemberID < y.MemberID {
			return -1
		}
		return 1
	})
}
