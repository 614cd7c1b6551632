package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/millrace/millrace/broker/internal/config"
	"github.com/millrace/millrace/broker/internal/fetchsession"
)

// Broker is a server for Kafka clients. New makes one; its methods are safe for concurrent use.
type Broker struct {
	options Options
	config  *config.Broker
	logger  *slog.Logger
	limits  limits
	apis    apis
	metrics *metrics

	throttles *throttles

	// Set by start, in this order.
	server       *server
	http         *httpServer // nil: none was asked for
	directory    *dataDirectory
	partitions   *registry
	controller   *controller
	groups       *groupCoordinator
	transactions *transactionCoordinator
	gate         transactionGate // transactions, for those who write into one

	maintainer *maintainer
	cleaner    *cleaner
	disk       *diskWatch
	scrubber   *scrubber

	fetchSessions *fetchsession.Cache
	producerIDs   producerIDs
	superseded    superseded

	started chan struct{} // closed when start has returned, or never will be called
	done    chan struct{} // closed when the broker has stopped

	mu struct {
		sync.Mutex
		state       state
		cancelStart context.CancelFunc
		addr        net.Addr
		httpAddr    net.Addr
		err         error // what went wrong while it stopped
	}
}

// state is where a Broker is in its life. It only grows.
type state int8

const (
	created state = iota
	starting
	running
	stopping
	stopped
)

func (s state) String() string {
	return [...]string{"not started", "starting", "running", "stopping", "stopped"}[s]
}

// ErrClosed means that the broker was shut down or closed.
var ErrClosed = errors.New("broker is closed")

// New validates options and returns a broker that has not started. It touches neither disk nor network.
func New(options Options) (*Broker, error) {
	options, err := options.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("broker options: %w", err)
	}
	given, err := options.withListeners()
	if err != nil {
		return nil, fmt.Errorf("broker options: %w", err)
	}
	settings, err := config.ParseBroker(given)
	if err != nil {
		return nil, fmt.Errorf("broker config: %w", err)
	}
	limits, err := limitsOf(settings)
	if err != nil {
		return nil, fmt.Errorf("broker config: %w", err)
	}
	table := apiTable()
	return &Broker{
		options:   options,
		config:    settings,
		logger:    options.Logger,
		limits:    limits,
		apis:      table,
		metrics:   newMetrics(table, int(settings.MillraceMetricsMaxTopics)),
		throttles: newThrottles(settings.QuotaWindowNum, settings.QuotaWindowSizeSeconds),
		started:   make(chan struct{}),
		done:      make(chan struct{}),
	}, nil
}

// Start recovers what is on disk, and returns when clients are served. ctx ends the start, not the broker.
// A broker starts once; one that failed to start holds nothing any more. After Shutdown or Close it is ErrClosed.
func (b *Broker) Start(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := b.beginStart(cancel); err != nil {
		return fmt.Errorf("start broker: %w", err)
	}
	err := b.start(ctx)
	close(b.started)
	if err == nil {
		err = b.beginRunning()
	}
	if err != nil {
		return fmt.Errorf("start broker: %w", errors.Join(err, b.Close()))
	}
	b.logger.Info("broker is ready", "address", b.Addr().String(), "cluster_id", b.directory.clusterID,
		"node_id", b.directory.nodeID)
	return nil
}

// start listens first, so that a port in use is found out before anything is touched; who connects meanwhile waits.
func (b *Broker) start(ctx context.Context) error {
	endpoints, err := b.openListeners(ctx)
	if err != nil {
		return err
	}
	b.server = newServer(b, endpoints)
	if b.options.HTTP != "" {
		httpListener, err := listen(ctx, b.options.HTTP)
		if err != nil {
			return err
		}
		b.http = newHTTPServer(b, httpListener)
		b.http.start()
	}
	if b.directory, err = openDataDirectory(b.options.fileSystem, b.options.DataDir, b.config.NodeId); err != nil {
		return err
	}
	if len(b.config.Ignored) > 0 {
		b.logger.Info("settings of Kafka that are without effect here", "names", b.config.Ignored)
	}
	b.partitions = newRegistry(b)
	b.controller = newController(b)
	b.controller.reconfigured = b.server.reconfigure
	b.producerIDs.reserve = b.controller.nextProducerIDs
	b.groups = newGroupCoordinator(b)
	b.transactions = newTransactionCoordinator(b)
	b.gate = b.transactions
	b.maintainer = newMaintainer(b)
	b.disk = newDiskWatch(b)
	b.cleaner = newCleaner(b)
	b.scrubber = newScrubber(b)
	b.fetchSessions = fetchsession.NewCache(int(b.config.MaxIncrementalFetchSessionCacheSlots), fetchSessionPartitionsMax, fetchSessionEvictMinMs)
	begin := time.Now()
	if err := b.controller.open(ctx, b.directory.clusterID); err != nil {
		return err
	}
	b.metrics.recovery.Store(int64(time.Since(begin)))
	if err := b.groups.open(ctx); err != nil {
		return err
	}
	if err := b.transactions.open(ctx); err != nil {
		return err
	}
	b.maintainer.start()
	if b.config.LogCleanerEnable {
		b.cleaner.start()
	}
	b.disk.start()
	b.scrubber.start()
	b.server.start()
	return nil
}

// Addr is the address that Kafka clients connect to, nil before Start has returned: that of the first listener.
func (b *Broker) Addr() net.Addr {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mu.addr
}

// Listeners are the names and addresses of all listeners: as they are configured before Start has returned, as they are
// open afterwards.
func (b *Broker) Listeners() []Listener {
	var listeners []Listener
	if b.Addr() == nil {
		for _, e := range b.config.Listening() {
			listeners = append(listeners, Listener{Name: e.Name, Address: e.Address()})
		}
		return listeners
	}
	for _, e := range b.server.endpoints {
		listeners = append(listeners, Listener{Name: e.name, Address: e.listener.Addr().String()})
	}
	return listeners
}

// HTTPAddr is the address of /metrics, /healthz and /readyz, nil before Start has returned or if there is none.
func (b *Broker) HTTPAddr() net.Addr {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mu.httpAddr
}

// Wait returns when the broker has stopped. The error is what went wrong while it did.
func (b *Broker) Wait() error {
	<-b.done
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mu.err
}

// Shutdown stops the broker in order: it accepts no more connections, answers what it was asked, makes everything
// durable and marks the data directory as cleanly closed. When ctx ends, connections that are left are cut, and the
// rest goes on as before. It returns when the broker has stopped; further calls wait for the first and return its
// error.
func (b *Broker) Shutdown(ctx context.Context) error { return b.stop(ctx) }

// Close is Shutdown that cuts all connections at once. What was acknowledged is durable all the same.
func (b *Broker) Close() error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return b.stop(ctx)
}

func (b *Broker) stop(ctx context.Context) error {
	first := b.beginStop()
	<-b.started
	if !first {
		// Somebody else stops it. An impatient caller makes that quicker.
		if b.server != nil {
			defer context.AfterFunc(ctx, b.server.abort)()
		}
		return b.Wait()
	}
	err := b.stopAll(ctx)
	b.mu.Lock()
	b.mu.state, b.mu.err = stopped, err
	b.mu.Unlock()
	close(b.done)
	return err
}

// stopAll stops what has been started, in the reverse order.
func (b *Broker) stopAll(ctx context.Context) error {
	var errs []error
	if b.server != nil {
		b.server.drain(ctx)
	}
	if b.scrubber != nil {
		b.scrubber.stop()
	}
	if b.disk != nil {
		b.disk.stop()
	}
	if b.cleaner != nil {
		b.cleaner.stop()
	}
	if b.maintainer != nil {
		b.maintainer.stop()
	}
	if b.transactions != nil {
		b.transactions.close()
	}
	if b.groups != nil {
		b.groups.close()
	}
	if b.partitions != nil {
		errs = append(errs, b.partitions.close())
	}
	if b.controller != nil {
		errs = append(errs, b.controller.close())
	}
	if b.directory != nil {
		if errors.Join(errs...) == nil {
			errs = append(errs, b.directory.markClean())
		}
		errs = append(errs, b.directory.close())
	}
	if b.http != nil {
		errs = append(errs, b.http.close())
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("stop broker: %w", err)
	}
	return nil
}

func (b *Broker) beginStart(cancel context.CancelFunc) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.mu.state >= stopping:
		return ErrClosed
	case b.mu.state != created:
		return fmt.Errorf("broker is %s already", b.mu.state)
	}
	b.mu.state, b.mu.cancelStart = starting, cancel
	return nil
}

func (b *Broker) beginRunning() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.mu.state != starting {
		return ErrClosed
	}
	b.mu.state = running
	b.mu.addr = b.server.endpoints[0].listener.Addr()
	if b.http != nil {
		b.mu.httpAddr = b.http.listener.Addr()
	}
	b.metrics.readySinceMs.Store(time.Now().UnixMilli())
	return nil
}

// beginStop reports whether the caller is the one to stop the broker.
func (b *Broker) beginStop() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch b.mu.state {
	case created:
		close(b.started)
	case starting:
		b.mu.cancelStart()
	case stopping, stopped:
		return false
	}
	b.mu.state = stopping
	return true
}

func (b *Broker) currentState() state {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mu.state
}
