package graph

import (
	"fmt"
	"strings"
)

// DOT is the description in the language of Graphviz.
func (d Description) DOT() string {
	p := d.picture()
	var text strings.Builder
	text.WriteString("digraph topology {\n  rankdir=TB;\n  node [shape=box];\n")
	for _, b := range p.loose {
		text.WriteString("  " + b.dot())
	}
	for _, g := range p.groups {
		fmt.Fprintf(&text, "  subgraph cluster_%s {\n    label=%s;\n", g.id, quoteDOT(g.label))
		for _, b := range g.boxes {
			text.WriteString("    " + b.dot())
		}
		text.WriteString("  }\n")
	}
	for _, a := range p.arrows {
		text.WriteString("  " + a.dot())
	}
	text.WriteString("}\n")
	return text.String()
}

func (b box) dot() string {
	attributes := map[shape]string{storeShape: ", shape=cylinder", topicShape: ", shape=cds", internalShape: ", shape=cds, style=dashed"}[b.shape]
	return fmt.Sprintf("%s [label=%s%s];\n", b.id, quoteDOT(b.label), attributes)
}

func (a arrow) dot() string {
	var attributes []string
	if a.label != "" {
		attributes = append(attributes, "label="+quoteDOT(a.label))
	}
	if a.dotted {
		attributes = append(attributes, "style=dotted")
	}
	if len(attributes) == 0 {
		return fmt.Sprintf("%s -> %s;\n", a.from, a.to)
	}
	return fmt.Sprintf("%s -> %s [%s];\n", a.from, a.to, strings.Join(attributes, ", "))
}

// quoteDOT quotes a label: within quotes only they, backslashes and the ends of lines mean something.
func quoteDOT(label string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(label) + `"`
}
