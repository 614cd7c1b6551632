package metadata

import (
	"fmt"
	"strings"
)

// topicNameMax is the longest name of a topic; with a partition's number it still fits a file name.
const topicNameMax = 249

// IsInternal says whether name is one of the broker's own topics.
func IsInternal(name string) bool { return name == OffsetsTopic || name == TransactionsTopic }

// CheckTopicName returns an ErrInvalidTopic that says why no topic can have that name, or nil.
func CheckTopicName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("%w: it is empty", ErrInvalidTopic)
	case name == "." || name == "..":
		return fmt.Errorf("%w: %q", ErrInvalidTopic, name)
	case len(name) > topicNameMax:
		return fmt.Errorf("%w: %d characters, at most %d are allowed", ErrInvalidTopic, len(name), topicNameMax)
	}
	for i := range len(name) {
		if !isNameByte(name[i]) {
			return fmt.Errorf("%w: %q has a character other than ASCII letters, digits, '.', '_' and '-'", ErrInvalidTopic, name)
		}
	}
	return nil
}

func isNameByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '.' || c == '_' || c == '-'
}

// collisions finds the topic whose metrics would have the same name as those of another: '.' and '_' are one there.
type collisions map[string]string // unified name -> a topic's name

func (image *Image) collisions() collisions {
	c := collisions{}
	for _, t := range image.topics {
		c.add(t.Name)
	}
	return c
}

func (c collisions) add(name string) {
	if strings.ContainsAny(name, "._") {
		c[unify(name)] = name
	}
}

// check returns an ErrInvalidTopic if name collides with a topic other than itself.
func (c collisions) check(name string) error {
	if !strings.ContainsAny(name, "._") {
		return nil
	}
	if other, ok := c[unify(name)]; ok && other != name {
		return fmt.Errorf("%w: %q collides with topic %q, from which only '.' and '_' tell it apart", ErrInvalidTopic, name, other)
	}
	return nil
}

func unify(name string) string { return strings.ReplaceAll(name, ".", "_") }
