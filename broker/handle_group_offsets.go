package broker

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/broker/internal/group"
	"github.com/millrace/millrace/broker/internal/metadata"
)

// OffsetCommit 2-10, OffsetFetch 1-10, OffsetDelete 0 (KIP-211 retention, KIP-320 leader epochs, KIP-447 stable
// offsets, KIP-496 deletion, KIP-709 several groups, KIP-848 member epochs, KIP-516 topic ids).

const (
	firstOffsetCommitVersionGroupNotFound = 9
	firstOffsetVersionTopicIDs            = 10 // OffsetCommit and OffsetFetch
	firstOffsetFetchVersionGroups         = 8
)

// offsetCommit stores offsets. Whether a partition exists is looked up in the shard's goroutine: a deletion that comes
// later finds the offset and takes it along.
func (b *Broker) offsetCommit(c *call, req *kmsg.OffsetCommitRequest) (*kmsg.OffsetCommitResponse, error) {
	commit := group.CommitRequest{
		Group: req.Group, MemberID: req.MemberID, InstanceID: text(req.InstanceID), Generation: req.Generation, RetentionMs: -1,
	}
	if c.version <= 4 {
		commit.RetentionMs = req.RetentionTimeMillis
	}
	byID := c.version >= firstOffsetVersionTopicIDs
	codes, err := askGroupNow(c.ctx, b.groups, req.Group, func(s *group.State) [][]int16 {
		codes, places := commitPlaces(b.controller.image(), req.Topics, byID, &commit)
		if len(commit.Offsets) == 0 {
			return codes
		}
		code, each := s.Commit(commit)
		if code == group.GroupIDNotFound && c.version < firstOffsetCommitVersionGroupNotFound {
			code = group.IllegalGeneration
		}
		for i, place := range places {
			*place = int16(code)
			if code == group.None {
				*place = int16(each[i])
			}
		}
		return codes
	})
	response := req.ResponseKind().(*kmsg.OffsetCommitResponse)
	for i, t := range req.Topics {
		topic := kmsg.NewOffsetCommitResponseTopic()
		topic.Topic, topic.TopicID = t.Topic, t.TopicID
		for j, p := range t.Partitions {
			partition := kmsg.NewOffsetCommitResponseTopicPartition()
			partition.Partition = p.Partition
			if err != nil {
				partition.ErrorCode = errorCode(err)
			} else {
				partition.ErrorCode = codes[i][j]
			}
			topic.Partitions = append(topic.Partitions, partition)
		}
		response.Topics = append(response.Topics, topic)
	}
	return response, nil
}

// commitPlaces fills commit with the offsets of partitions that exist. It returns a code for each partition of the
// request, and for each offset the place of its code.
func commitPlaces(image *metadata.Image, topics []kmsg.OffsetCommitRequestTopic, byID bool, commit *group.CommitRequest) ([][]int16, []*int16) {
	codes := make([][]int16, len(topics))
	var places []*int16
	for i := range topics {
		t := &topics[i]
		codes[i] = make([]int16, len(t.Partitions))
		topic, unknown := topicOf(image, t.Topic, t.TopicID, byID)
		for j := range t.Partitions {
			p := &t.Partitions[j]
			if topic == nil || p.Partition < 0 || p.Partition >= topic.Partitions {
				codes[i][j] = unknown
				continue
			}
			places = append(places, &codes[i][j])
			commit.Offsets = append(commit.Offsets, group.CommitOffset{
				TopicPartition: group.TopicPartition{Topic: topic.Name, Partition: p.Partition},
				Offset:         p.Offset,
				LeaderEpoch:    p.LeaderEpoch,
				Metadata:       text(p.Metadata),
			})
		}
	}
	return codes, places
}

// topicOf looks up a topic by name or id, and says what to answer if it or the partition is not there.
func topicOf(image *metadata.Image, name string, id [16]byte, byID bool) (t *metadata.Topic, unknown int16) {
	if !byID {
		return image.Topic(name), kerr.UnknownTopicOrPartition.Code
	}
	if t = image.TopicByID(id); t == nil {
		return nil, kerr.UnknownTopicID.Code
	}
	return t, kerr.UnknownTopicOrPartition.Code
}

// offsetFetch tells what groups have committed, of each group and partition once. Who requires stable offsets is asked to
// come back for those that an open transaction may change.
func (b *Broker) offsetFetch(c *call, req *kmsg.OffsetFetchRequest) (*kmsg.OffsetFetchResponse, error) {
	response := req.ResponseKind().(*kmsg.OffsetFetchResponse)
	if c.version >= firstOffsetFetchVersionGroups {
		groups := distinctOffsets(req.Groups)
		for i := range groups {
			response.Groups = append(response.Groups, b.fetchGroup(c, &groups[i], req.RequireStable))
		}
		return response, nil
	}
	wanted := kmsg.NewOffsetFetchRequestGroup()
	wanted.Group = req.Group
	if req.Topics != nil {
		wanted.Topics = make([]kmsg.OffsetFetchRequestGroupTopic, len(req.Topics))
		for i, t := range req.Topics {
			wanted.Topics[i] = kmsg.OffsetFetchRequestGroupTopic{Topic: t.Topic, Partitions: t.Partitions}
		}
	}
	fetched := b.fetchGroup(c, &distinctOffsets([]kmsg.OffsetFetchRequestGroup{wanted})[0], req.RequireStable)
	response.ErrorCode = fetched.ErrorCode
	for _, t := range fetched.Topics {
		topic := kmsg.NewOffsetFetchResponseTopic()
		topic.Topic = t.Topic
		for _, p := range t.Partitions {
			topic.Partitions = append(topic.Partitions, kmsg.OffsetFetchResponseTopicPartition(p))
		}
		response.Topics = append(response.Topics, topic)
	}
	return response, nil
}

// fetchGroup answers for one group; a null list of topics is all that it has committed.
func (b *Broker) fetchGroup(c *call, wanted *kmsg.OffsetFetchRequestGroup, stable bool) kmsg.OffsetFetchResponseGroup {
	byID := c.version >= firstOffsetVersionTopicIDs
	fetched, err := askGroupNow(c.ctx, b.groups, wanted.Group, func(s *group.State) kmsg.OffsetFetchResponseGroup {
		read := offsetReader{state: s, image: b.controller.image(), group: wanted.Group, stable: stable, byID: byID}
		if wanted.Topics == nil {
			return read.committed()
		}
		return read.wanted(wanted.Topics)
	})
	if err != nil {
		fetched = kmsg.NewOffsetFetchResponseGroup()
		fetched.ErrorCode = errorCode(err)
	}
	fetched.Group = wanted.Group
	if c.version == 1 && fetched.ErrorCode != 0 {
		// There is no place for an error of the whole request yet.
		fetched = refusedOffsets(wanted, fetched.ErrorCode)
	}
	return fetched
}

// distinctOffsets leaves out what was mentioned before: all that a group has committed, or a partition of a group.
// Like distinct it keeps an answer from being many times as large as the request.
func distinctOffsets(groups []kmsg.OffsetFetchRequestGroup) []kmsg.OffsetFetchRequestGroup {
	type place struct {
		group, topic string
		id           [16]byte
		index        int32 // -1: all that the group has committed
	}
	seen := make(map[place]struct{})
	first := func(p place) bool {
		_, again := seen[p]
		seen[p] = struct{}{}
		return !again
	}
	var kept []kmsg.OffsetFetchRequestGroup
	for _, g := range groups {
		if g.Topics == nil && !first(place{group: g.Group, index: -1}) {
			continue
		}
		for i := range g.Topics {
			t := &g.Topics[i]
			t.Partitions = slices.DeleteFunc(t.Partitions, func(index int32) bool {
				return !first(place{g.Group, t.Topic, t.TopicID, index})
			})
		}
		kept = append(kept, g)
	}
	return kept
}

// offsetReader answers for the offsets of one group.
type offsetReader struct {
	state  *group.State
	image  *metadata.Image
	group  string
	stable bool // an offset that an open transaction may change is UNSTABLE_OFFSET_COMMIT
	byID   bool // topics have ids
}

// wanted answers for named partitions: what was not committed, in an unknown group too, is offset -1.
func (r *offsetReader) wanted(topics []kmsg.OffsetFetchRequestGroupTopic) kmsg.OffsetFetchResponseGroup {
	fetched := kmsg.NewOffsetFetchResponseGroup()
	for i := range topics {
		t := &topics[i]
		topic := kmsg.NewOffsetFetchResponseGroupTopic()
		topic.Topic, topic.TopicID = t.Topic, t.TopicID
		name, code := t.Topic, int16(0)
		if r.byID {
			if known, unknown := topicOf(r.image, "", t.TopicID, true); known != nil {
				name = known.Name
			} else {
				code = unknown
			}
		}
		for _, index := range t.Partitions {
			p := r.answer(group.TopicPartition{Topic: name, Partition: index})
			if code != 0 {
				p.ErrorCode = code
			}
			topic.Partitions = append(topic.Partitions, p)
		}
		fetched.Topics = append(fetched.Topics, topic)
	}
	return fetched
}

// committed answers with all that a group has committed.
func (r *offsetReader) committed() kmsg.OffsetFetchResponseGroup {
	fetched := kmsg.NewOffsetFetchResponseGroup()
	for _, p := range r.state.Committed(r.group) {
		known := r.image.Topic(p.Topic)
		if r.byID && known == nil {
			continue // it was deleted a moment ago: there is no id to name it by
		}
		last := len(fetched.Topics) - 1
		if last < 0 || fetched.Topics[last].Topic != p.Topic {
			topic := kmsg.NewOffsetFetchResponseGroupTopic()
			topic.Topic = p.Topic
			if known != nil {
				topic.TopicID = known.ID
			}
			fetched.Topics = append(fetched.Topics, topic)
			last++
		}
		fetched.Topics[last].Partitions = append(fetched.Topics[last].Partitions, r.answer(p))
	}
	return fetched
}

func (r *offsetReader) answer(p group.TopicPartition) kmsg.OffsetFetchResponseGroupTopicPartition {
	answer := kmsg.NewOffsetFetchResponseGroupTopicPartition()
	answer.Partition, answer.Offset, answer.LeaderEpoch, answer.Metadata = p.Partition, -1, -1, new(string)
	if r.stable && r.state.Unstable(r.group, p) {
		answer.ErrorCode = kerr.UnstableOffsetCommit.Code
	} else if o, ok := r.state.Offset(r.group, p); ok {
		answer.Offset, answer.LeaderEpoch, answer.Metadata = o.Offset, o.LeaderEpoch, &o.Metadata
	}
	return answer
}

// refusedOffsets is an error for each partition.
func refusedOffsets(wanted *kmsg.OffsetFetchRequestGroup, code int16) kmsg.OffsetFetchResponseGroup {
	refused := kmsg.NewOffsetFetchResponseGroup()
	refused.Group = wanted.Group
	for _, t := range wanted.Topics {
		topic := kmsg.NewOffsetFetchResponseGroupTopic()
		topic.Topic = t.Topic
		for _, index := range t.Partitions {
			p := kmsg.NewOffsetFetchResponseGroupTopicPartition()
			p.Partition, p.Offset, p.LeaderEpoch, p.Metadata, p.ErrorCode = index, -1, -1, new(string), code
			topic.Partitions = append(topic.Partitions, p)
		}
		refused.Topics = append(refused.Topics, topic)
	}
	return refused
}

// offsetDelete forgets offsets of topics that a group does not read.
func (b *Broker) offsetDelete(c *call, req *kmsg.OffsetDeleteRequest) (*kmsg.OffsetDeleteResponse, error) {
	response := req.ResponseKind().(*kmsg.OffsetDeleteResponse)
	image := b.controller.image()
	var partitions []group.TopicPartition
	var places [][2]int
	for i, t := range req.Topics {
		topic := kmsg.NewOffsetDeleteResponseTopic()
		topic.Topic = t.Topic
		known := image.Topic(t.Topic)
		for j, p := range t.Partitions {
			partition := kmsg.NewOffsetDeleteResponseTopicPartition()
			partition.Partition = p.Partition
			if known == nil || p.Partition < 0 || p.Partition >= known.Partitions {
				partition.ErrorCode = kerr.UnknownTopicOrPartition.Code
			} else {
				partitions = append(partitions, group.TopicPartition{Topic: t.Topic, Partition: p.Partition})
				places = append(places, [2]int{i, j})
			}
			topic.Partitions = append(topic.Partitions, partition)
		}
		response.Topics = append(response.Topics, topic)
	}
	groupID := req.Group
	answer, err := askGroupNow(c.ctx, b.groups, req.Group, func(s *group.State) groupCodes {
		code, codes := s.DeleteOffsets(groupID, partitions)
		return groupCodes{code, codes}
	})
	if response.ErrorCode = groupCode(answer.code, err); response.ErrorCode != 0 {
		response.Topics = nil
		return response, nil
	}
	for i, place := range places {
		response.Topics[place[0]].Partitions[place[1]].ErrorCode = int16(answer.codes[i])
	}
	return response, nil
}
