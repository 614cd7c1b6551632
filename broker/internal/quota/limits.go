package quota

import (
	"maps"
	"net/netip"
	"slices"
)

// Limits are the quotas that were set. They never change; nil is none at all.
type Limits struct {
	byEntity map[Entity]Values
}

// With returns limits in which each entity of changes has the values given there; no values remove it. Nil is
// returned if nothing is left.
func (l *Limits) With(changes map[Entity]Values) *Limits {
	after := map[Entity]Values{}
	if l != nil {
		after = maps.Clone(l.byEntity)
	}
	for e, values := range changes {
		if values == (Values{}) {
			delete(after, e)
		} else {
			after[e] = values
		}
	}
	if len(after) == 0 {
		return nil
	}
	return &Limits{byEntity: after}
}

// Of returns what was set for exactly this entity.
func (l *Limits) Of(e Entity) Values {
	if l == nil {
		return Values{}
	}
	return l.byEntity[e]
}

// Len is how many entities have quotas.
func (l *Limits) Len() int {
	if l == nil {
		return 0
	}
	return len(l.byEntity)
}

// Entities lists whom quotas were set for, in a fixed order.
func (l *Limits) Entities() []Entity {
	if l == nil {
		return nil
	}
	return slices.SortedFunc(maps.Keys(l.byEntity), Entity.compare)
}

// Bound is a limit, and who shares it.
type Bound struct {
	Limit   float64 // above 0
	Subject Subject
}

// Subject is who is measured together: a user, a client id, both, or an address. What a quota does not
// tell apart is empty.
type Subject struct {
	User, ClientID, IP string
}

// Client returns the quota of that kind that counts for a client: the most specific one, in Kafka's order. ok is
// false if there is none. A quota for a user is shared by all of the user's clients; one for the default user, or
// the default client id, is for each of them by itself.
func (l *Limits) Client(kind Kind, user, clientID string) (bound Bound, ok bool) {
	if l == nil {
		return Bound{}, false
	}
	both, userOnly, clientOnly := Subject{User: user, ClientID: clientID}, Subject{User: user}, Subject{ClientID: clientID}
	for _, level := range [...]struct {
		entity  Entity
		subject Subject
	}{
		{Entity{User: Named(user), ClientID: Named(clientID)}, both},
		{Entity{User: Named(user), ClientID: Default()}, both},
		{Entity{User: Named(user)}, userOnly},
		{Entity{User: Default(), ClientID: Named(clientID)}, both},
		{Entity{User: Default(), ClientID: Default()}, both},
		{Entity{User: Default()}, userOnly},
		{Entity{ClientID: Named(clientID)}, clientOnly},
		{Entity{ClientID: Default()}, clientOnly},
	} {
		if limit := l.byEntity[level.entity][kind]; limit > 0 {
			return Bound{limit, level.subject}, true
		}
	}
	return Bound{}, false
}

// Address returns the quota of that kind for an IP address: its own, or the default for each address.
func (l *Limits) Address(kind Kind, ip string) (bound Bound, ok bool) {
	if l == nil {
		return Bound{}, false
	}
	if address, err := netip.ParseAddr(ip); err == nil {
		ip = address.Unmap().String()
	}
	for _, name := range [...]Name{Named(ip), Default()} {
		if limit := l.byEntity[Entity{IP: name}][kind]; limit > 0 {
			return Bound{limit, Subject{IP: ip}}, true
		}
	}
	return Bound{}, false
}
