package quota

import (
	"errors"
	"math"
	"strings"
	"testing"
)

func name(s string) *string { return &s }

func TestTheMostSpecificQuotaCounts(t *testing.T) {
	// In Kafka's order; each has its place's number as its limit.
	order := []struct {
		entity  Entity
		subject Subject
	}{
		{Entity{User: Named("u"), ClientID: Named("c")}, Subject{User: "u", ClientID: "c"}},
		{Entity{User: Named("u"), ClientID: Default()}, Subject{User: "u", ClientID: "c"}},
		{Entity{User: Named("u")}, Subject{User: "u"}},
		{Entity{User: Default(), ClientID: Named("c")}, Subject{User: "u", ClientID: "c"}},
		{Entity{User: Default(), ClientID: Default()}, Subject{User: "u", ClientID: "c"}},
		{Entity{User: Default()}, Subject{User: "u"}},
		{Entity{ClientID: Named("c")}, Subject{ClientID: "c"}},
		{Entity{ClientID: Default()}, Subject{ClientID: "c"}},
	}
	var limits *Limits
	if _, ok := limits.Client(Fetch, "u", "c"); ok {
		t.Error("there is a quota where none was set")
	}
	for i := len(order) - 1; i >= 0; i-- {
		limit := float64(i + 1)
		limits = limits.With(map[Entity]Values{order[i].entity: {Fetch: limit}})
		want := Bound{limit, order[i].subject}
		if got, ok := limits.Client(Fetch, "u", "c"); !ok || got != want {
			t.Errorf("with %v: %+v, want %+v", order[i].entity, got, want)
		}
		if _, ok := limits.Client(Produce, "u", "c"); ok {
			t.Error("a quota of one kind counts for another")
		}
	}
	if got, _ := limits.Client(Fetch, "other", "other"); got != (Bound{5, Subject{User: "other", ClientID: "other"}}) {
		t.Errorf("somebody else has %+v, want the defaults for both", got)
	}
	for i := range order {
		limits = limits.With(map[Entity]Values{order[i].entity: {}})
	}
	if limits != nil {
		t.Errorf("limits without any are %v, want nil", limits.Entities())
	}
}

func TestAnAddressHasItsOwnQuotaOrTheDefault(t *testing.T) {
	own, err := NewEntity([]Part{{Type: TypeIP, Name: name("0:0::1")}})
	if err != nil {
		t.Fatal(err)
	}
	var none *Limits
	limits := none.With(map[Entity]Values{own: {Connection: 3}, {IP: Default()}: {Connection: 7}})
	for ip, want := range map[string]float64{"::1": 3, "10.0.0.1": 7, "::ffff:10.0.0.1": 7} {
		bound, ok := limits.Address(Connection, ip)
		if !ok || bound.Limit != want || strings.Contains(bound.Subject.IP, "ffff") {
			t.Errorf("%s has %+v, want %v", ip, bound, want)
		}
	}
	if _, ok := none.Address(Connection, "::1"); ok {
		t.Error("there is a quota where none was set")
	}
}

func TestEntitiesThatHaveNoQuotas(t *testing.T) {
	for text, parts := range map[string][]Part{
		"entity is empty":     {},
		"unknown entity type": {{Type: "group", Name: name("g")}},
		"comes twice":         {{Type: TypeUser, Name: name("a")}, {Type: TypeUser}},
		"is empty":            {{Type: TypeClientID, Name: name("")}},
		"alone":               {{Type: TypeIP}, {Type: TypeUser}},
		"not an IP address":   {{Type: TypeIP, Name: name("localhost")}},
	} {
		if e, err := NewEntity(parts); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), text) {
			t.Errorf("%v: %v, %v, want %q", parts, e, err, text)
		}
	}
}

func TestPartsOfAnEntityLeadBackToIt(t *testing.T) {
	for _, e := range []Entity{
		{User: Named("u")}, {User: Default()}, {ClientID: Named("c")}, {User: Named("u"), ClientID: Default()},
		{User: Default(), ClientID: Named("<default>")}, {IP: Named("10.0.0.1")}, {IP: Default()},
	} {
		if again, err := NewEntity(e.Parts()); err != nil || again != e {
			t.Errorf("%v came back as %v, %v", e, again, err)
		}
	}
}

func TestValuesThatAQuotaMayHave(t *testing.T) {
	client, address := Entity{ClientID: Named("c")}, Entity{IP: Default()}
	for _, c := range []struct {
		entity Entity
		key    string
		value  float64
		ok     bool
	}{
		{client, "producer_byte_rate", 1024, true},
		{client, "consumer_byte_rate", 1, true},
		{client, "producer_byte_rate", 1024.0000001, true},
		{client, "producer_byte_rate", 1024.5, false},
		{client, "producer_byte_rate", 1e-9, false},
		{client, "producer_byte_rate", 1e19, false},
		{client, "producer_byte_rate", 0, false},
		{client, "producer_byte_rate", -1, false},
		{client, "request_percentage", 0.5, true},
		{client, "request_percentage", math.NaN(), false},
		{client, "request_percentage", math.Inf(1), false},
		{client, "controller_mutation_rate", 0.1, true},
		{client, "connection_creation_rate", 5, false},
		{address, "connection_creation_rate", 5, true},
		{address, "connection_creation_rate", 1 << 31, false},
		{address, "producer_byte_rate", 5, false},
		{client, "producer_byte_rat", 5, false},
	} {
		kind, err := CheckValue(c.entity, c.key, c.value)
		if (err == nil) != c.ok || err != nil && !errors.Is(err, ErrInvalid) || err == nil && kind.String() != c.key {
			t.Errorf("%s = %v for %v: %v, %v", c.key, c.value, c.entity, kind, err)
		}
	}
}
