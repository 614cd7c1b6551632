package config

import (
	"net/netip"
	"strconv"
	"strings"
)

// Endpoint is an element of listeners or of advertised.listeners: NAME://host:port.
type Endpoint struct {
	Name string
	Host string // without the brackets of IPv6; empty in listeners: every address of the host
	Port int32  // 0: in listeners any free one, in advertised.listeners the one listened on
}

// Address is the endpoint's host and port as package net takes them.
func (e Endpoint) Address() string {
	host := e.Host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return host + ":" + strconv.Itoa(int(e.Port))
}

// String is the endpoint as the settings have it.
func (e Endpoint) String() string { return e.Name + "://" + e.Address() }

// everywhere reports whether the endpoint is on every address of the host.
func (e Endpoint) everywhere() bool {
	ip, err := netip.ParseAddr(e.Host)
	return e.Host == "" || err == nil && ip.IsUnspecified()
}

// overlaps reports whether only one of both can listen.
func (e Endpoint) overlaps(other Endpoint) bool {
	return e.Port != 0 && e.Port == other.Port &&
		(e.everywhere() || other.everywhere() || strings.EqualFold(e.Host, other.Host))
}

// parseEndpoint reads NAME://host:port, with an IPv6 address in brackets.
func parseEndpoint(text string) (Endpoint, bool) {
	name, rest, ok := strings.Cut(text, "://")
	if !ok || !isListenerName(name) {
		return Endpoint{}, false
	}
	colon := strings.LastIndexByte(rest, ':')
	if colon < 0 {
		return Endpoint{}, false
	}
	host, bracketed := strings.CutPrefix(rest[:colon], "[")
	if bracketed {
		host, bracketed = strings.CutSuffix(host, "]")
	}
	if strings.Contains(host, ":") != bracketed || strings.ContainsAny(host, "/ []") {
		return Endpoint{}, false
	}
	port, err := strconv.ParseUint(rest[colon+1:], 10, 16)
	return Endpoint{name, host, int32(port)}, err == nil
}

func isListenerName(name string) bool {
	return name != "" && strings.IndexFunc(name, func(r rune) bool {
		return r != '_' && r != '-' && r != '.' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	}) < 0
}

// parseEndpoints reads the elements of a setting that was validated.
func parseEndpoints(texts []string) []Endpoint {
	endpoints := make([]Endpoint, 0, len(texts))
	for _, text := range texts {
		if endpoint, ok := parseEndpoint(text); ok {
			endpoints = append(endpoints, endpoint)
		}
	}
	return endpoints
}

func endpoints() allowed {
	return allowed{
		expectation: "a list of NAME://host:port with ports from 0 to 65535, IPv6 addresses in brackets",
		holds:       eachElement(func(text string) bool { _, ok := parseEndpoint(text); return ok }),
	}
}

// reachableEndpoints are endpoints with a host, and not "any address", which nobody can connect to.
func reachableEndpoints() allowed {
	return allowed{
		expectation: "a list of NAME://host:port with hosts that clients can connect to",
		holds: eachElement(func(text string) bool {
			endpoint, ok := parseEndpoint(text)
			return ok && !endpoint.everywhere()
		}),
	}
}

func securityProtocols() allowed {
	return allowed{
		expectation: "a list of NAME:PROTOCOL with one of " + strings.Join(protocols, ", "),
		holds: eachElement(func(text string) bool {
			name, protocol, _ := strings.Cut(text, ":")
			return isListenerName(name) && isProtocol(protocol)
		}),
	}
}

func eachElement(holds func(string) bool) func(value any) bool {
	return func(value any) bool {
		for _, text := range value.([]string) {
			if !holds(text) {
				return false
			}
		}
		return true
	}
}
