package clientconfig

import (
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

func configOf(t *testing.T, pairs ...string) *Config {
	t.Helper()
	c := &Config{}
	for _, pair := range pairs {
		name, value, _ := strings.Cut(pair, "=")
		if err := c.Set(name, value, "-X"); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func TestBothNamesOfASettingAreOne(t *testing.T) {
	c := configOf(t, "metadata.broker.list=a", "bootstrap.servers=b")
	if list, _ := c.Brokers(); list != "b" || len(c.Values()) != 1 {
		t.Errorf("%q, %v", list, c.Values())
	}
	seen := map[string]bool{}
	for _, name := range append(names(), withoutEffect...) {
		if seen[name] {
			t.Errorf("%s is there twice", name)
		}
		seen[name] = true
	}
}

func TestUserAndPasswordReachTheMechanism(t *testing.T) {
	const module = `org.apache.kafka.common.security.plain.PlainLoginModule required username="m\"e" password='s3=;cret';`
	for _, pairs := range [][]string{
		{"sasl.username=m\"e", "sasl.password=s3=;cret"},
		{"sasl.jaas.config=" + module},
	} {
		c := configOf(t, append(pairs, "security.protocol=sasl_plaintext", "sasl.mechanisms=PLAIN")...)
		mechanism, err := c.sasl()
		if err != nil {
			t.Fatal(err)
		}
		_, first, err := mechanism.Authenticate(t.Context(), "host")
		if err != nil || string(first) != "\x00m\"e\x00s3=;cret" {
			t.Errorf("%v: %q, %v", pairs, first, err)
		}
	}
	for _, name := range mechanisms {
		c := configOf(t, "security.protocol=SASL_PLAINTEXT", "sasl.username=a", "sasl.password=b", "sasl.mechanism="+strings.ToLower(name))
		if mechanism, err := c.sasl(); err != nil || mechanism.Name() != name {
			t.Errorf("%s: %v, %v", name, mechanism, err)
		}
	}
}

func TestSecretsAreNotShown(t *testing.T) {
	c := configOf(t, "sasl.password=hunter2", "sasl.username=me", `sasl.jaas.config=username="u" password="hunter2"`)
	for _, setting := range c.Settings() {
		if setting.Value != nil && strings.Contains(*setting.Value, "hunter2") {
			t.Errorf("%s shows its value", setting.Name)
		}
	}
	if err := c.Set("sasl.jaas.config", "password=hunter2", "-X"); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("error %v", err)
	}
}

// Weaker acknowledgements do without the idempotent producer, which refuses them.
func TestEverySettingMakesAClient(t *testing.T) {
	for _, acks := range []string{"all", "-1", "1", "0"} {
		options, err := configOf(t, "acks="+acks, "compression.type=zstd", "linger.ms=5").Options()
		if err != nil {
			t.Fatal(err)
		}
		client, err := kgo.NewClient(options...)
		if err != nil {
			t.Fatalf("acks=%s: %v", acks, err)
		}
		client.Close()
	}
	if !slices.ContainsFunc(Names(), func(n [2]string) bool { return n[0] == "acks" && n[1] != "" }) {
		t.Error("acks is not among the names")
	}
}
