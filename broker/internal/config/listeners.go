package config

import (
	"fmt"
	"slices"
	"strings"
)

// Security protocols, as Kafka names them.
const plaintext = "PLAINTEXT"

var protocols = []string{plaintext, "SSL", "SASL_PLAINTEXT", "SASL_SSL"}

func isProtocol(name string) bool {
	return slices.ContainsFunc(protocols, func(protocol string) bool { return strings.EqualFold(protocol, name) })
}

// Listening are the listeners for clients, in the order of the setting: those of controllers are left out.
func (b *Broker) Listening() []Endpoint {
	return slices.DeleteFunc(parseEndpoints(b.Listeners), func(e Endpoint) bool { return b.isController(e.Name) })
}

// Advertised is the address that clients of the named listener are told. ok is false where none is set.
func (b *Broker) Advertised(listener string) (address Endpoint, ok bool) {
	for _, e := range parseEndpoints(b.AdvertisedListeners) {
		if strings.EqualFold(e.Name, listener) {
			return e, true
		}
	}
	return Endpoint{}, false
}

func (b *Broker) isController(name string) bool {
	return slices.ContainsFunc(b.ControllerListenerNames, func(controller string) bool { return strings.EqualFold(controller, name) })
}

// checkListeners holds the settings about listeners against each other.
func (b *Broker) checkListeners() error {
	listening := b.Listening()
	if len(listening) == 0 {
		return fmt.Errorf("listeners: %q has no listener for clients", strings.Join(b.Listeners, ","))
	}
	var names []string
	for i, e := range listening {
		if protocol := b.protocolOf(e.Name); protocol != plaintext {
			return fmt.Errorf("listeners: %s has the security protocol %s, which is not supported yet; use PLAINTEXT", e.Name, protocol)
		}
		for _, other := range listening[:i] {
			if strings.EqualFold(e.Name, other.Name) {
				return fmt.Errorf("listeners: two listeners are named %s; give each its own name", e.Name)
			}
			if e.overlaps(other) {
				return fmt.Errorf("listeners: %s and %s both listen on port %d; give each its own port", other.Name, e.Name, e.Port)
			}
		}
		names = append(names, e.Name)
	}
	return b.checkAdvertised(names)
}

// checkAdvertised refuses addresses of listeners that there are not, and two for one listener.
func (b *Broker) checkAdvertised(names []string) error {
	advertised := parseEndpoints(b.AdvertisedListeners)
	for i, e := range advertised {
		same := func(name string) bool { return strings.EqualFold(e.Name, name) }
		if !slices.ContainsFunc(names, same) && !b.isController(e.Name) {
			return fmt.Errorf("advertised.listeners: there is no listener %s; listeners has %s", e.Name, strings.Join(names, ", "))
		}
		if slices.ContainsFunc(advertised[:i], func(other Endpoint) bool { return same(other.Name) }) {
			return fmt.Errorf("advertised.listeners: %s is there twice", e.Name)
		}
	}
	return nil
}

// protocolOf is the security protocol of a listener: what the map says, else its name if that is one, else plaintext.
func (b *Broker) protocolOf(listener string) string {
	for _, entry := range b.ListenerSecurityProtocolMap {
		if name, protocol, _ := strings.Cut(entry, ":"); strings.EqualFold(name, listener) {
			return strings.ToUpper(protocol)
		}
	}
	if isProtocol(listener) {
		return strings.ToUpper(listener)
	}
	return plaintext
}
