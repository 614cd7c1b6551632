package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/millrace/millrace/cmd/millrace/internal/clientconfig"
	"github.com/millrace/millrace/cmd/millrace/internal/usage"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Bounds of produce.
const (
	// stallMax is how long nothing may be acknowledged before what waits counts as failed. (The
	// client's own limit counts from a record's timestamp, which -J takes from the input.)
	stallMax = 30 * time.Second
	// drainMax is how long an interrupted produce waits for what it has read.
	drainMax = 10 * time.Second
	// bufferedBytesMax bounds the records that wait for the broker; reading stops meanwhile.
	bufferedBytesMax = 64 << 20
	// failureLinesMax bounds the failures that are told one by one; the rest is counted.
	failureLinesMax = 20
)

type produceFlags struct {
	format       string
	json         bool
	delimiter    string
	keyDelimiter string
	key          string
	hasKey       bool
	headers      []string
	partition    int32
	codec        codecValue
	acks         string
	rate         float64
	tombstone    bool
}

func newProduceCommand(c *connection) *cobra.Command {
	var flags produceFlags
	cmd := &cobra.Command{
		Use:   "produce TOPIC [FILE...]",
		Short: "Write records to a topic",
		Long: `Write records to TOPIC from files, or from stdin if there are none ("-" is stdin too).

A line is a record's value, unless -f, -K, -D or -J says otherwise. -f takes the verbs of consume:
%v value, %k key, %h{%k %v} headers, %p partition, %d timestamp, with %V, %K, %H for sizes.
-J reads the lines that consume -J writes; "partition" in them wins over the key.`,
		Example: `  echo hello | millrace produce greetings
  millrace produce clicks -f '%k %v\n' clicks.txt
  millrace consume clicks -J -e | millrace produce copy -J`,
		Args:              atLeastOne("TOPIC"),
		ValidArgsFunction: c.completeTopicThenFiles(),
		RunE: func(cmd *cobra.Command, args []string) error {
			flags.hasKey = cmd.Flags().Changed("key")
			plan, err := flags.plan(args[0], args[1:])
			if err != nil {
				return err
			}
			return plan.run(cmd, c)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&flags.format, "format", "f", `%v\n`, "how to read records")
	f.BoolVarP(&flags.json, "json", "J", false, "read records as JSON lines, as consume -J writes them")
	f.StringVarP(&flags.keyDelimiter, "key-delimiter", "K", "", "a line is key DELIM value; without DELIM in it, only a value")
	f.StringVarP(&flags.delimiter, "delimiter", "D", `\n`, "what separates records, one byte")
	f.StringVarP(&flags.key, "key", "k", "", "key of every record that has none")
	f.StringArrayVarP(&flags.headers, "header", "H", nil, "header of every record, NAME=VALUE (repeatable)")
	f.Int32VarP(&flags.partition, "partition", "p", -1, "partition of every record, -1 lets the key decide")
	f.VarP(&flags.codec, "compression", "z", "compression: "+strings.Join(clientconfig.Codecs, ", ")+" (default none)")
	f.StringVar(&flags.acks, "acks", "", "whose acknowledgement a record needs: all, 1 or 0 (default all)")
	f.Float64Var(&flags.rate, "rate", 0, "send at most this many records per second (default: no limit)")
	f.BoolVarP(&flags.tombstone, "tombstone", "Z", false, "an empty value is a tombstone (null)")
	return cmd
}

// producePlan is what the command line of produce asks for.
type producePlan struct {
	topic   string
	files   []string
	open    func(io.Reader) recordSource
	key     []byte // nil: none
	headers []kgo.RecordHeader
	// partition of every record, -1 for what the record or its key says
	partition int32
	options   []kgo.Opt // that flags ask for
	rate      float64   // records per second, 0: no limit
	tombstone bool
}

func (f *produceFlags) plan(topic string, files []string) (*producePlan, error) {
	plan := &producePlan{topic: topic, files: files, partition: f.partition, rate: f.rate, tombstone: f.tombstone}
	if f.partition < -1 {
		return nil, usage.Errorf("produce: -p: %d is no partition (0 or more, -1 lets the key decide)", f.partition)
	}
	if f.rate < 0 {
		return nil, usage.Errorf("produce: --rate must not be negative")
	}
	if f.codec != "" {
		plan.options = append(plan.options, kgo.ProducerBatchCompression(clientconfig.Codec(string(f.codec))))
	}
	if f.acks != "" {
		acks, err := clientconfig.Acks(f.acks)
		if err != nil {
			return nil, usage.Errorf("produce: --acks: %v", err)
		}
		plan.options = append(plan.options, kgo.RequiredAcks(acks))
		if acks != kgo.AllISRAcks() {
			plan.options = append(plan.options, kgo.DisableIdempotentWrite())
		}
	}
	if f.hasKey {
		plan.key = []byte(f.key)
	}
	for _, pair := range f.headers {
		at := strings.IndexAny(pair, "=:")
		if at < 1 {
			return nil, usage.Errorf("produce: -H: %q is not NAME=VALUE", pair)
		}
		plan.headers = append(plan.headers, kgo.RecordHeader{Key: pair[:at], Value: []byte(pair[at+1:])})
	}
	var err error
	plan.open, err = f.source()
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		plan.files = []string{"-"}
	}
	return plan, nil
}

// source chooses how input becomes records.
func (f *produceFlags) source() (func(io.Reader) recordSource, error) {
	formatted := f.format != `%v\n`
	if f.format == "json" {
		f.json, formatted = true, false
	}
	switch {
	case f.json && formatted, f.json && f.keyDelimiter != "", formatted && f.keyDelimiter != "":
		return nil, usage.Errorf("produce: -f, -J and -K exclude each other")
	case (f.json || formatted) && f.delimiter != `\n`:
		return nil, usage.Errorf("produce: -D has no place with -f and -J, which say themselves where a record ends")
	case f.json && f.tombstone:
		return nil, usage.Errorf(`produce: -Z has no place with -J, which writes a tombstone as "value":null`)
	case f.json:
		return newEnvelopeSource, nil
	case formatted:
		if !strings.Contains(f.format, "%") {
			return nil, usage.Errorf("produce: -f: %q names no part of a record (like %%v)", f.format)
		}
		if _, err := kgo.NewRecordReader(strings.NewReader(""), f.format); err != nil {
			return nil, usage.Errorf("produce: -f: %v in %q", err, f.format)
		}
		return func(r io.Reader) recordSource { return newFormatSource(r, f.format) }, nil
	}
	end := unescapeDelimiter(f.delimiter)
	if len(end) != 1 {
		return nil, usage.Errorf("produce: -D: %q is not one byte (use -f for more)", f.delimiter)
	}
	delimiter := []byte(unescapeDelimiter(f.keyDelimiter))
	return func(r io.Reader) recordSource { return newLineSource(r, end[0], delimiter) }, nil
}

func unescapeDelimiter(s string) string {
	return strings.NewReplacer(`\\`, `\`, `\t`, "\t", `\n`, "\n", `\r`, "\r", `\0`, "\x00").Replace(s)
}

func (p *producePlan) run(cmd *cobra.Command, c *connection) error {
	ctx := cmd.Context()
	inputs, err := openInputs(p.files, cmd.InOrStdin())
	if err != nil {
		return err
	}
	defer inputs.close()
	target, err := findTarget(ctx, c, p.topic, notes(cmd))
	if err != nil {
		return err
	}
	if p.partition >= target.partitions {
		return target.noPartition(p.partition)
	}
	options := append(p.options,
		kgo.RecordPartitioner(explicitPartitioner{kgo.StickyKeyPartitioner(nil)}),
		kgo.ProducerBatchMaxBytes(target.batchBytesMax),
		kgo.MaxBufferedBytes(bufferedBytesMax),
		kgo.AllowIdempotentProduceCancellation(),
		kgo.WithHooks(newLossWatch(cmd.ErrOrStderr(), false, nil)),
	)
	client, err := c.open(ctx, options...)
	if err != nil {
		return err
	}
	defer client.Close()
	if inputs.terminal {
		fmt.Fprintln(notes(cmd), "reading records from the terminal, Ctrl-D ends")
	}
	run := &produceRun{plan: p, target: target, client: client, stderr: cmd.ErrOrStderr(), notes: notes(cmd)}
	return run.all(ctx, inputs)
}

// target is the topic that records go to.
type target struct {
	topic         string
	partitions    int32
	batchBytesMax int32
}

func (t *target) noPartition(partition int32) error {
	return fmt.Errorf("topic %q has no partition %d, only 0 to %d", t.topic, partition, t.partitions-1)
}

// findTarget looks the topic up. One that does not exist is created if the broker does such things
// for producers, with a note, because it may be a slip of the keyboard.
func findTarget(ctx context.Context, c *connection, topic string, notes io.Writer) (*target, error) {
	var found *target
	err := c.bounded(ctx, func(ctx context.Context, raw *kgo.Client) error {
		client := kadm.NewClient(raw)
		topics, missing, err := findTopics(ctx, client, []string{topic})
		if err != nil {
			return err
		}
		detail := topics[topic]
		if missing[topic] != nil {
			if detail, err = autoCreate(ctx, raw, topic); err != nil {
				return errors.Join(missing[topic], err)
			}
			if detail.Topic == "" {
				return fmt.Errorf("%w; create it with `millrace topic create`", missing[topic])
			}
			fmt.Fprintf(notes, "topic %q is new, created by the broker\n", topic)
		}
		found = &target{topic: topic, partitions: int32(len(detail.Partitions)), batchBytesMax: batchBytesMax(ctx, client, topic)}
		return nil
	})
	return found, err
}
