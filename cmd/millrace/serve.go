package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/millrace/millrace/broker"
	"github.com/millrace/millrace/cmd/millrace/internal/settings"
	"github.com/millrace/millrace/cmd/millrace/internal/usage"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

type serveFlags struct {
	file            string
	dataDir         string
	listen          string
	http            string
	inMemory        bool
	dev             bool
	pairs           []string
	topics          []string
	logLevel        levelValue
	shutdownTimeout time.Duration
	exitWithParent  bool
	check           bool
	debug           bool
}

func newServeCommand() *cobra.Command {
	var flags serveFlags
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the broker",
		Long: `Run the broker until SIGTERM or Ctrl-C, which drain it; a second signal ends it at once.

Settings have Kafka's names. Later sources win: defaults, the file of -c (YAML or server.properties),
the environment (MILLRACE_LOG_SEGMENT_BYTES or KAFKA_LOG_SEGMENT_BYTES for log.segment.bytes), -X, flags.
MILLRACE_DATA_DIR, MILLRACE_LISTEN, MILLRACE_HTTP and MILLRACE_LOG_LEVEL stand for those flags.`,
		Example: `  millrace serve --data-dir ./data
  millrace serve --dev --topic clicks:6
  millrace serve --data-dir ./data --listen 0.0.0.0:9092 -X num.partitions=3 -X log.retention.hours=24`,
		Args: noArgument,
		RunE: func(cmd *cobra.Command, _ []string) error {
			plan, err := flags.plan(cmd.Flags().Changed, os.Environ())
			if err != nil {
				return err
			}
			if flags.check {
				return plan.check(cmd.OutOrStdout())
			}
			return plan.run(cmd.Context(), cmd.InOrStdin(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.StringVarP(&flags.file, "config", "c", "", "file with settings: *.yaml, *.yml or Java properties")
	f.StringVar(&flags.dataDir, "data-dir", "", "directory that everything is kept in")
	f.StringVar(&flags.listen, "listen", "", "address for Kafka clients, port 0 takes a free one (default 127.0.0.1:9092)")
	f.StringVar(&flags.http, "http", defaultHTTP, `address of /metrics, /healthz, /readyz and /version, or "none"`)
	f.BoolVar(&flags.inMemory, "in-memory", false, "keep everything in memory and lose it at the end")
	f.BoolVar(&flags.dev, "dev", false, "keep everything in a temporary directory that is removed at the end")
	f.StringArrayVarP(&flags.pairs, "set", "X", nil, "setting, KEY=VALUE (repeatable)")
	f.StringArrayVar(&flags.topics, "topic", nil, "create a topic at the start unless it exists, NAME[:PARTITIONS] (repeatable)")
	flags.logLevel = "info"
	f.Var(&flags.logLevel, "log-level", "debug, info, warn or error")
	f.DurationVar(&flags.shutdownTimeout, "shutdown-timeout", 30*time.Second, "how long a shutdown waits for clients")
	f.BoolVar(&flags.debug, "debug", false, "serve /debug/pprof and /debug/flight on the address of --http, for whoever reaches it")
	f.BoolVar(&flags.check, "check", false, "validate the configuration and do not start")
	f.BoolVar(&flags.exitWithParent, "exit-with-parent", false, "shut down at the end of stdin")
	f.Lookup("exit-with-parent").Hidden = true
	return cmd
}

// check validates the configuration as a start does, and touches nothing.
func (p *servePlan) check(stdout io.Writer) error {
	if _, err := broker.New(p.options); err != nil {
		return usage.Errorf("serve: %v", p.settings.Explain(err))
	}
	_, err := fmt.Fprintln(stdout, "the configuration is valid")
	return err
}

// run serves until ctx ends or the broker fails.
func (p *servePlan) run(ctx context.Context, stdin io.Reader, stderr io.Writer) error {
	begin := time.Now()
	if p.temporary {
		dir, err := os.MkdirTemp("", "millrace-dev-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		p.options.DataDir = dir
	}
	p.options.LogLevel = new(slog.LevelVar)
	p.options.LogLevel.Set(p.level)
	logger := slog.New(newLogHandler(stderr, p.options.LogLevel))
	p.options.Logger = logger
	if !isTerminal(stderr) {
		signal.Ignore(syscall.SIGHUP) // there is nothing to reload; at a terminal that closes, serve ends with it
	}
	limitMemory(logger, os.DirFS("/"))
	b, err := broker.New(p.options)
	if err != nil {
		return usage.Errorf("serve: %v", p.settings.Explain(err))
	}
	if err := b.Start(ctx); err != nil {
		if ctx.Err() != nil {
			return nil // asked to stop while starting
		}
		return fmt.Errorf("serve: %w", explainStart(p, err))
	}
	found := b.Recovered()
	if err := createTopics(ctx, b.Addr(), p.topics); err != nil {
		return errors.Join(err, b.Close())
	}
	p.banner(stderr, b, found, time.Since(begin))
	p.notify(logger, stateReady)
	if p.exitWithParent {
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		go func() { // ends with the process: a read of stdin cannot be interrupted
			defer cancel()
			_, _ = io.Copy(io.Discard, stdin)
		}()
	}
	return p.serveUntil(ctx, b, logger)
}

// notify tells the service manager, if there is one. That it cannot be told is no reason to stop.
func (p *servePlan) notify(logger *slog.Logger, state string) {
	if err := notify(os.Getenv("NOTIFY_SOCKET"), state); err != nil {
		logger.Warn("service manager not notified", "err", err)
	}
}

// serveUntil waits for the end of ctx, and shuts down, or for the broker to fail.
func (p *servePlan) serveUntil(ctx context.Context, b *broker.Broker, logger *slog.Logger) error {
	stopped := make(chan error, 1)
	go func() { stopped <- b.Wait() }()
	select {
	case err := <-stopped:
		if err == nil {
			err = errors.New("it stopped")
		}
		return fmt.Errorf("the broker failed: %w", err)
	case <-ctx.Done():
	}
	p.notify(logger, stateStopping)
	drain, cancel := context.WithTimeout(context.Background(), p.shutdownTimeout)
	defer cancel()
	err := b.Shutdown(drain)
	<-stopped
	if err != nil {
		return fmt.Errorf("shut down: %w", err)
	}
	return nil
}

// explainStart adds what to do about the usual reasons why a broker does not start.
func explainStart(p *servePlan, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE) && p.options.HTTP != "" && strings.Contains(err.Error(), p.options.HTTP):
		return fmt.Errorf("%w; choose another address with --http, or --http none", err)
	case errors.Is(err, syscall.EADDRINUSE):
		where := "with --listen"
		if source := p.settings.Source(listenersKey); source.Kind != settings.Unset {
			where = "in listeners, from " + source.Text
		}
		return fmt.Errorf("%w; choose another address %s", err, where)
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EROFS):
		return fmt.Errorf("%w; choose another directory with --data-dir", err)
	}
	return err
}

// bannerKafka begins the line of the banner that tells the address; the demo reads it.
const bannerKafka = "kafka"

// banner tells what a person needs to know, in at most 8 lines.
func (p *servePlan) banner(stderr io.Writer, b *broker.Broker, found broker.Recovered, took time.Duration) {
	var text strings.Builder // written at once, so that no log line comes between
	line := func(name, value string) { fmt.Fprintf(&text, "  %-10s %s\n", name, value) }
	fmt.Fprintf(&text, "millrace %s is ready after %v\n", thisRelease().Release, took.Round(time.Millisecond))
	line(bannerKafka, listeningText(b))
	if address := b.HTTPAddr(); address != nil {
		line("http", fmt.Sprintf("http://%s (/metrics /healthz /readyz)", address))
	}
	switch {
	case p.options.InMemory:
		line("data", "in memory, gone at the end")
	case p.temporary:
		line("data", p.options.DataDir+", removed at the end")
	default:
		line("data", p.options.DataDir)
	}
	if !p.options.InMemory {
		line("recovered", recoveredText(found))
	}
	if found.Offline > 0 {
		line("damaged", plural(found.Offline, "partition")+" offline, the log says why")
	}
	_, _ = io.WriteString(stderr, text.String())
}

// listeningText is the address of the only listener, or the addresses of all with their names.
func listeningText(b *broker.Broker) string {
	listeners := b.Listeners()
	if len(listeners) == 1 {
		return listeners[0].Address
	}
	var texts []string
	for _, l := range listeners {
		texts = append(texts, l.Name+" "+l.Address)
	}
	return strings.Join(texts, ", ")
}

func recoveredText(found broker.Recovered) string {
	text := plural(found.Partitions, "partition")
	if found.ScannedBytes == 0 && found.TornBytes == 0 {
		return text + ", nothing to repair"
	}
	return fmt.Sprintf("%s, %d bytes checked, %d unacknowledged bytes cut off", text, found.ScannedBytes, found.TornBytes)
}

// createTopics creates the topics of --topic that do not exist, as any client would, but for the address: whatever
// clients are told, this process need not be able to connect to it.
func createTopics(ctx context.Context, address net.Addr, topics []startTopic) error {
	if len(topics) == 0 {
		return nil
	}
	local := dialable(address)
	c := connection{brokers: []string{local}}
	client, err := c.open(ctx, kgo.RetryTimeout(requestMax), kgo.Dialer(func(ctx context.Context, network, _ string) (net.Conn, error) {
		var dialer net.Dialer
		return dialer.DialContext(ctx, network, local)
	}))
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, requestMax)
	defer cancel()
	for _, topic := range topics {
		response, err := kadm.NewClient(client).CreateTopic(ctx, topic.partitions, -1, nil, topic.name)
		if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
			return fmt.Errorf("--topic %s: %w", topic.name, brokerError(err, response.ErrMessage))
		}
	}
	return nil
}

// dialable is the listening address as this host can dial it, whether or not it can resolve names.
func dialable(address net.Addr) string {
	host, port, err := net.SplitHostPort(address.String())
	if ip := net.ParseIP(host); err == nil && (host == "" || ip != nil && ip.IsUnspecified()) {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return address.String()
}
