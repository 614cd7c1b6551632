package config

import (
	"net/netip"
	"strconv"
	"strings"
)

// Address is an address of advertised.listeners.
type Address struct {
	Listener string // the listener's name
	Host     string
	Port     int32 // 0: the port listened on
}

// Advertised are the addresses of advertised.listeners in their order; none if it is not set.
func (b *Broker) Advertised() []Address {
	addresses := make([]Address, 0, len(b.AdvertisedListeners))
	for _, text := range b.AdvertisedListeners {
		if address, ok := parseAddress(text); ok {
			addresses = append(addresses, address)
		}
	}
	return addresses
}

// parseAddress reads NAME://host:port. The host may not be empty or "any address", which nobody can connect to.
func parseAddress(text string) (Address, bool) {
	name, rest, ok := strings.Cut(text, "://")
	if !ok || name == "" {
		return Address{}, false
	}
	colon := strings.LastIndexByte(rest, ':')
	if colon <= 0 {
		return Address{}, false
	}
	host, bracketed := strings.CutPrefix(rest[:colon], "[")
	if bracketed {
		host, bracketed = strings.CutSuffix(host, "]")
	}
	ip, err := netip.ParseAddr(host)
	if err == nil && ip.IsUnspecified() || strings.Contains(host, ":") != bracketed || host == "" {
		return Address{}, false
	}
	port, err := strconv.ParseUint(rest[colon+1:], 10, 16)
	return Address{name, host, int32(port)}, err == nil
}

func addresses() allowed {
	return allowed{
		expectation: "a list of NAME://host:port with hosts that clients can connect to",
		holds: func(value any) bool {
			for _, text := range value.([]string) {
				if _, ok := parseAddress(text); !ok {
					return false
				}
			}
			return true
		},
	}
}
