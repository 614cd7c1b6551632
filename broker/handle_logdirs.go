package broker

import (
	"cmp"
	"path/filepath"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/broker/internal/partition"
)

// DescribeLogDirs 1-5 (KIP-113, KIP-827 total and usable bytes) and AlterReplicaLogDirs 1-2 (KIP-113).

// describeLogDirs answers how much room the partitions take, and the file system that they are on has.
func (b *Broker) describeLogDirs(c *call, req *kmsg.DescribeLogDirsRequest) (*kmsg.DescribeLogDirsResponse, error) {
	resp := req.ResponseKind().(*kmsg.DescribeLogDirsResponse)
	dir := kmsg.NewDescribeLogDirsResponseDir()
	dir.Dir = b.logDir()
	usage, err := b.options.fileSystem.Usage(b.options.DataDir)
	if err == nil {
		dir.TotalBytes, dir.UsableBytes = usage.TotalBytes, usage.FreeBytes
	} else {
		b.logger.Warn("room in the data directory unknown", "err", err)
	}
	for _, p := range b.wantedPartitions(req) {
		stats := p.Stats()
		described := kmsg.NewDescribeLogDirsResponseDirTopicPartition()
		described.Partition, described.Size = p.Index(), stats.SizeBytes
		if len(dir.Topics) == 0 || dir.Topics[len(dir.Topics)-1].Topic != p.Topic() {
			topic := kmsg.NewDescribeLogDirsResponseDirTopic()
			topic.Topic = p.Topic()
			dir.Topics = append(dir.Topics, topic)
		}
		last := &dir.Topics[len(dir.Topics)-1]
		last.Partitions = append(last.Partitions, described)
	}
	resp.Dirs = []kmsg.DescribeLogDirsResponseDir{dir}
	return resp, nil
}

// logDir is the data directory as clients are told it: absolute, as far as that can be found out.
func (b *Broker) logDir() string {
	if absolute, err := filepath.Abs(b.options.DataDir); err == nil {
		return absolute
	}
	return b.options.DataDir
}

// wantedPartitions are the open partitions that req asks about, sorted, each once: all for a null list.
func (b *Broker) wantedPartitions(req *kmsg.DescribeLogDirsRequest) []*partition.Partition {
	var wanted []*partition.Partition
	if req.Topics == nil {
		wanted = b.partitions.all()
	}
	for _, t := range req.Topics {
		for _, index := range t.Partitions {
			if p := b.partitions.lookup(t.Topic, index); p != nil {
				wanted = append(wanted, p)
			}
		}
	}
	slices.SortFunc(wanted, func(a, b *partition.Partition) int {
		return cmp.Or(cmp.Compare(a.Topic(), b.Topic()), cmp.Compare(a.Index(), b.Index()))
	})
	return slices.Compact(wanted)
}

// alterReplicaLogDirs takes moves to the directory that everything is in, and knows no other.
func (b *Broker) alterReplicaLogDirs(c *call, req *kmsg.AlterReplicaLogDirsRequest) (*kmsg.AlterReplicaLogDirsResponse, error) {
	resp := req.ResponseKind().(*kmsg.AlterReplicaLogDirsResponse)
	for _, dir := range req.Dirs {
		for _, t := range dir.Topics {
			topic := kmsg.NewAlterReplicaLogDirsResponseTopic()
			topic.Topic = t.Topic
			for _, index := range t.Partitions {
				p := kmsg.NewAlterReplicaLogDirsResponseTopicPartition()
				p.Partition = index
				switch {
				case dir.Dir != b.logDir():
					p.ErrorCode = kerr.LogDirNotFound.Code
				case b.partitions.lookup(t.Topic, index) == nil:
					p.ErrorCode = kerr.UnknownTopicOrPartition.Code
				}
				topic.Partitions = append(topic.Partitions, p)
			}
			resp.Topics = append(resp.Topics, topic)
		}
	}
	return resp, nil
}
