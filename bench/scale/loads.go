package main

import (
	"context"
	"fmt"
	"net"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace/bench/internal/rep"
)

// perTopic is how many partitions a topic of the load has.
const perTopic = 100

// partitions creates that many partitions in topics of 100 and starts the broker again, in order and after a kill.
func partitions(s *server) {
	begin := time.Now()
	client := admin()
	for topic := range *count / perTopic {
		_, err := client.CreateTopic(context.Background(), perTopic, 1, nil, fmt.Sprintf("topic-%05d", topic))
		rep.Must(err)
	}
	leaders()
	row(fmt.Sprintf("%d partitions created", *count), time.Since(begin).Seconds(), "s")
	s.tell("with them")
	for _, stop := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		*s = *s.again(stop)
		answered := time.Since(s.began)
		leaders()
		row(fmt.Sprintf("start after %s: first answer", stop), answered.Seconds()*1000, "ms")
		row(fmt.Sprintf("start after %s: all partitions have a leader", stop), time.Since(s.began).Seconds()*1000, "ms")
	}
	s.tell("after the start")
}

// leaders returns when every partition of the load has a leader. Its client is new: one that saw the broker stop waits
// before it tries again.
func leaders() {
	client := admin()
	defer client.Close()
	for {
		topics, err := client.ListTopics(context.Background())
		led := 0
		topics.EachPartition(func(p kadm.PartitionDetail) {
			if p.Err == nil && p.Leader >= 0 {
				led++
			}
		})
		if err == nil && led >= *count/perTopic*perTopic {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// groups commits an offset in that many groups and starts the broker again.
func groups(s *server) {
	client := admin()
	_, err := client.CreateTopic(context.Background(), 1, 1, nil, "read")
	rep.Must(err)
	begin := time.Now()
	var commits errgroup.Group
	commits.SetLimit(64)
	for group := range *count {
		commits.Go(func() error {
			offsets := kadm.Offsets{}
			offsets.AddOffset("read", 0, int64(group), -1)
			return client.CommitAllOffsets(context.Background(), fmt.Sprintf("group-%06d", group), offsets)
		})
	}
	rep.Must(commits.Wait())
	row("commits, each of another group", float64(*count)/time.Since(begin).Seconds(), "commits/s")
	s.tell("with them")
	*s = *s.again(syscall.SIGTERM)
	row("start: first answer", time.Since(s.began).Seconds()*1000, "ms")
	client.Close() // it saw the broker stop, and would wait before it tries again
	client = admin()
	for {
		listed, err := client.ListGroups(context.Background())
		if err == nil && len(listed) >= *count {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	row("start: all groups are listed", time.Since(s.began).Seconds()*1000, "ms")
	s.tell("after the start")
}

// connections opens that many, lets each ask once, and leaves them idle.
func connections(s *server) {
	before := s.memory()
	begin := time.Now()
	for range *count {
		conn, err := net.Dial("tcp", *address)
		rep.Must(err)
		defer conn.Close()
		rep.Must(ask(conn))
	}
	row(fmt.Sprintf("%d connections opened, one request each", *count), time.Since(begin).Seconds(), "s")
	s.tell("with them")
	row("memory per connection", (s.memory()-before)*1000/float64(*count), "KB")
}
