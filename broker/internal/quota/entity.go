package quota

import (
	"cmp"
	"fmt"
	"net/netip"
	"strings"
)

// Kafka's names for the parts of an entity.
const (
	TypeUser     = "user"
	TypeClientID = "client-id"
	TypeIP       = "ip"
)

// Entity is whom a quota is for: a user, a client id, both together, or an IP address. Each part is a name, or the
// default for all that have no quota of their own. Comparable; the zero value is nobody.
type Entity struct {
	User, ClientID, IP Name
}

// Name is a part of an Entity. The zero value is that the part is not there.
type Name struct {
	kind nameKind
	name string
}

type nameKind uint8

const (
	absent nameKind = iota
	byDefault
	named
)

// Named is the part with that name.
func Named(name string) Name { return Name{named, name} }

// Default is the part that stands for all which have no quota of their own.
func Default() Name { return Name{kind: byDefault} }

// Present reports whether the part is there.
func (n Name) Present() bool { return n.kind != absent }

// Text is the name, nil for the default, as Kafka's requests and records have it. The part must be there.
func (n Name) Text() *string {
	if n.kind == byDefault {
		return nil
	}
	return &n.name
}

func (n Name) String() string {
	if n.kind == byDefault {
		return "<default>"
	}
	return n.name
}

// Part is a part of an Entity with its type, as requests and records list them. A nil Name is the default.
type Part struct {
	Type string
	Name *string
}

// NewEntity makes an entity of parts in any order, or returns an ErrInvalid: an unknown type, one that comes twice,
// an empty name, an address that is none, or a combination that has no quotas.
func NewEntity(parts []Part) (Entity, error) {
	var e Entity
	for _, part := range parts {
		name := e.part(part.Type)
		switch {
		case name == nil:
			return Entity{}, fmt.Errorf("%w: unknown entity type %q", ErrInvalid, part.Type)
		case name.Present():
			return Entity{}, fmt.Errorf("%w: %s comes twice in one entity", ErrInvalid, part.Type)
		case part.Name == nil:
			*name = Default()
			continue
		case *part.Name == "":
			return Entity{}, fmt.Errorf("%w: the name of the %s is empty", ErrInvalid, part.Type)
		}
		*name = Named(*part.Name)
	}
	return e, e.check()
}

func (e *Entity) check() error {
	switch client := e.User.Present() || e.ClientID.Present(); {
	case !client && !e.IP.Present():
		return fmt.Errorf("%w: the entity is empty", ErrInvalid)
	case client && e.IP.Present():
		return fmt.Errorf("%w: an ip has its quotas alone, not together with a user or a client-id", ErrInvalid)
	}
	if e.IP.kind == named {
		address, err := netip.ParseAddr(e.IP.name)
		if err != nil {
			return fmt.Errorf("%w: %q is not an IP address", ErrInvalid, e.IP.name)
		}
		e.IP.name = address.Unmap().String()
	}
	return nil
}

// part returns the part of that type, nil if there is no such type.
func (e *Entity) part(kind string) *Name {
	switch kind {
	case TypeUser:
		return &e.User
	case TypeClientID:
		return &e.ClientID
	case TypeIP:
		return &e.IP
	}
	return nil
}

// Parts lists what the entity consists of.
func (e Entity) Parts() []Part {
	var parts []Part
	for _, kind := range []string{TypeUser, TypeClientID, TypeIP} {
		if name := e.part(kind); name.Present() {
			parts = append(parts, Part{Type: kind, Name: name.Text()})
		}
	}
	return parts
}

func (e Entity) String() string {
	var texts []string
	for _, kind := range []string{TypeUser, TypeClientID, TypeIP} {
		if name := e.part(kind); name.Present() {
			texts = append(texts, kind+" "+name.String())
		}
	}
	return strings.Join(texts, ", ")
}

func (e Entity) family() family {
	if e.IP.Present() {
		return ofAddresses
	}
	return ofClients
}

// compare orders entities for listings: clients before addresses, the defaults first.
func (e Entity) compare(other Entity) int {
	return cmp.Or(e.IP.compare(other.IP), e.User.compare(other.User), e.ClientID.compare(other.ClientID))
}

func (n Name) compare(other Name) int {
	return cmp.Or(cmp.Compare(n.kind, other.kind), cmp.Compare(n.name, other.name))
}
