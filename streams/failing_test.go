package streams_test

import (
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/streams"
	"github.com/millrace/millrace/streams/serde"
)

// TestARecordThatFailsIsNotCommitted has a function fail for a record in the middle of others, which the next process has to begin with.
// At least once there is no transaction whose end would undo it.
func TestARecordThatFailsIsNotCommitted(t *testing.T) {
	for name, guarantee := range map[string]streams.Guarantee{"exactly once": streams.ExactlyOnce, "at least once": streams.AtLeastOnce} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t)
			c.topic("lines", 1)
			c.topic("out", 1)
			for _, value := range []string{"first", "bad", "last"} {
				c.send(&kgo.Record{Topic: "lines", Value: []byte(value)})
			}
			bad := errors.New("no good")
			passing := func(err error) *streams.Topology {
				topology := streams.NewTopology()
				streams.TryMapValues(streams.From(topology, lines), "try", func(value string) (string, error) {
					if value == "bad" {
						return "", err
					}
					return value, nil
				}, streams.Fail).To(streams.NewTopic("out", serde.String, serde.String))
				return topology
			}
			if err := c.run(passing(bad), streams.Config{Guarantee: guarantee}).wait(); !errors.Is(err, bad) {
				t.Fatalf("Run returned %v", err)
			}
			committed, err := c.admin.FetchOffsets(t.Context(), "app")
			if err != nil {
				t.Fatal(err)
			}
			if at, _ := committed.Lookup("lines", 0); at.At > 1 {
				t.Errorf("offset %d is committed, and 1 was not processed", at.At)
			}
		})
	}
}
