package broker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"strings"
	"syscall"

	"github.com/millrace/millrace/broker/internal/config"
)

// Listener is one way in for clients.
type Listener struct {
	// Name is what the settings advertised.listeners and listener.security.protocol.map call it: letters, digits,
	// dots, dashes and underscores.
	Name string
	// Address is the TCP address to listen on, as in Options.Listen.
	Address string
	// Listener takes the place of Address: the broker accepts from it and closes it.
	Listener net.Listener
}

// plaintextListener is the name of the listener of Options.Listen and Options.Listener.
const plaintextListener = "PLAINTEXT"

// withListeners returns the settings with listeners saying what o says, if it says something: so that there is one
// place that validates listeners and shows them.
func (o *Options) withListeners() (map[string]string, error) {
	settings := maps.Clone(o.Config)
	if len(o.Listeners) == 0 {
		return settings, nil
	}
	if settings == nil {
		settings = map[string]string{}
	}
	endpoints := make([]string, len(o.Listeners))
	for i, l := range o.Listeners {
		endpoint := config.Endpoint{Name: l.Name} // of a listener that is not of TCP
		address := l.Address
		if l.Listener != nil {
			address = l.Listener.Addr().String()
		}
		if host, port, err := net.SplitHostPort(address); err == nil {
			number, err := net.LookupPort("tcp", port)
			if err != nil {
				return nil, fmt.Errorf("no such port %q", port)
			}
			endpoint.Host, endpoint.Port = host, int32(number)
		}
		endpoints[i] = endpoint.String()
	}
	settings["listeners"] = strings.Join(endpoints, ",")
	return settings, nil
}

// onlyListener names the one listener that o has without a name: PLAINTEXT, unless the settings advertise another one.
func (o *Options) onlyListener() string {
	advertised := strings.Split(o.Config["advertised.listeners"], ",")
	names := make([]string, len(advertised))
	for i, text := range advertised {
		names[i], _, _ = strings.Cut(strings.TrimSpace(text), "://")
		if strings.EqualFold(names[i], plaintextListener) {
			return plaintextListener
		}
	}
	if len(names) == 1 && names[0] != "" {
		return names[0]
	}
	return plaintextListener
}

// endpoint is a listener that is open.
type endpoint struct {
	name       string
	configured string // the host that was asked for, "" for every address
	listener   net.Listener
}

// openListeners opens all, or none if one fails.
func (b *Broker) openListeners(ctx context.Context) ([]endpoint, error) {
	var open []endpoint
	for _, configured := range b.config.Listening() {
		listener := b.options.given(configured.Name)
		if listener == nil {
			var err error
			if listener, err = listen(ctx, configured.Address()); err != nil {
				for _, e := range open {
					_ = e.listener.Close()
				}
				return nil, fmt.Errorf("listener %s: %w", configured.Name, err)
			}
		}
		open = append(open, endpoint{configured.Name, configured.Host, listener})
	}
	return open, nil
}

// given is the listener that the options have under that name; nil: none, or only its address.
func (o *Options) given(name string) net.Listener {
	for _, l := range o.Listeners {
		if strings.EqualFold(l.Name, name) {
			return l.Listener
		}
	}
	return nil
}

// listen opens a TCP port.
func listen(ctx context.Context, address string) (net.Listener, error) {
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("listen on %s: the port is in use: %w", address, err)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, fmt.Errorf("listen on %s: this machine does not have the address, which may be one for advertised.listeners: %w", address, err)
	case err != nil:
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	return l, nil
}

// hostName is the host that was asked for if that is a name: as with Kafka's listeners, clients are told the name and
// not what it resolved to.
func (e *endpoint) hostName() string {
	if _, err := netip.ParseAddr(e.configured); err == nil {
		return ""
	}
	return e.configured
}
