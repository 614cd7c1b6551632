// Package output prints what a command lists: the same facts as aligned text for people, and as
// JSON or YAML with a version for programs.
package output

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/millrace/millrace/cmd/millrace/internal/usage"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

// Version is the value of "version" in every document. It grows when a field changes its meaning
// or goes away; new fields do not change it.
const Version = 1

// Document is what one command lists. A struct with json tags, marshalled as one JSON object.
type Document interface {
	// Tables returns the text form.
	Tables() []Table
}

// Table is one aligned block of text.
type Table struct {
	Title   string // printed above the header when there are several tables; may be empty
	Headers []string
	Rows    [][]string
}

// Options are the flags that every listing command has.
type Options struct {
	format    string
	more      []string // formats that the command prints itself
	NoHeaders bool
}

var formats = []string{"text", "json", "yaml"}

// AddFlags registers --format, which is text by default, and --no-headers.
func (o *Options) AddFlags(flags *pflag.FlagSet) { o.AddFlagsWith(flags, "text") }

// AddFlagsWith is AddFlags with another default of --format.
func (o *Options) AddFlagsWith(flags *pflag.FlagSet, format string) {
	o.format = format
	flags.Var((*formatValue)(o), "format", "output format: "+enumerate(o.formats()))
	flags.BoolVar(&o.NoHeaders, "no-headers", false, "leave out the header lines of text output")
}

// AddFlagsAnd is AddFlags with more formats, which the command prints itself; Format says which was chosen.
func (o *Options) AddFlagsAnd(flags *pflag.FlagSet, more ...string) {
	o.more = more
	o.AddFlags(flags)
}

// Format is the chosen format.
func (o *Options) Format() string { return o.format }

func (o *Options) formats() []string { return append(formats[:len(formats):len(formats)], o.more...) }

// enumerate is "a, b or c".
func enumerate(words []string) string {
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// Text reports whether the output is the text form.
func (o *Options) Text() bool { return o.format == "" || o.format == "text" }

// formatValue is a flag value that names the nearest format when it is wrong.
type formatValue Options

func (f *formatValue) String() string { return f.format }
func (f *formatValue) Type() string   { return "FORMAT" }

func (f *formatValue) Set(s string) error {
	if all := (*Options)(f).formats(); !slices.Contains(all, s) {
		return usage.Unknown("format", s, all)
	}
	f.format = s
	return nil
}

// Print writes document to w in the chosen format, in one Write.
func (o *Options) Print(w io.Writer, document Document) error {
	var buf bytes.Buffer
	var err error
	switch o.format {
	case "json":
		err = writeJSON(&buf, document)
	case "yaml":
		err = writeYAML(&buf, document)
	default:
		err = writeText(&buf, document.Tables(), o.NoHeaders)
	}
	if err != nil {
		return fmt.Errorf("print as %s: %w", o.format, err)
	}
	_, err = w.Write(buf.Bytes())
	return err
}

// versioned returns document as a JSON object whose first field is the version.
func versioned(document Document) ([]byte, error) {
	var buf bytes.Buffer
	encoder := json.NewEncoder(&buf)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(document); err != nil {
		return nil, err
	}
	object := bytes.TrimSpace(buf.Bytes())
	if len(object) < 2 || object[0] != '{' {
		return nil, fmt.Errorf("%T is not a JSON object", document)
	}
	head := fmt.Appendf(nil, `{"version":%d`, Version)
	if len(object) > 2 {
		head = append(head, ',')
	}
	return append(head, object[1:]...), nil
}

func writeJSON(buf *bytes.Buffer, document Document) error {
	object, err := versioned(document)
	if err != nil {
		return err
	}
	if err := json.Indent(buf, object, "", "  "); err != nil {
		return err
	}
	buf.WriteByte('\n')
	return nil
}

// writeYAML goes through JSON, so that both formats have the same names in the same order.
func writeYAML(buf *bytes.Buffer, document Document) error {
	object, err := versioned(document)
	if err != nil {
		return err
	}
	var node yaml.Node
	if err := yaml.Unmarshal(object, &node); err != nil {
		return err
	}
	plainStyle(&node)
	encoder := yaml.NewEncoder(buf)
	encoder.SetIndent(2)
	if err := encoder.Encode(&node); err != nil {
		return err
	}
	return encoder.Close()
}

// plainStyle drops the JSON look of node; the encoder quotes again where a plain scalar would
// change its type.
func plainStyle(node *yaml.Node) {
	node.Style = 0
	for _, child := range node.Content {
		plainStyle(child)
	}
}

func writeText(buf *bytes.Buffer, tables []Table, noHeaders bool) error {
	for i, table := range tables {
		if !noHeaders && i > 0 {
			buf.WriteByte('\n')
		}
		if !noHeaders && table.Title != "" {
			fmt.Fprintln(buf, table.Title)
		}
		w := tabwriter.NewWriter(buf, 0, 0, 2, ' ', 0)
		if !noHeaders && len(table.Headers) > 0 {
			fmt.Fprintln(w, strings.Join(table.Headers, "\t"))
		}
		for _, row := range table.Rows {
			fmt.Fprintln(w, strings.Join(cells(row), "\t"))
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
	return nil
}

// cells keeps each row on one line and each cell visible.
func cells(row []string) []string {
	out := make([]string, len(row))
	for i, cell := range row {
		if out[i] = strings.NewReplacer("\n", `\n`, "\r", `\r`, "\t", `\t`).Replace(cell); cell == "" {
			out[i] = "-"
		}
	}
	return out
}
