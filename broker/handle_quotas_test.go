package broker

import (
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/internal/disk"
)

// quotaEntry asks for quotas of an entity, which is written "user=u client-id=" with nothing for the default. Each op
// is "key=value", or "key" to remove it.
func quotaEntry(t testing.TB, entity string, ops ...string) kmsg.AlterClientQuotasRequestEntry {
	t.Helper()
	entry := kmsg.NewAlterClientQuotasRequestEntry()
	for _, part := range strings.Fields(entity) {
		e := kmsg.NewAlterClientQuotasRequestEntryEntity()
		name := ""
		if e.Type, name, _ = strings.Cut(part, "="); name != "" {
			e.Name = &name
		}
		entry.Entity = append(entry.Entity, e)
	}
	for _, text := range ops {
		op := kmsg.NewAlterClientQuotasRequestEntryOp()
		key, value, set := strings.Cut(text, "=")
		op.Key, op.Remove = key, !set
		if set {
			if _, err := fmt.Sscan(value, &op.Value); err != nil {
				t.Fatal(err)
			}
		}
		entry.Ops = append(entry.Ops, op)
	}
	return entry
}

func alterQuotas(c *client, validateOnly bool, entries ...kmsg.AlterClientQuotasRequestEntry) []kmsg.AlterClientQuotasResponseEntry {
	c.t.Helper()
	r := kmsg.NewPtrAlterClientQuotasRequest()
	r.SetVersion(1)
	r.Entries, r.ValidateOnly = entries, validateOnly
	return c.ask(r).(*kmsg.AlterClientQuotasResponse).Entries
}

// setQuota changes an entity's quotas; see quotaEntry.
func setQuota(c *client, entity string, ops ...string) {
	c.t.Helper()
	if got := alterQuotas(c, false, quotaEntry(c.t, entity, ops...)); got[0].ErrorCode != 0 {
		c.t.Fatalf("quota of %s: %s", entity, *got[0].ErrorMessage)
	}
}

// describedQuotas lists what matches, as "user=u client-id= consumer_byte_rate=5". Components are "user=u",
// "user=" for the default and "user" for any.
func describedQuotas(c *client, strict bool, components ...string) (entries []string, code int16) {
	c.t.Helper()
	r := kmsg.NewPtrDescribeClientQuotasRequest()
	r.SetVersion(1)
	r.Strict = strict
	for _, text := range components {
		component := kmsg.NewDescribeClientQuotasRequestComponent()
		name, exact := "", false
		component.EntityType, name, exact = strings.Cut(text, "=")
		switch {
		case !exact:
			component.MatchType = kmsg.QuotasMatchTypeAny
		case name == "":
			component.MatchType = kmsg.QuotasMatchTypeDefault
		default:
			component.Match = &name
		}
		r.Components = append(r.Components, component)
	}
	resp := c.ask(r).(*kmsg.DescribeClientQuotasResponse)
	for _, entry := range resp.Entries {
		var texts []string
		for _, e := range entry.Entity {
			name := ""
			if e.Name != nil {
				name = *e.Name
			}
			texts = append(texts, e.Type+"="+name)
		}
		for _, v := range entry.Values {
			texts = append(texts, fmt.Sprintf("%s=%v", v.Key, v.Value))
		}
		entries = append(entries, strings.Join(texts, " "))
	}
	return entries, resp.ErrorCode
}

func TestDescribeFindsTheQuotasThatMatch(t *testing.T) {
	c := dial(t, startBroker(t, Options{}, nil))
	all := []string{
		"client-id=app consumer_byte_rate=1", "user= client-id=app consumer_byte_rate=2", "user=u consumer_byte_rate=3",
		"user=u client-id= consumer_byte_rate=4", "user=u client-id=app consumer_byte_rate=5",
		"ip= connection_creation_rate=6", "ip=10.0.0.1 connection_creation_rate=7",
	}
	for _, text := range all {
		fields := strings.Fields(text)
		setQuota(c, strings.Join(fields[:len(fields)-1], " "), fields[len(fields)-1])
	}
	for _, test := range []struct {
		filter string
		strict bool
		want   []int // of all, counted from 1
	}{
		{"", false, []int{1, 2, 3, 4, 5, 6, 7}},
		{"", true, nil},
		{"user=u", false, []int{3, 4, 5}},
		{"user=u", true, []int{3}},
		{"user=", false, []int{2}},
		{"user=", true, nil},
		{"user", false, []int{2, 3, 4, 5}},
		{"user", true, []int{3}},
		{"client-id=app", false, []int{1, 2, 5}},
		{"client-id", true, []int{1}},
		{"user client-id", true, []int{2, 4, 5}},
		{"user=u client-id=", false, []int{4}},
		{"user=nobody", false, nil},
		{"ip=10.0.0.1", true, []int{7}},
		{"ip=", false, []int{6}},
		{"ip", false, []int{6, 7}},
	} {
		var want []string
		for _, i := range test.want {
			want = append(want, all[i-1])
		}
		got, code := describedQuotas(c, test.strict, strings.Fields(test.filter)...)
		if code != 0 || strings.Join(got, "; ") != strings.Join(want, "; ") {
			t.Errorf("%q strict %t: error %d, %q\nwant %q", test.filter, test.strict, code, got, want)
		}
	}
}

func TestDescribeQuotasRefusesBrokenFilters(t *testing.T) {
	c := dial(t, startBroker(t, Options{}, nil))
	name := "x"
	for title, test := range map[string]struct {
		components []kmsg.DescribeClientQuotasRequestComponent
		want       *kerr.Error
	}{
		"twice":              {[]kmsg.DescribeClientQuotasRequestComponent{{EntityType: "user", MatchType: 2}, {EntityType: "user", MatchType: 1}}, kerr.InvalidRequest},
		"empty type":         {[]kmsg.DescribeClientQuotasRequestComponent{{MatchType: 2}}, kerr.InvalidRequest},
		"unknown type":       {[]kmsg.DescribeClientQuotasRequestComponent{{EntityType: "group", MatchType: 2}}, kerr.UnsupportedVersion},
		"exactly nothing":    {[]kmsg.DescribeClientQuotasRequestComponent{{EntityType: "user"}}, kerr.InvalidRequest},
		"default with name":  {[]kmsg.DescribeClientQuotasRequestComponent{{EntityType: "user", MatchType: 1, Match: &name}}, kerr.InvalidRequest},
		"any with name":      {[]kmsg.DescribeClientQuotasRequestComponent{{EntityType: "user", MatchType: 2, Match: &name}}, kerr.InvalidRequest},
		"unknown match type": {[]kmsg.DescribeClientQuotasRequestComponent{{EntityType: "user", MatchType: 3}}, kerr.InvalidRequest},
		"ip with user":       {[]kmsg.DescribeClientQuotasRequestComponent{{EntityType: "user", MatchType: 2}, {EntityType: "ip", MatchType: 2}}, kerr.InvalidRequest},
	} {
		r := kmsg.NewPtrDescribeClientQuotasRequest()
		r.Components = test.components
		got := c.ask(r).(*kmsg.DescribeClientQuotasResponse)
		if got.ErrorCode != test.want.Code || got.ErrorMessage == nil || got.Entries != nil {
			t.Errorf("%s: error %d, %v", title, got.ErrorCode, got.Entries)
		}
	}
}

func TestAlterQuotasIsAtomicForEachEntity(t *testing.T) {
	c := dial(t, startBroker(t, Options{}, nil))
	setQuota(c, "user=u", "producer_byte_rate=10", "request_percentage=50")
	entries := []kmsg.AlterClientQuotasRequestEntry{
		quotaEntry(t, "user=u", "producer_byte_rate=20", "consumer_byte_rate=0"),
		quotaEntry(t, "client-id=a", "consumer_byte_rate=30", "consumer_byte_rate=40"),
		quotaEntry(t, "client-id=b", "controller_mutation_rate=1.5", "no_such_quota"),
		quotaEntry(t, "client-id=c", "producer_byte_rate=1"),
		quotaEntry(t, "client-id=c", "consumer_byte_rate=1"),
		quotaEntry(t, "ip=localhost", "connection_creation_rate=1"),
		quotaEntry(t, "user=v", "connection_creation_rate=1"),
		quotaEntry(t, ""),
	}
	for _, validateOnly := range []bool{true, false} {
		got := alterQuotas(c, validateOnly, entries...)
		for i, want := range []string{"must be greater than 0", "changed twice", "", "more than once", "more than once", "not an IP address",
			"is not a quota of user v", "entity is empty"} {
			if (want == "") != (got[i].ErrorCode == 0) || want != "" && (got[i].ErrorCode != kerr.InvalidRequest.Code || !strings.Contains(*got[i].ErrorMessage, want)) {
				t.Errorf("entry %d: error %d, want %q", i, got[i].ErrorCode, want)
			}
			if len(got[i].Entity) != len(entries[i].Entity) {
				t.Errorf("entry %d comes back as %v", i, got[i].Entity)
			}
		}
		want := "user=u producer_byte_rate=10 request_percentage=50"
		if !validateOnly {
			want = "client-id=b controller_mutation_rate=1.5; " + want
		}
		if entries, _ := describedQuotas(c, false); strings.Join(entries, "; ") != want {
			t.Errorf("validate only %t: %q, want %q", validateOnly, entries, want)
		}
	}
	setQuota(c, "user=u", "producer_byte_rate", "request_percentage")
	if entries, _ := describedQuotas(c, false, "user"); len(entries) != 0 {
		t.Errorf("%q are left", entries)
	}
}

func TestQuotasSurviveARestart(t *testing.T) {
	files := disk.NewMem()
	b, stop := startOn(t, files, nil)
	c := dial(t, b)
	setQuota(c, "user= client-id=app", "producer_byte_rate=1024", "request_percentage=12.5")
	setQuota(c, "ip=10.0.0.1", "connection_creation_rate=3")
	setQuota(c, "ip=10.0.0.1", "connection_creation_rate")
	stop()
	b, stop = startOn(t, files, nil)
	defer stop()
	entries, _ := describedQuotas(dial(t, b), false)
	if want := "user= client-id=app producer_byte_rate=1024 request_percentage=12.5"; strings.Join(entries, "; ") != want {
		t.Errorf("%q, want %q", entries, want)
	}
}

// The client is one that nobody here wrote.
func TestQuotasByAnotherClient(t *testing.T) {
	admin := adminOf(t, startBroker(t, Options{}, nil))
	app := "app"
	entity := kadm.ClientQuotaEntity{{Type: "client-id", Name: &app}}
	altered, err := admin.AlterClientQuotas(t.Context(), []kadm.AlterClientQuotaEntry{
		{Entity: entity, Ops: []kadm.AlterClientQuotaOp{{Key: "consumer_byte_rate", Value: 5}}}})
	if err != nil || len(altered) != 1 || altered[0].Err != nil {
		t.Fatalf("%+v, %v", altered, err)
	}
	described, err := admin.DescribeClientQuotas(t.Context(), false, nil)
	if err != nil || len(described) != 1 || described[0].Entity.String() != entity.String() || described[0].Values[0].Value != 5 {
		t.Errorf("%+v, %v", described, err)
	}
}
