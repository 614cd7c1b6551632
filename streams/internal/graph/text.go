package graph

import (
	"fmt"
	"strings"
	"text/tabwriter"
)

// String is the description as text, for people: sub-topologies with their nodes, then topics and stores.
func (d Description) String() string {
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	for _, s := range d.Subtopologies {
		_ = table.Flush() // a strings.Builder takes everything
		fmt.Fprintf(&text, "sub-topology %s%s\n", s.Name, count(", %d tasks", s.Tasks))
		for _, n := range s.Nodes {
			fmt.Fprintf(table, "  %s\t%s\t%s\n", n.Name, n.label(), n.facts())
		}
	}
	_ = table.Flush()
	text.WriteString("topics\n")
	for _, topic := range d.Topics {
		fmt.Fprintf(table, "  %s\t%s to %s\t%s\n", topic.Name, topic.Key, topic.Value, topic.facts())
	}
	_ = table.Flush()
	if len(d.Stores) > 0 {
		text.WriteString("stores\n")
	}
	for _, store := range d.Stores {
		fmt.Fprintf(table, "  %s\t%s, %s to %s\t%s\n", store.Name, store.Kind, store.Key, store.Value, store.facts())
	}
	_ = table.Flush()
	return trimLines(text.String())
}

// label is what kind of step a node is.
func (n NodeDescription) label() string {
	if n.Operator != "" {
		return n.Operator
	}
	return string(n.Kind)
}

func (n NodeDescription) facts() string {
	var facts []string
	if len(n.Parents) > 0 {
		facts = append(facts, "from "+strings.Join(n.Parents, " and "))
	}
	if n.Edge != "" {
		facts = append(facts, "its "+n.Edge)
	}
	if len(n.Topics) > 0 {
		verb := "reads"
		if n.Kind == Sink {
			verb = "writes"
		}
		facts = append(facts, verb+" "+strings.Join(n.Topics, " and "))
	}
	if len(n.Stores) > 0 {
		facts = append(facts, "has "+strings.Join(n.Stores, " and "))
	}
	if n.DeadLetters != "" {
		facts = append(facts, "dead letters to "+n.DeadLetters)
	}
	return strings.Join(facts, ", ")
}

func (topic TopicDescription) facts() string {
	facts := count("%d partitions", topic.Partitions)
	if topic.Internal {
		facts = join(facts, "internal")
		if topic.Kafka != "" {
			facts = join(facts, "in Kafka "+topic.Kafka)
		}
	}
	return facts
}

func (store StoreDescription) facts() string {
	facts := store.Windows
	if store.Changelog != "" {
		facts = join(facts, "changelog "+store.Changelog)
	}
	return join(facts, "from "+strings.Join(store.Topics, " and "))
}

// join puts a comma between two facts that are both there.
func join(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + ", " + b
}

// count is the format with n in it, "" for 0, and without its plural s for 1.
func count(format string, n int) string {
	switch n {
	case 0:
		return ""
	case 1:
		format = strings.TrimSuffix(format, "s")
	}
	return fmt.Sprintf(format, n)
}

// trimLines takes away the spaces at the end of lines that a table leaves.
func trimLines(text string) string {
	var trimmed strings.Builder
	for line := range strings.Lines(text) {
		trimmed.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	return trimmed.String()
}
