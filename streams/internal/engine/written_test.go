package engine

import (
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestLimitsOfRecords goes by topics where they tell, and by the client where they do not or where its user has chosen less.
func TestLimitsOfRecords(t *testing.T) {
	client := func(bytes int32) func(string) int32 { return func(string) int32 { return bytes } }
	for name, c := range map[string]struct {
		limits    recordLimits
		of, batch int
	}{
		"of the topic":              {recordLimits{map[string]int{"t": 2 << 20}, client(recordBytesMaxDefault), 100 << 20}, 2 << 20, 2 << 20},
		"of a smaller topic":        {recordLimits{map[string]int{"t": 10_000}, client(recordBytesMaxDefault), 100 << 20}, 10_000, 10_000},
		"of a topic for nothing":    {recordLimits{map[string]int{"t": 0}, client(recordBytesMaxDefault), 100 << 20}, 0, batchBytesMin},
		"of an unknown topic":       {recordLimits{nil, client(recordBytesMaxDefault), 100 << 20}, recordBytesMaxDefault, recordBytesMaxDefault},
		"chosen, and less":          {recordLimits{map[string]int{"t": 2 << 20}, client(5000), 100 << 20}, 5000, 5000},
		"chosen, and more":          {recordLimits{map[string]int{"t": 2 << 20}, client(5 << 20), 100 << 20}, 2 << 20, 2 << 20},
		"chosen, of nothing known":  {recordLimits{nil, client(5 << 20), 100 << 20}, 5 << 20, 5 << 20},
		"of a request":              {recordLimits{map[string]int{"t": 1 << 30}, client(recordBytesMaxDefault), 1 << 20}, 1 << 20, 1 << 20},
		"as much as there ever can": {recordLimits{map[string]int{"t": 1<<31 - 1}, client(recordBytesMaxDefault), 1<<31 - 1}, batchBytesMax, batchBytesMax},
	} {
		if of, batch := c.limits.of("t"), c.limits.ofBatch("t"); of != c.of || int(batch) != c.batch {
			t.Errorf("%s: %d, and a batch of %d, want %d and %d", name, of, batch, c.of, c.batch)
		}
	}
}

// TestATopicThatMayNotBeAsked leaves the client's limit; what else goes wrong is told.
func TestATopicThatMayNotBeAsked(t *testing.T) {
	for _, refusal := range []*kerr.Error{kerr.TopicAuthorizationFailed, kerr.ClusterAuthorizationFailed, kerr.UnknownTopicOrPartition} {
		l := recordLimits{topics: map[string]int{}}
		answer := kmsg.DescribeConfigsResponseResource{ResourceName: "t", ErrorCode: refusal.Code}
		err := l.take(answer)
		if refused := refusal != kerr.UnknownTopicOrPartition; refused && err != nil || !refused && !errors.Is(err, refusal) || len(l.topics) > 0 {
			t.Errorf("%v: %v, %v", refusal, err, l.topics)
		}
	}
}
