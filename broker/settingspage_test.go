package broker

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/millrace/millrace/broker/internal/config"
)

//go:generate go test -run "TestTheConfigurationPageHasEverySetting|TestTheConfigurationFileHasEverySetting" . -update

const (
	configurationPage = "../docs/operating/configuration.md"
	configurationFile = "../docs/deploy/millrace.yaml"
)

func TestTheConfigurationPageHasEverySetting(t *testing.T) {
	was := read(t, configurationPage)
	is, err := replacePart(was, "broker settings", brokerSettingsTable(t))
	if err != nil {
		t.Fatalf("%s: %v", configurationPage, err)
	}
	keepOrUpdate(t, configurationPage, was, is)
}

// The file of `millrace generate config` has every setting with its default, commented out.
func TestTheConfigurationFileHasEverySetting(t *testing.T) {
	b, err := config.ParseBroker(nil)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	out.WriteString("# Settings of millrace, with their defaults. The names are Kafka's; later sources win: this file, variables\n" +
		"# (MILLRACE_NUM_PARTITIONS for num.partitions), flags. `millrace serve --check -c FILE` validates it.\n\n" +
		"# log.dirs: the directory that everything is kept in, unless --data-dir or MILLRACE_DATA_DIR says so.\n" +
		"# log.dirs: /var/lib/millrace\n")
	for _, d := range b.Describe() {
		fmt.Fprintf(&out, "\n%s# %s:", commented(d.Doc), d.Name)
		if d.Value != nil {
			fmt.Fprintf(&out, " %s", *d.Value)
		}
		out.WriteString("\n")
	}
	was, err := os.ReadFile(configurationFile)
	if err != nil && !*update {
		t.Fatal(err)
	}
	keepOrUpdate(t, configurationFile, string(was), out.String())
}

func keepOrUpdate(t *testing.T, name, was, is string) {
	t.Helper()
	if is == was {
		return
	}
	if !*update {
		t.Fatalf("%s is stale: run `make generate`\n%s", name, firstDifference(was, is))
	}
	if err := os.WriteFile(name, []byte(is), 0o644); err != nil {
		t.Fatal(err)
	}
}

// commented is text in lines of comments.
func commented(text string) string {
	const width = 120
	var out, line strings.Builder
	for word := range strings.FieldsSeq(text) {
		if line.Len()+len(word)+3 > width {
			out.WriteString("#" + line.String() + "\n")
			line.Reset()
		}
		line.WriteString(" " + word)
	}
	return out.String() + "#" + line.String() + "\n"
}
