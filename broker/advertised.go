package broker

import (
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"github.com/millrace/millrace/broker/internal/config"
)

// advertised is the address that clients of a listener are told to connect to: that of advertised.listeners with the
// listener's name, else the first one there, else the address listened on. Port 0 is the port listened on.
func (b *Broker) advertised(listener string) (host string, port int32) {
	host, port = listeningOn(b.server.listener.Addr())
	addresses := b.config.Advertised()
	if len(addresses) == 0 {
		if name := hostName(b.options.Listen); name != "" {
			host = name
		}
		return host, port
	}
	chosen := addresses[0]
	for _, a := range addresses {
		if strings.EqualFold(a.Listener, listener) {
			chosen = a
			break
		}
	}
	return advertise(chosen, port)
}

func advertise(a config.Address, listening int32) (host string, port int32) {
	if a.Port == 0 {
		return a.Host, listening
	}
	return a.Host, a.Port
}

// hostName is the host of an address to listen on if that is a name: as with Kafka's listeners, clients are told the
// name and not what it resolved to.
func hostName(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return ""
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return ""
	}
	return host
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
