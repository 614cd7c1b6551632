package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/millrace/millrace/cmd/millrace/internal/output"
	"github.com/spf13/cobra"
)

// version is set by the linker (-X main.version=v1.2.3) in releases.
var version string

// release says what this binary was built from.
type release struct {
	Release  string `json:"release"`
	Revision string `json:"revision"`
	Modified bool   `json:"modified"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func thisRelease() release {
	r := release{Release: version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return r.orDevel()
	}
	if r.Release == "" && info.Main.Version != "(devel)" {
		r.Release = info.Main.Version
	}
	for _, setting := range info.Settings {
		switch setting.Key {
		case "vcs.revision":
			r.Revision = setting.Value
		case "vcs.modified":
			r.Modified = setting.Value == "true"
		}
	}
	return r.orDevel()
}

func (r release) orDevel() release {
	if r.Release == "" {
		r.Release = "devel"
	}
	return r
}

// Tables returns one row without a header.
func (r release) Tables() []output.Table {
	return []output.Table{{Rows: [][]string{{r.String()}}}}
}

func (r release) String() string {
	text := "millrace " + r.Release
	if r.Revision != "" {
		text += " (" + r.Revision[:min(12, len(r.Revision))]
		if r.Modified {
			text += ", modified"
		}
		text += ")"
	}
	return fmt.Sprintf("%s %s %s", text, r.Go, r.Platform)
}

func newVersionCommand() *cobra.Command {
	var options output.Options
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  noArgument,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return options.Print(cmd.OutOrStdout(), thisRelease())
		},
	}
	options.AddFlags(cmd.Flags())
	return cmd
}
