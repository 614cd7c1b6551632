package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/millrace/millrace/cmd/millrace/internal/clientconfig"
	"github.com/millrace/millrace/cmd/millrace/internal/load"
	"github.com/millrace/millrace/cmd/millrace/internal/output"
	"github.com/millrace/millrace/cmd/millrace/internal/usage"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/twmb/franz-go/pkg/kgo"
)

func newBenchCommand(c *connection) *cobra.Command {
	return newParentCommand("bench", "Measure a cluster's throughput and latency",
		newBenchProduceCommand(c),
		newBenchConsumeCommand(c),
		newBenchE2ECommand(c),
	)
}

// Bounds of bench.
const (
	// deliveryMax is how long a record may take before it counts as failed.
	deliveryMax = 30 * time.Second
	// benchDrainMax is how long an interrupted run, or one whose records do not all arrive, waits for those under way.
	benchDrainMax = 10 * time.Second
	// benchOverrunMax is how long a run whose rate is not reached goes on after its end, with what was due before.
	benchOverrunMax = 5 * time.Second
	// benchSizeMax bounds the size of a record.
	benchSizeMax = 64 << 20

	benchDurationDefault = 10 * time.Second
	benchWarmUpDefault   = time.Second
	// benchFill is how many records consume writes first if it is given neither a topic nor a number.
	benchFill = 100_000
)

// benchFlags are what a benchmark is asked for.
type benchFlags struct {
	output    output.Options
	json      bool
	hdr       string
	topic     string
	keep      bool
	records   int64
	duration  time.Duration
	warmUp    time.Duration
	rate      float64
	size      int
	acks      string
	codec     codecValue
	batch     int32
	linger    time.Duration
	producers int
	consumers int
	payload   string
	seed      uint64

	partitions int32
}

// addFlags registers the flags that all benchmarks have.
func (b *benchFlags) addFlags(f *pflag.FlagSet) {
	b.output.AddFlags(f)
	f.BoolVar(&b.json, "json", false, "the same as --format json")
	f.StringVarP(&b.topic, "topic", "t", "", "topic to use; without it one is created, and deleted at the end")
	f.BoolVar(&b.keep, "keep", false, "do not delete the topic that was created")
	f.Int32VarP(&b.partitions, "partitions", "p", 1, "partitions of a topic that is created")
	f.Int64VarP(&b.records, "records", "n", 0, "how many records")
	f.DurationVar(&b.duration, "duration", 0, "for how long, without the warm-up (default 10s unless --records is given)")
	f.IntVar(&b.size, "size", 1024, "bytes of a record's value")
	f.VarP(&b.codec, "compression", "z", "compression: "+strings.Join(clientconfig.Codecs, ", ")+" (default none)")
	f.StringVar(&b.payload, "payload", "random", "what values consist of: "+strings.Join(load.PayloadKinds, ", ")+"; text is compressible")
	f.Uint64Var(&b.seed, "seed", 1, "the same seed gives the same values")
}

// addProduceFlags registers those of benchmarks that measure how records are written.
func (b *benchFlags) addProduceFlags(f *pflag.FlagSet) {
	f.Float64Var(&b.rate, "rate", 1000, "records per second in all, each timed from when it is due; 0: as fast as possible")
	f.DurationVar(&b.warmUp, "warm-up", 0, "what is due within this time is not counted (default 1s unless --records is given)")
	f.StringVar(&b.acks, "acks", "all", "whose acknowledgement a record needs: all, 1 or 0")
	f.Int32Var(&b.batch, "batch", defaultBatchBytes, "largest batch of records, in bytes")
	f.DurationVar(&b.linger, "linger", 0, "how long a batch waits for more records")
	f.IntVar(&b.producers, "producers", 1, "how many clients write")
	f.StringVar(&b.hdr, "hdr", "", "write the percentile distribution of latencies to this file")
}

func (b *benchFlags) addConsumeFlags(f *pflag.FlagSet) {
	f.IntVar(&b.consumers, "consumers", 1, "how many clients read, each its share of the partitions")
}

// check refuses what cannot be measured and fills in what depends on other flags.
func (b *benchFlags) check(cmd *cobra.Command) error {
	name := commandName(cmd)
	if b.json {
		if err := cmd.Flags().Set("format", "json"); err != nil {
			return err
		}
	}
	for _, flag := range []struct {
		name  string
		wrong bool
		rule  string
	}{
		{"--size", b.size < 1 || b.size > benchSizeMax, "from 1 to 67108864"},
		{"--records", b.records < 0, "0 or more"},
		{"--duration", b.duration < 0, "0 or more"},
		{"--warm-up", b.warmUp < 0, "0 or more"},
		{"--rate", b.rate < 0, "0 or more"},
		{"--linger", b.linger < 0, "0 or more"},
		{"--partitions", b.partitions < 1, "1 or more"},
		{"--producers", cmd.Flags().Lookup("producers") != nil && b.producers < 1, "1 or more"},
		{"--consumers", cmd.Flags().Lookup("consumers") != nil && b.consumers < 1, "1 or more"},
		{"--batch", cmd.Flags().Lookup("batch") != nil && b.batch < 1024, "1024 or more"},
	} {
		if flag.wrong {
			return usage.Errorf("%s: %s must be %s", name, flag.name, flag.rule)
		}
	}
	if b.records > 0 && b.duration > 0 {
		return usage.Errorf("%s: --records and --duration exclude each other", name)
	}
	if b.records == 0 && b.duration == 0 {
		b.duration = benchDurationDefault
	}
	if !cmd.Flags().Changed("warm-up") && b.records == 0 {
		b.warmUp = benchWarmUpDefault
	}
	if _, err := load.NewPayloads(b.payload, 1, b.seed); err != nil {
		return fmt.Errorf("%s: --payload: %w", name, usage.Unknown("payload", b.payload, load.PayloadKinds))
	}
	return nil
}

// produceOptions are those of clients that write.
func (b *benchFlags) produceOptions() ([]kgo.Opt, error) {
	options := []kgo.Opt{
		kgo.ProducerLinger(b.linger),
		kgo.ProducerBatchMaxBytes(b.batch),
		kgo.RecordDeliveryTimeout(deliveryMax),
		kgo.AllowIdempotentProduceCancellation(),
	}
	if b.codec != "" {
		options = append(options, kgo.ProducerBatchCompression(clientconfig.Codec(string(b.codec))))
	}
	acks, err := clientconfig.Acks(b.acks)
	if err != nil {
		return nil, usage.Errorf("--acks: %v", err)
	}
	options = append(options, kgo.RequiredAcks(acks))
	if acks != kgo.AllISRAcks() {
		options = append(options, kgo.DisableIdempotentWrite())
	}
	return options, nil
}
