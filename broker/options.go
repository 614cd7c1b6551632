package broker

import (
	"errors"
	"fmt"
	"log/slog"
	"net"

	"github.com/millrace/millrace/internal/disk"
)

// Options says what a Broker serves and where it keeps it. The zero value is not valid: either DataDir or InMemory
// has to be set.
type Options struct {
	// DataDir is the directory that everything is kept in. It is created if need be, and belongs to one process at a
	// time.
	DataDir string
	// InMemory keeps everything in memory: it is gone when the broker is.
	InMemory bool

	// Listen is the TCP address for Kafka clients, "127.0.0.1:9092" if empty and the setting listeners says nothing
	// else. Port 0 takes any free one; Addr tells which.
	Listen string
	// Listener takes the place of Listen: the broker accepts from it and closes it.
	Listener net.Listener
	// Listeners take the place of both, where clients come in by several ways and are told different addresses. The
	// setting listeners in Config does the same; Listen, Listener and Listeners win over it.
	Listeners []Listener
	// HTTP is the TCP address of /metrics, /healthz, /readyz and /version. Empty: none.
	HTTP string

	// Debug adds /debug/pprof and /debug/flight to the pages of HTTP. They need no password: whoever reaches the address
	// can profile the process.
	Debug bool

	// Config holds settings by their Kafka names ("num.partitions": "4"). Nil is all defaults.
	Config map[string]string
	// ConfigSources says where settings in Config come from ("server.properties line 7"), by their names. DescribeConfigs
	// tells it after the documentation. May be nil.
	ConfigSources map[string]string

	// Logger gets what the broker has to say. Nil discards it.
	Logger *slog.Logger
	// LogLevel is the level of Logger's handler, if clients may change it (the level of the logger "root" in Kafka's
	// tools). Nil: they may not.
	LogLevel *slog.LevelVar

	fileSystem disk.FS // tests: instead of what DataDir or InMemory choose
}

const defaultListen = "127.0.0.1:9092"

// withDefaults validates o and fills in what was left out.
func (o Options) withDefaults() (Options, error) {
	if o.DataDir == "" && !o.InMemory {
		return o, errors.New("one of DataDir and InMemory has to be set")
	}
	if o.DataDir != "" && o.InMemory {
		return o, fmt.Errorf("only one of DataDir %q and InMemory can be set", o.DataDir)
	}
	if o.Listener != nil && o.Listen != "" {
		return o, fmt.Errorf("only one of Listen %q and Listener can be set", o.Listen)
	}
	if len(o.Listeners) > 0 && (o.Listener != nil || o.Listen != "") {
		return o, errors.New("only one of Listen, Listener and Listeners can be set")
	}
	switch name := o.onlyListener(); {
	case o.Listener != nil || o.Listen != "":
		o.Listeners = []Listener{{Name: name, Address: o.Listen, Listener: o.Listener}}
	case len(o.Listeners) == 0 && o.Config["listeners"] == "" && name != plaintextListener:
		o.Listeners = []Listener{{Name: name, Address: defaultListen}}
	}
	for _, l := range o.Listeners {
		if l.Listener != nil {
			continue
		}
		if err := checkAddress(l.Address); err != nil {
			return o, fmt.Errorf("option Listen %q: %w", l.Address, err)
		}
	}
	if o.HTTP != "" {
		if err := checkAddress(o.HTTP); err != nil {
			return o, fmt.Errorf("option HTTP %q: %w", o.HTTP, err)
		}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	switch {
	case o.fileSystem != nil:
	case o.InMemory:
		o.fileSystem = disk.NewMem()
	default:
		o.fileSystem = disk.OS()
	}
	if o.InMemory {
		o.DataDir = memoryDir
	}
	return o, nil
}

// memoryDir is the data directory of a broker in memory.
const memoryDir = "/data"

func checkAddress(address string) error {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return errors.New("not of the form host:port")
	}
	if _, err := net.LookupPort("tcp", port); err != nil {
		return fmt.Errorf("no such port %q", port)
	}
	return nil
}
