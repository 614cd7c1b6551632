package broker

import (
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestDescribeLogDirsInEveryVersion(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	createTopic(t, b, "b", 2)
	createTopic(t, b, "a", 1)
	batch := int64(len(batchOf(t, "one", "two")))
	appendTo(t, b, "b", 1, "one", "two")
	c := dial(t, b)
	for version := int16(1); version <= 5; version++ {
		for _, ask := range []struct {
			topics []kmsg.DescribeLogDirsRequestTopic
			want   string
		}{
			{nil, fmt.Sprintf("a-0:0 b-0:0 b-1:%d ", batch)},
			{[]kmsg.DescribeLogDirsRequestTopic{}, ""},
			{[]kmsg.DescribeLogDirsRequestTopic{{Topic: "b", Partitions: []int32{1, 7, 1}}, {Topic: "x", Partitions: []int32{0}}}, fmt.Sprintf("b-1:%d ", batch)},
		} {
			r := kmsg.NewPtrDescribeLogDirsRequest()
			r.SetVersion(version)
			r.Topics = ask.topics
			got := c.ask(r).(*kmsg.DescribeLogDirsResponse)
			if got.ErrorCode != 0 || len(got.Dirs) != 1 || got.Dirs[0].ErrorCode != 0 || got.Dirs[0].Dir != b.options.DataDir {
				t.Fatalf("version %d: %+v", version, got)
			}
			if dir := got.Dirs[0]; version >= 4 && (dir.TotalBytes <= 0 || dir.UsableBytes <= 0 || dir.UsableBytes > dir.TotalBytes) {
				t.Errorf("version %d: %d of %d bytes usable", version, dir.UsableBytes, dir.TotalBytes)
			}
			text := ""
			for _, topic := range got.Dirs[0].Topics {
				for _, p := range topic.Partitions {
					text += fmt.Sprintf("%s-%d:%d ", topic.Topic, p.Partition, p.Size)
					if p.OffsetLag != 0 || p.IsFuture {
						t.Errorf("version %d: %+v", version, p)
					}
				}
			}
			if text != ask.want {
				t.Errorf("version %d: %q, want %q", version, text, ask.want)
			}
		}
	}
}

func TestPartitionsStayInTheOneDirectory(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	createTopic(t, b, "a", 1)
	c := dial(t, b)
	for version := int16(1); version <= 2; version++ {
		r := kmsg.NewPtrAlterReplicaLogDirsRequest()
		r.SetVersion(version)
		topics := []kmsg.AlterReplicaLogDirsRequestDirTopic{{Topic: "a", Partitions: []int32{0, 9}}, {Topic: "x", Partitions: []int32{0}}}
		r.Dirs = []kmsg.AlterReplicaLogDirsRequestDir{{Dir: b.options.DataDir, Topics: topics}, {Dir: "/elsewhere", Topics: topics[:1]}}
		got := ""
		for _, topic := range c.ask(r).(*kmsg.AlterReplicaLogDirsResponse).Topics {
			for _, p := range topic.Partitions {
				got += fmt.Sprintf("%s-%d=%d ", topic.Topic, p.Partition, p.ErrorCode)
			}
		}
		if want := "a-0=0 a-9=3 x-0=3 a-0=57 a-9=57 "; got != want {
			t.Errorf("version %d: %q, want %q", version, got, want)
		}
	}
}
