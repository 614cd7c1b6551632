package stage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// CreateTopics creates the topics that an example reads and writes. Its data must be the only ones there, or nothing could
// be checked: what an earlier run has left is an error, unless it is to be deleted.
func (s *Stage) CreateTopics(ctx context.Context, partitions int32, names ...string) error {
	client, err := s.client()
	if err != nil {
		return err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	left, err := s.leftovers(ctx, admin, names)
	if err != nil {
		return err
	}
	if len(left) > 0 && !s.Clean {
		return fmt.Errorf("%s are there already, from an earlier run? -clean deletes them", strings.Join(left, ", "))
	}
	if len(left) > 0 {
		if err := s.clean(ctx, admin, left); err != nil {
			return err
		}
	}
	const defaultReplicas = -1
	forever := map[string]*string{"retention.ms": kadm.StringPtr("-1")} // the data have times that are long past
	created, err := admin.CreateTopics(ctx, partitions, defaultReplicas, forever, names...)
	if err != nil {
		return fmt.Errorf("create topics: %w", err)
	}
	return created.Error()
}

// leftovers returns the topics of the example that are there: those of names, and those that its application has made.
func (s *Stage) leftovers(ctx context.Context, admin *kadm.Client, names []string) ([]string, error) {
	topics, err := admin.ListTopics(ctx)
	if err != nil {
		return nil, fmt.Errorf("list topics of %s: %w", strings.Join(s.Brokers, ","), err)
	}
	return slices.DeleteFunc(topics.Names(), func(topic string) bool {
		return !slices.Contains(names, topic) && !strings.HasPrefix(topic, s.Example.Name+"-")
	}), nil
}

func (s *Stage) clean(ctx context.Context, admin *kadm.Client, topics []string) error {
	deleted, err := admin.DeleteTopics(ctx, topics...)
	if err == nil {
		err = deleted.Error()
	}
	if err != nil {
		return fmt.Errorf("delete topics: %w", err)
	}
	groups, err := admin.ListGroups(ctx)
	if err != nil {
		return fmt.Errorf("list groups: %w", err)
	}
	if _, found := groups[s.Example.Name]; !found {
		return nil
	}
	group, err := admin.DeleteGroup(ctx, s.Example.Name)
	if err := errors.Join(err, group.Err); err != nil {
		return fmt.Errorf("delete group %s: %w", s.Example.Name, err)
	}
	return nil
}

func (s *Stage) client(options ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(s.Brokers...)}, options...)...)
}
