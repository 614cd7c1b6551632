package broker

import (
	"net"
	"os"
	"strconv"
)

// advertised is the address that clients of a listener are told to connect to: that of advertised.listeners with the
// listener's name, else the address that it listens on.
func (b *Broker) advertised(listener string) (host string, port int32) {
	e := b.server.endpoint(listener)
	host, port = listeningOn(e.listener.Addr())
	if address, ok := b.config.Advertised(e.name); ok {
		if address.Port != 0 {
			port = address.Port
		}
		return address.Host, port
	}
	if name := e.hostName(); name != "" {
		host = name
	}
	return host, port
}

// listeningOn is the address of a listener as others can reach it: in place of "any address" the name of the host.
// An address that is not of TCP is the host, with Kafka's port.
func listeningOn(address net.Addr) (host string, port int32) {
	const defaultPort = 9092
	host, portText, err := net.SplitHostPort(address.String())
	if err != nil {
		return address.String(), defaultPort
	}
	number, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return host, defaultPort
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		if host, err = os.Hostname(); err != nil || host == "" {
			host = "localhost"
		}
	}
	return host, int32(number)
}
