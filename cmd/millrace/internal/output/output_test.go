package output

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

type fruit struct {
	Name  string  `json:"name"`
	Count *int    `json:"count"`
	Note  *string `json:"note,omitempty"`
}

type basket struct {
	Fruits []fruit `json:"fruits"`
}

func (b basket) Tables() []Table {
	table := Table{Headers: []string{"NAME", "COUNT"}}
	for _, f := range b.Fruits {
		table.Rows = append(table.Rows, []string{f.Name, ""})
	}
	return []Table{table}
}

type nothing struct{}

func (nothing) Tables() []Table { return nil }

func printed(t *testing.T, document Document, args ...string) string {
	t.Helper()
	var options Options
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	options.AddFlags(flags)
	if err := flags.Parse(args); err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	if err := options.Print(&buf, document); err != nil {
		t.Fatal(err)
	}
	return buf.String()
}

var tricky = []string{"apple", "no", "1e3", "a: b", "<&>", "tab\tline\nend", "", "null", "0x1f", "é 😀"}

func trickyBasket() basket {
	var b basket
	for i, name := range tricky {
		b.Fruits = append(b.Fruits, fruit{Name: name, Count: &i})
	}
	return b
}

func TestJSONAndYAMLSayTheSame(t *testing.T) {
	var fromJSON, fromYAML map[string]any
	if err := json.Unmarshal([]byte(printed(t, trickyBasket(), "--format", "json")), &fromJSON); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal([]byte(printed(t, trickyBasket(), "--format", "yaml")), &fromYAML); err != nil {
		t.Fatal(err)
	}
	if fromJSON["version"] != float64(1) || fromYAML["version"] != 1 {
		t.Errorf("versions %v and %v", fromJSON["version"], fromYAML["version"])
	}
	a, _ := json.Marshal(fromJSON)
	b, _ := json.Marshal(fromYAML)
	if string(a) != string(b) {
		t.Errorf("JSON %s\nYAML %s", a, b)
	}
	for i, f := range fromYAML["fruits"].([]any) {
		if name := f.(map[string]any)["name"]; name != tricky[i] {
			t.Errorf("YAML turned %q into %v", tricky[i], name)
		}
	}
}

func TestTextKeepsOneRowPerLine(t *testing.T) {
	got := printed(t, trickyBasket())
	if lines := strings.Count(got, "\n"); lines != len(tricky)+1 {
		t.Errorf("%d lines for %d rows and a header:\n%s", lines, len(tricky), got)
	}
	if got := printed(t, trickyBasket(), "--no-headers"); strings.Contains(got, "NAME") {
		t.Errorf("header printed:\n%s", got)
	}
}

func TestEmptyDocumentIsValidJSON(t *testing.T) {
	if got, want := printed(t, nothing{}, "--format", "json"), "{\n  \"version\": 1\n}\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestFormatNamesTheNearest(t *testing.T) {
	var options Options
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	options.AddFlags(flags)
	err := flags.Parse([]string{"--format", "jsn"})
	if err == nil || !strings.Contains(err.Error(), `did you mean "json"?`) {
		t.Errorf("got %v", err)
	}
}
