package graph

import (
	"fmt"
	"slices"
	"strings"
)

// Changes are what differs between what an application did when it ran last and what it is to do now.
type Changes struct {
	Added, Removed []string // stores
	Changed        []string // sentences about what is different and does no harm
	Refused        []string // sentences about what cannot be, each with how to proceed
}

// Compare returns the changes from an earlier description of the same application. What is only done to records between topics
// and stores may change freely and is not among them.
func Compare(earlier, now Description) (c Changes) {
	for _, store := range now.Stores {
		if before, ok := earlier.Store(store.Name); ok {
			c.compareStore(before, store, now.App)
		} else {
			c.Added = append(c.Added, store.Name)
		}
	}
	for _, store := range earlier.Stores {
		if _, ok := now.Store(store.Name); !ok {
			c.Removed = append(c.Removed, store.Name)
		}
	}
	for _, topic := range now.Topics {
		if before, ok := earlier.Topic(topic.Name); ok && now.reads(topic.Name) && earlier.reads(topic.Name) {
			c.compareTopic(before, topic, earlier, now)
		}
	}
	c.compareTasks(earlier, now)
	return c
}

// Err is all that is refused, nil if nothing is.
func (c Changes) Err() error {
	if len(c.Refused) == 0 {
		return nil
	}
	return fmt.Errorf("the topology does not fit what the application has stored: %s", strings.Join(c.Refused, "; "))
}

func (c *Changes) refuse(format string, args ...any) {
	c.Refused = append(c.Refused, fmt.Sprintf(format, args...))
}

func (c *Changes) note(format string, args ...any) {
	c.Changed = append(c.Changed, fmt.Sprintf(format, args...))
}

func (c *Changes) compareStore(before, now StoreDescription, app string) {
	if was, is := before.format(), now.format(); was != is {
		c.refuse("store %s is described as %s, what is stored is %s: give the new store another name, or delete what is stored with "+
			"\"millrace streams reset %s\"", now.Name, is, was, app)
	}
	if !slices.Equal(before.Topics, now.Topics) {
		c.note("store %s gets its records from %s, before from %s", now.Name, strings.Join(now.Topics, " and "), strings.Join(before.Topics, " and "))
	}
}

func (store StoreDescription) format() string {
	s := Store{Kind: store.Kind, Key: store.Key, Value: store.Value, Windows: store.Windows}
	return s.String()
}

// compareTopic refuses other partition counts where keys lie in stores, and other codecs where records may be on their way.
func (c *Changes) compareTopic(before, topic TopicDescription, earlier, now Description) {
	if before.Key != topic.Key || before.Value != topic.Value {
		if topic.Internal {
			c.refuse("topic %s is described with codecs %s and %s, the records that are in it have %s and %s: give the topic another name, or "+
				"begin anew with \"millrace streams reset %s\"", topic.Name, topic.Key, topic.Value, before.Key, before.Value, now.App)
		} else {
			c.note("topic %s is read with codecs %s and %s, before with %s and %s", topic.Name, topic.Key, topic.Value, before.Key, before.Value)
		}
	}
	if before.Partitions == topic.Partitions || before.Partitions == 0 || topic.Partitions == 0 {
		return
	}
	var stores []string
	for _, store := range now.Stores {
		if was, ok := earlier.Store(store.Name); ok && slices.Contains(store.Topics, topic.Name) && slices.Contains(was.Topics, topic.Name) {
			stores = append(stores, store.Name)
		}
	}
	if len(stores) == 0 {
		c.note("topic %s has %d partitions, before %d", topic.Name, topic.Partitions, before.Partitions)
		return
	}
	c.refuse("topic %s has %d partitions, it had %d, over which the keys of store %s are spread: give the store another name to fill it anew from "+
		"now on, or begin anew with \"millrace streams reset %s\"", topic.Name, topic.Partitions, before.Partitions, strings.Join(stores, " and "), now.App)
}

// compareTasks refuses another number of tasks for a store whose own topics have not changed: its changelog has one partition for
// each.
func (c *Changes) compareTasks(earlier, now Description) {
	for _, store := range now.Stores {
		before, ok := earlier.Store(store.Name)
		if !ok || before.Partitions == store.Partitions || before.Partitions == 0 || store.Partitions == 0 || c.names(store.Name) {
			continue
		}
		c.refuse("store %s is in a part of the topology with %d tasks, its changelog has %d partitions: cut it off by Repartition from the "+
			"topics that have more, or begin anew with \"millrace streams reset %s\"", store.Name, store.Partitions, before.Partitions, now.App)
	}
}

// names reports whether something that is refused is about a store.
func (c *Changes) names(store string) bool {
	return slices.ContainsFunc(c.Refused, func(sentence string) bool { return slices.Contains(strings.Fields(sentence), store) })
}
