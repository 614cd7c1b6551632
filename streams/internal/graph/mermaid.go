package graph

import (
	"fmt"
	"strings"
)

// Mermaid is the description in the language of Mermaid, which pages in Markdown draw.
func (d Description) Mermaid() string {
	p := d.picture()
	var text strings.Builder
	text.WriteString("flowchart TB\n")
	for _, b := range p.loose {
		text.WriteString("  " + b.mermaid())
	}
	for _, g := range p.groups {
		fmt.Fprintf(&text, "  subgraph %s[%s]\n", g.id, quoteMermaid(g.label))
		for _, b := range g.boxes {
			text.WriteString("    " + b.mermaid())
		}
		text.WriteString("  end\n")
	}
	for _, a := range p.arrows {
		text.WriteString("  " + a.mermaid())
	}
	return text.String()
}

func (b box) mermaid() string {
	form := map[shape]string{stepShape: "%s[%s]\n", storeShape: "%s[(%s)]\n", topicShape: "%s>%s]\n", internalShape: "%s{{%s}}\n"}[b.shape]
	return fmt.Sprintf(form, b.id, quoteMermaid(b.label))
}

func (a arrow) mermaid() string {
	line := "-->"
	if a.dotted {
		line = "-.->"
	}
	if a.label != "" {
		line += "|" + quoteMermaid(a.label) + "|"
	}
	return fmt.Sprintf("%s %s %s\n", a.from, line, a.to)
}

// quoteMermaid quotes a label. Its quotes, and what would begin an entity or Markdown, are written as entities.
func quoteMermaid(label string) string {
	return `"` + strings.NewReplacer(`"`, "#quot;", "#", "#35;", "`", "#96;", "<", "#lt;", ">", "#gt;", "\n", " ").Replace(label) + `"`
}
