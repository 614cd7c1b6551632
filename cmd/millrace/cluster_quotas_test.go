package main

import (
	"strings"
	"testing"
)

func TestClusterQuotasComeAndGo(t *testing.T) {
	_, _ = serve(t, "--in-memory")
	list := func(flags string) (lines []string) {
		var listing quotaListing
		decode(t, &listing, append([]string{"cluster", "quotas", "list"}, strings.Fields(flags)...)...)
		for _, row := range listing.Tables()[0].Rows {
			lines = append(lines, strings.Join(row, " "))
		}
		return lines
	}
	expect := func(flags string, want ...string) {
		t.Helper()
		if got := list(flags); strings.Join(got, "; ") != strings.Join(want, "; ") {
			t.Errorf("list %s: %q, want %q", flags, got, want)
		}
	}
	set := func(line string) {
		t.Helper()
		ok(t, "", append([]string{"cluster", "quotas", "set"}, strings.Fields(line)...)...)
	}
	expect("")
	set("producer_byte_rate=1048576 request_percentage=12.5 --name client-id=app --dry-run")
	expect("")
	set("producer_byte_rate=1048576 request_percentage=12.5 --name client-id=app")
	set("consumer_byte_rate=5 --name user=u --default client-id")
	set("connection_creation_rate=7 --default ip")
	expect("", "client-id=app producer_byte_rate 1048576", "client-id=app request_percentage 12.5", "default ip connection_creation_rate 7",
		"user=u, default client-id consumer_byte_rate 5")
	expect("--name user=u", "user=u, default client-id consumer_byte_rate 5")
	expect("--default ip", "default ip connection_creation_rate 7")
	if got := ok(t, "", "cluster", "quotas", "describe", "--name", "client-id=app"); !strings.Contains(got, "1048576") || strings.Contains(got, "ip") {
		t.Errorf("described:\n%s", got)
	}
	ok(t, "", "cluster", "quotas", "delete", "request_percentage", "--name", "client-id=app", "--dry-run")
	ok(t, "", "cluster", "quotas", "delete", "request_percentage", "--name", "client-id=app", "--yes")
	expect("--name client-id=app", "client-id=app producer_byte_rate 1048576")
	ok(t, "", "cluster", "quotas", "delete", "--name", "user=u", "--default", "client-id", "--yes")
	expect("--name user=u")
}

func TestClusterQuotasSayWhatIsWrong(t *testing.T) {
	_, _ = serve(t, "--in-memory")
	ok(t, "", "cluster", "quotas", "set", "producer_byte_rate=1", "--name", "client-id=app")
	for line, want := range map[string]struct {
		code int
		text string
	}{
		"set producer_byte_rate=1":                             {2, "--name TYPE=NAME"},
		"set producer_byte_rate=much --name client-id=app":     {2, "QUOTA=VALUE"},
		"set --name client-id=app":                             {2, "needs a QUOTA=VALUE"},
		"set producer_byte_rate=0 --name client-id=app":        {1, "must be greater than 0"},
		"set producer_byte_rat=1 --name client-id=app":         {1, "unknown quota"},
		"set producer_byte_rate=1 --name ip=10.0.0.1":          {1, "is not a quota of ip 10.0.0.1"},
		"list --name client=app":                               {2, "client-id"},
		"list --name client-id":                                {2, "TYPE=NAME"},
		"list --name user=a --default user":                    {2, "named twice"},
		"describe --name client-id=nobody":                     {1, "no quotas are set for client-id=nobody"},
		"delete --name client-id=app":                          {2, "--yes"},
		"delete --name client-id=nobody --yes":                 {1, "no quotas are set"},
		"delete consumer_byte_rate --name client-id=app --yes": {1, "consumer_byte_rate is not set"},
	} {
		r := cli(t, "", append([]string{"cluster", "quotas"}, strings.Fields(line)...)...)
		if r.code != want.code || !strings.Contains(r.stderr, want.text) {
			t.Errorf("%s: exit code %d, %q, want %d and %q", line, r.code, r.stderr, want.code, want.text)
		}
	}
}
