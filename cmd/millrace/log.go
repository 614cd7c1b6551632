package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/millrace/millrace/cmd/millrace/internal/output"
	"github.com/millrace/millrace/internal/disk"
	"github.com/millrace/millrace/log"
	"github.com/spf13/cobra"
)

func newLogCommand() *cobra.Command {
	return newParentCommand("log", "Look into the files of a partition",
		newLogDumpCommand(),
		newLogVerifyCommand(),
	)
}

// verifiedLog is one directory of `log verify`.
type verifiedLog struct {
	log.Summary
	Findings []log.Finding `json:"findings"`
}

type verifiedLogs struct {
	Logs []verifiedLog `json:"logs"`
}

// Tables returns what the directories hold, and what is wrong if anything is.
func (v *verifiedLogs) Tables() []output.Table {
	held := output.Table{Headers: []string{"DIR", "SEGMENTS", "BATCHES", "RECORDS", "BYTES", "START", "END", "DURABLE", "STATE"}}
	found := output.Table{Title: "findings", Headers: []string{"SEVERITY", "FILE", "POSITION", "PROBLEM", "REMEDY"}}
	for _, l := range v.Logs {
		held.Rows = append(held.Rows, []string{l.Dir, strconv.Itoa(l.Segments), strconv.FormatInt(l.Batches, 10),
			strconv.FormatInt(l.Records, 10), strconv.FormatInt(l.Bytes, 10), strconv.FormatInt(l.LogStartOffset, 10),
			strconv.FormatInt(l.LogEndOffset, 10), strconv.FormatInt(l.DurableOffset, 10), l.state()})
		for _, f := range l.Findings {
			found.Rows = append(found.Rows, []string{string(f.Severity), f.Path, positionText(f), f.Problem, f.Remedy})
		}
	}
	if len(found.Rows) == 0 {
		return []output.Table{held}
	}
	return []output.Table{held, found}
}

func (l *verifiedLog) state() string {
	switch {
	case l.Damage > 0:
		return "damaged"
	case l.Repairable > 0:
		return "repairable"
	}
	return "sound"
}

func positionText(f log.Finding) string {
	if f.Position < 0 {
		return "-"
	}
	return strconv.FormatInt(f.Position, 10)
}

func newLogVerifyCommand() *cobra.Command {
	var options output.Options
	var compacted bool
	cmd := &cobra.Command{
		Use:   "verify DIR...",
		Short: "Check every byte of partition directories",
		Long: `Read partition directories (DATA-DIR/TOPIC-PARTITION), compare everything in them that says the same
thing twice, and say what is wrong, where, and what to do about it. Nothing is changed, and a broker may
have the directories open.

The exit code is 1 if anything is damaged, or has to be made anew by the next start.`,
		Args: atLeastOne("DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			verified := verifiedLogs{Logs: []verifiedLog{}}
			for _, dir := range args {
				if err := partitionDirectory(dir); err != nil {
					return fmt.Errorf("log verify: %w", err)
				}
				summary, findings, err := log.Verify(log.InspectOptions{FS: disk.OS(), Dir: dir, Compacted: compacted})
				if err != nil {
					return fmt.Errorf("log verify: %w", err)
				}
				verified.Logs = append(verified.Logs, verifiedLog{summary, append([]log.Finding{}, findings...)})
			}
			if err := options.Print(cmd.OutOrStdout(), &verified); err != nil {
				return err
			}
			return verified.verdict()
		},
	}
	options.AddFlags(cmd.Flags())
	cmd.Flags().BoolVar(&compacted, "compacted", false, "the topic is compacted: gaps between offsets are no damage")
	return cmd
}

// partitionDirectory refuses a directory that has nothing of a partition: what a data directory holds would be found to
// have no business there.
func partitionDirectory(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		switch {
		case filepath.Ext(e.Name()) == ".log", e.Name() == "partition.metadata", e.Name() == "millrace.checkpoint":
			return nil
		case e.Name() == "meta.properties":
			return fmt.Errorf("%s is a data directory, name partition directories in it, like %s", dir, filepath.Join(dir, "TOPIC-0"))
		}
	}
	return fmt.Errorf("%s is not the directory of a partition, DATA-DIR/TOPIC-PARTITION", dir)
}

// wrongNamesMax bounds how many directories one line names.
const wrongNamesMax = 3

// verdict is an error if anything is wrong.
func (v *verifiedLogs) verdict() error {
	var wrong []string
	for _, l := range v.Logs {
		if l.Damage+l.Repairable > 0 {
			wrong = append(wrong, fmt.Sprintf("%s (damage %d, repairable %d)", l.Dir, l.Damage, l.Repairable))
		}
	}
	switch {
	case len(wrong) == 0:
		return nil
	case len(wrong) > wrongNamesMax:
		return fmt.Errorf("log verify: %d of %d directories are not sound", len(wrong), len(v.Logs))
	}
	return fmt.Errorf("log verify: not sound: %s", strings.Join(wrong, ", "))
}
