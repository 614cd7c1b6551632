package main

import (
	"io"
	"slices"
	"time"

	"github.com/millrace/millrace/cmd/millrace/internal/usage"
	"github.com/millrace/millrace/cmd/millrace/internal/whence"
	"github.com/spf13/cobra"
)

type consumeFlags struct {
	offset     string
	count      int64
	toEnd      bool
	format     string
	json       bool
	pretty     bool
	raw        bool
	delimiter  string
	keyEnd     string
	color      string
	group      string
	partitions string
	selectFlags
	tail    int
	timeout time.Duration
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

--jq evaluates an expression of jq's language on that object and prints what it gives, one line of
JSON per result; nothing for a record without a result. -r prints strings as they are. With -f, -K or
-D the expression only selects: null and false leave a record out. A record takes at most a second.

With -g the group's committed offsets say where to begin, -o where there are none yet. An offset is
committed after its record was printed, so a crash prints a record again rather than never.`,
		Example: `  millrace consume clicks -o -10 -e
  millrace consume clicks -f '%p:%o %d{go#15:04:05#} %k %v\n'
  millrace consume orders -G v:refund -G '!h:test' -J
  millrace consume orders --jq 'select(.value|fromjson|.total > 100)' | millrace produce large -J
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
	f.BoolVar(&flags.pretty, "pretty", false, "print one indented JSON object per record")
	f.BoolVarP(&flags.raw, "raw", "r", false, "print values and nothing between them; with --jq, strings without quotes")
	f.StringVarP(&flags.keyEnd, "key-delimiter", "K", "", "print the key and this before the value")
	f.StringVarP(&flags.delimiter, "delimiter", "D", `\n`, "print this after each record")
	f.StringVar(&flags.color, "color", "auto", "colour JSON: auto (on a terminal, unless NO_COLOR is set), always or never")
	flags.addFlags(f, "consume")
	f.StringVarP(&flags.group, "group", "g", "", "consume as a member of a group and commit offsets")
	f.StringVarP(&flags.partitions, "partitions", "p", "", "only these partitions: 0,3,5-7")
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
	wanted     recordFilter
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
	changed := cmd.Flags().Changed
	if plan.wanted, err = f.recordFilter("consume", changed); err != nil {
		return nil, err
	}
	plan.wanted.selects = changed("format") || changed("key-delimiter") || changed("delimiter")
	plan.appender, err = f.appender(changed, isTerminal(plan.output))
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
		{"group", "-g", "partitions", "-p"}, {"json", "-J", "format", "-f"}, {"pretty", "--pretty", "format", "-f"},
		{"raw", "-r", "format", "-f"}, {"raw", "-r", "json", "-J"}, {"raw", "-r", "pretty", "--pretty"}, {"raw", "-r", "delimiter", "-D"},
		{"raw", "-r", "key-delimiter", "-K"}, {"delimiter", "-D", "format", "-f"}, {"delimiter", "-D", "json", "-J"},
		{"delimiter", "-D", "pretty", "--pretty"}, {"key-delimiter", "-K", "format", "-f"}, {"key-delimiter", "-K", "json", "-J"},
		{"key-delimiter", "-K", "pretty", "--pretty"},
	} {
		if changed(pair.a) && changed(pair.b) {
			return usage.Errorf("consume: %s and %s exclude each other", pair.nameA, pair.nameB)
		}
	}
	return nil
}

// hasPartition reports whether the plan reads partition p of each topic.
func (p *consumePlan) hasPartition(partition int32) bool {
	return p.partitions == nil || slices.Contains(p.partitions, partition)
}
