package history

import "slices"

// topic is how far its creation and deletion are known to have come.
type topic struct {
	created, deleteAsked, deleted bool
}

func (c *checker) topicEvent(event any) {
	switch e := event.(type) {
	case TopicAsked:
		c.topics[e.Topic] = &topic{}
	case TopicCreated:
		c.summary.Topics++
		c.topic(e.Topic).created = true
	case DeleteAsked:
		c.topic(e.Topic).deleteAsked = true
	case Deleted:
		c.summary.TopicsDeleted++
		c.topic(e.Topic).deleted = true
	case Topics:
		c.listTopics(e.Names)
	}
}

func (c *checker) topic(name string) *topic {
	t := c.topics[name]
	if t == nil {
		t = &topic{}
		c.topics[name] = t
		c.wrong(TopicMade, "%s was never asked for", name)
	}
	return t
}

func (c *checker) listTopics(names []string) {
	for _, name := range names {
		if t := c.topics[name]; t == nil {
			c.wrong(TopicMade, "%s was never asked for", name)
		} else if t.deleted {
			c.wrong(TopicBack, "%s is there, and was deleted", name)
		}
	}
	for name, t := range c.topics {
		if t.created && !t.deleteAsked && !slices.Contains(names, name) {
			c.wrong(TopicLost, "%s is gone, and nobody has deleted it", name)
		}
	}
}

// gone says whether nothing can be said of the topic's content, because somebody wanted it deleted.
func (c *checker) gone(name string) bool {
	t := c.topics[name]
	return t != nil && t.deleteAsked
}
