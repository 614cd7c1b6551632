package consumer_test

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// A static member that leaves makes way at once; one that only stops has its partitions kept.
func TestAStaticMemberLeaves(t *testing.T) {
	for name, leave := range map[string]bool{"leaves": true, "stops": false} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t)
			input := c.topic("input", 1)
			c.produce(input, 1, 0, 10)
			options := c.options(input, input, &handler{process: nothing})
			options.LeaveStatic = leave
			options.Consumer = []kgo.Opt{kgo.InstanceID("one"), kgo.SessionTimeout(5 * time.Minute)}
			stop := run(t, options)
			eventually(t, "all records", func() bool { return c.lag(input, input) == 0 })
			if err := stop(); err != nil {
				t.Fatal(err)
			}
			groups, err := c.admin.DescribeGroups(t.Context(), input)
			if err != nil {
				t.Fatal(err)
			}
			if members := len(groups[input].Members); leave != (members == 0) {
				t.Errorf("%d members are left", members)
			}
		})
	}
}
