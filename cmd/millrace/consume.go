package main

import (
	"io"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/cmd/millrace/internal/grep"
	"github.com/millrace/millrace/cmd/millrace/internal/usage"
	"github.com/millrace/millrace/cmd/millrace/internal/whence"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"
)

type consumeFlags struct {
	offset     string
	count      int64
	toEnd      bool
	format     string
	json       bool
	group      string
	partitions string
	grep       []string
	tail       int
	timeout    time.Duration
}

func newConsumeCommand(c *connection) *cobra.Command {
	var flags consumeFlags
	cmd := &cobra.Command{
		Use:   "consume TOPIC...",
		Short: "Print the records of topics",
		Long: `Print the records of topics, and go on with new ones until -n, -e, the end of -o or Ctrl-C.

-o says where to begin and end in each partition:
  start  end  N  +N  -N     begin there; +N counts from the start, -N from the end
  @TIME                     begin at that time: now, -1h, -2d, 2006-01-02, 2006-01-02T15:04:05Z or
                            seconds, milliseconds, nanoseconds since 1970; after all records it is the end
  A:B  :B  A:  :end         from A up to, without, B; each of the above
  @T1:T2                    a span of time

-f says what to print: %t topic, %p partition, %o offset, %d timestamp, %k key, %v value, %h{%k=%v }
headers, %T %K %V %H sizes, and modifiers like %k{hex}, %v{base64}, %d{go#2006-01-02#}.
-J prints one JSON object per record that holds everything and that produce -J reads.

With -g the group's committed offsets say where to begin, -o where there are none yet. An offset is
committed after its record was printed, so a crash prints a record again rather than never.`,
		Example: `  millrace consume clicks -o -10 -e
  millrace consume clicks -f '%p:%o %d{go#15:04:05#} %k %v\n'
  millrace consume orders -G v:refund -G '!h:test' -J
  millrace consume orders --tail 5`,
		Args:              atLeastOne("TOPIC"),
		ValidArgsFunction: c.completeTopics(),
		RunE: func(cmd *cobra.Command, args []string) error {
			plan, err := flags.plan(cmd, unique(args))
			if err != nil {
				return err
			}
			return plan.run(cmd, c)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&flags.offset, "offset", "o", "start", "where to begin and end in each partition")
	f.Int64VarP(&flags.count, "num", "n", 0, "stop after N printed records")
	f.BoolVarP(&flags.toEnd, "exit", "e", false, "stop at the end as it is at the start")
	f.StringVarP(&flags.format, "format", "f", `%v\n`, "what to print of a record")
	f.BoolVarP(&flags.json, "json", "J", false, "print one JSON object per record")
	f.StringVarP(&flags.group, "group", "g", "", "consume as a member of a group and commit offsets")
	f.StringVarP(&flags.partitions, "partitions", "p", "", "only these partitions: 0,3,5-7")
	f.StringArrayVarP(&flags.grep, "grep", "G", nil, "only records that match: k:RE, v:RE, h:NAME=RE, !... (repeatable, all must match)")
	f.IntVar(&flags.tail, "tail", 0, "print the last N records over all partitions, by time, and stop")
	f.DurationVar(&flags.timeout, "timeout", 0, "stop after this time; with fewer records than -n exit with 1")
	return cmd
}

// consumePlan is what the command line of consume asks for.
type consumePlan struct {
	topics     []string
	span       whence.Range
	toEnd      bool
	count      int64 // 0: no limit
	group      string
	partitions []int32 // nil: all
	filter     grep.Filter
	tail       int // 0: no tail
	timeout    time.Duration
	appender   appender
	output     io.Writer
}

// bounded reports whether the plan ends by itself.
func (p *consumePlan) bounded() bool { return p.toEnd || p.span.Bounded }

func (f *consumeFlags) plan(cmd *cobra.Command, topics []string) (*consumePlan, error) {
	plan := &consumePlan{
		topics: topics, toEnd: f.toEnd || f.tail > 0, count: f.count, group: f.group, tail: f.tail, timeout: f.timeout, output: cmd.OutOrStdout(),
	}
	if err := f.check(cmd.Flags().Changed); err != nil {
		return nil, err
	}
	var err error
	if plan.span, err = whence.Parse(f.offset, time.Now()); err != nil {
		return nil, err
	}
	if f.partitions != "" {
		if plan.partitions, err = whence.ParsePartitions(f.partitions); err != nil {
			return nil, err
		}
	}
	for _, expression := range f.grep {
		term, err := grep.Parse(expression)
		if err != nil {
			return nil, err
		}
		plan.filter = append(plan.filter, term)
	}
	plan.appender, err = f.appender(cmd.Flags().Changed("format"))
	return plan, err
}

// check refuses numbers out of range and flags that contradict each other.
func (f *consumeFlags) check(changed func(string) bool) error {
	for _, least := range []struct {
		flag, name string
		tooSmall   bool
	}{
		{"num", "-n", f.count < 1}, {"tail", "--tail", f.tail < 1}, {"timeout", "--timeout", f.timeout <= 0},
	} {
		if changed(least.flag) && least.tooSmall {
			return usage.Errorf("consume: %s must be greater than 0", least.name)
		}
	}
	if changed("group") && f.group == "" {
		return usage.Errorf("consume: -g needs the name of a group")
	}
	if f.tail > tailMax {
		return usage.Errorf("consume: --tail takes at most %d, use -o -%d for more", tailMax, f.tail)
	}
	for _, pair := range []struct{ a, nameA, b, nameB string }{
		{"tail", "--tail", "offset", "-o"}, {"tail", "--tail", "group", "-g"}, {"tail", "--tail", "num", "-n"},
		{"group", "-g", "partitions", "-p"}, {"json", "-J", "format", "-f"},
	} {
		if changed(pair.a) && changed(pair.b) {
			return usage.Errorf("consume: %s and %s exclude each other", pair.nameA, pair.nameB)
		}
	}
	return nil
}

// appender appends one record in its printed form.
type appender func(dst []byte, partition *kgo.FetchPartition, record *kgo.Record) []byte

func (f *consumeFlags) appender(chosen bool) (appender, error) {
	if f.json || f.format == "json" {
		return appendEnvelope, nil
	}
	if chosen && !strings.ContainsAny(f.format, `%\`) {
		return nil, usage.Errorf(`consume: -f: %q names no part of a record (like %%v), for JSON use -J`, f.format)
	}
	formatter, err := kgo.NewRecordFormatter(f.format)
	if err != nil {
		return nil, usage.Errorf("consume: -f: %v in %q (see millrace consume --help)", err, f.format)
	}
	return formatter.AppendPartitionRecord, nil
}

// hasPartition reports whether the plan reads partition p of each topic.
func (p *consumePlan) hasPartition(partition int32) bool {
	return p.partitions == nil || slices.Contains(p.partitions, partition)
}
