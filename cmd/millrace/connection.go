package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/millrace/millrace/cmd/millrace/internal/clientconfig"
	"github.com/millrace/millrace/cmd/millrace/internal/profiles"
	"github.com/millrace/millrace/cmd/millrace/internal/settings"
	"github.com/millrace/millrace/cmd/millrace/internal/usage"
	"github.com/spf13/pflag"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// connection are the flags that say which brokers to reach, and how.
type connection struct {
	brokers []string
	pairs   []string
	file    string
	profile string
	apart   bool // a second cluster: the environment and the profile in use are about the first
}

const (
	defaultBroker     = "localhost:9092"
	defaultBrokerPort = "9092"
	// reachMax bounds how long a command tries to reach a broker before it gives up.
	reachMax = 5 * time.Second
	// requestMax bounds one administrative request, retries included.
	requestMax = 20 * time.Second
)

func (c *connection) addFlags(flags *pflag.FlagSet) {
	flags.StringSliceVarP(&c.brokers, "brokers", "b", nil, "brokers to begin with, HOST[:PORT],... (env MILLRACE_BROKERS, default "+defaultBroker+")")
	flags.StringArrayVarP(&c.pairs, "set", "X", nil, "client setting, KEY=VALUE, by its name in librdkafka or Java (repeatable)")
	flags.StringVarP(&c.file, "client-config", "F", "", "file with client settings: *.yaml, *.yml or Java properties")
	flags.StringVar(&c.profile, "profile", "", "take client settings from this profile (env MILLRACE_PROFILE)")
	flags.StringSliceVarP(&c.brokers, "bootstrap-server", "B", nil, "")
	for _, alias := range []string{"bootstrap-server"} {
		flags.Lookup(alias).Hidden = true
	}
}

// config gathers the client's settings. -X wins over the environment, that over the profile, and that
// over the file of -F.
func (c *connection) config() (*clientconfig.Config, error) {
	config := &clientconfig.Config{}
	if err := c.addFile(config); err != nil {
		return nil, err
	}
	if err := c.addProfile(config); err != nil {
		return nil, err
	}
	if err := c.addEnvironment(config); err != nil {
		return nil, err
	}
	return config, c.addPairs(config)
}

func (c *connection) addEnvironment(config *clientconfig.Config) error {
	if c.apart {
		return nil
	}
	if err := config.SetEnvironment(os.Environ()); err != nil {
		return err
	}
	if env := os.Getenv("MILLRACE_BROKERS"); env != "" {
		return config.Set("bootstrap.servers", env, "MILLRACE_BROKERS")
	}
	return nil
}

func (c *connection) addFile(config *clientconfig.Config) error {
	if c.file == "" {
		return nil
	}
	var read settings.Settings
	if err := read.ReadFile(c.file); err != nil {
		return usage.Errorf("-F: %v", err)
	}
	return config.SetAll(&read)
}

// addProfile adds the profile of the flag, of the environment, or the one in use.
func (c *connection) addProfile(config *clientconfig.Config) error {
	name := c.profile
	if !c.apart {
		name = cmp.Or(name, os.Getenv("MILLRACE_PROFILE"))
	}
	store, err := profiles.Open()
	if err == nil && name == "" && !c.apart {
		name, err = store.Current()
	}
	if name == "" {
		return nil // also without a home directory
	}
	if err != nil {
		return err
	}
	return store.Read(name, config)
}

func (c *connection) addPairs(config *clientconfig.Config) error {
	source := "-X"
	if c.apart {
		source = "--to-set"
	}
	for _, pair := range c.pairs {
		key, value, err := settings.ParsePair(source, pair)
		if err == nil {
			err = config.Set(key, value, source)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// addresses returns where to dial, from the flag, the settings or the default.
func (c *connection) addresses(config *clientconfig.Config) ([]string, error) {
	list, source := c.brokers, "-b"
	if len(list) == 0 {
		given, from := config.Brokers()
		if given == "" && c.apart {
			return nil, usage.Errorf("no brokers of the destination's cluster are named, add --to-brokers")
		}
		list, source = strings.Split(cmp.Or(given, defaultBroker), ","), from
	}
	addresses := make([]string, 0, len(list))
	for _, item := range list {
		address, err := withPort(strings.TrimSpace(item))
		if err != nil {
			return nil, usage.Errorf("%s: %q is not HOST[:PORT]: %v", source, item, err)
		}
		addresses = append(addresses, address)
	}
	return addresses, nil
}

func withPort(address string) (string, error) {
	if address == "" {
		return "", errors.New("it is empty")
	}
	if strings.Contains(address, "://") || strings.ContainsAny(address, " /") {
		return "", errors.New("leave out the protocol and the path")
	}
	if !strings.Contains(address, ":") || strings.HasPrefix(address, "[") && strings.HasSuffix(address, "]") {
		return address + ":" + defaultBrokerPort, nil
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", errors.New("the colons do not fit (write [ADDRESS]:PORT for IPv6)")
	}
	if _, err := net.LookupPort("tcp", port); err != nil || host == "" {
		return "", errors.New("no such host or port")
	}
	return address, nil
}

// target returns where to dial and how. An error is a *usage.Error.
func (c *connection) target() (addresses []string, options []kgo.Opt, err error) {
	config, err := c.config()
	if err != nil {
		return nil, nil, err
	}
	if addresses, err = c.addresses(config); err != nil {
		return nil, nil, err
	}
	options, err = config.Options()
	return addresses, options, err
}

// options returns what every client of a command has, with where it begins to look for brokers.
func (c *connection) options() (addresses []string, options []kgo.Opt, err error) {
	addresses, configured, err := c.target()
	if err != nil {
		return nil, nil, err
	}
	base := []kgo.Opt{
		kgo.SeedBrokers(addresses...),
		kgo.ClientID("millrace-cli"),
		kgo.DialTimeout(reachMax),
		kgo.MetadataMinAge(250 * time.Millisecond),
		kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.AlwaysRetryEOF(), // a broker that is killed closes connections in any state
	}
	return addresses, append(base, configured...), nil
}

// open returns a client that has reached a broker. The caller closes it.
func (c *connection) open(ctx context.Context, options ...kgo.Opt) (*kgo.Client, error) {
	addresses, base, err := c.options()
	if err != nil {
		return nil, err
	}
	reach, cancel := context.WithTimeout(ctx, reachMax)
	defer cancel()
	client, err := kgo.NewClient(append(base, options...)...)
	if err != nil {
		return nil, err
	}
	if err := ping(reach, client); err != nil {
		client.Close()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("cannot reach a broker at %s: %s; start one with `millrace serve` or name another with -b", strings.Join(addresses, ","), reason(err))
	}
	return client, nil
}

// A broker that is being killed or started may close a connection or two before it answers; what
// closes more is no broker.
const (
	pingTries = 3
	pingPause = 250 * time.Millisecond
)

// ping asks a broker for anything.
func ping(ctx context.Context, client *kgo.Client) (err error) {
	for range pingTries {
		if err = client.Ping(ctx); !closed(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pingPause):
		}
	}
	return err
}

// closed reports whether err is that the other side closed the connection.
func closed(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET)
}

// admin opens a client for one administrative command and bounds its requests: the context given to
// body ends after requestMax.
func (c *connection) admin(ctx context.Context, body func(context.Context, *kadm.Client) error) error {
	return c.bounded(ctx, func(ctx context.Context, client *kgo.Client) error { return body(ctx, kadm.NewClient(client)) })
}

// bounded is admin with the client that can send any request.
func (c *connection) bounded(ctx context.Context, body func(context.Context, *kgo.Client) error) error {
	client, err := c.open(ctx, kgo.RetryTimeout(requestMax))
	if err != nil {
		return err
	}
	defer client.Close()
	bounded, cancel := context.WithTimeout(ctx, requestMax)
	defer cancel()
	err = body(bounded, client)
	if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("the broker did not answer within %v: %w", requestMax, err)
	}
	return err
}

// reason is the part of a connection error that a person can act on.
func reason(err error) string {
	var dns *net.DNSError
	var operation *net.OpError
	var notTLS tls.RecordHeaderError
	switch {
	case errors.As(err, &dns):
		return "no such host " + dns.Name
	case errors.As(err, &notTLS):
		return "it does not speak TLS"
	case errors.As(err, &operation) && operation.Op == "dial":
		if operation.Timeout() {
			return "no answer within " + reachMax.String()
		}
		var system *os.SyscallError
		if errors.As(err, &system) {
			return system.Err.Error()
		}
		return operation.Err.Error()
	case errors.Is(err, context.DeadlineExceeded):
		return "it accepts connections but did not answer within " + reachMax.String()
	case closed(err):
		return "it closes the connection, is it a Kafka port without TLS?"
	}
	return oneLine(err)
}
