package config

import (
	"slices"
	"testing"
)

func TestListenersForClients(t *testing.T) {
	for _, c := range []struct {
		listeners string
		want      []Endpoint
	}{
		{"PLAINTEXT://:9092", []Endpoint{{"PLAINTEXT", "", 9092}}},
		{" INTERNAL://0.0.0.0:29092, EXTERNAL://[::1]:9092,CONTROLLER://:9093", []Endpoint{{"INTERNAL", "0.0.0.0", 29092}, {"EXTERNAL", "::1", 9092}}},
		{"A://127.0.0.1:9092,B://127.0.0.2:9092,C://:0,D://:0", []Endpoint{{"A", "127.0.0.1", 9092}, {"B", "127.0.0.2", 9092}, {"C", "", 0}, {"D", "", 0}}},
	} {
		b := mustParse(t, map[string]string{"listeners": c.listeners})
		if got := b.Listening(); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", c.listeners, got, c.want)
		}
	}
	b := mustParse(t, map[string]string{"listeners": "A://:1,B://:2", "controller.listener.names": "B"})
	if got := b.Listening(); len(got) != 1 || got[0].Name != "A" {
		t.Errorf("got %v with a controller's listener B", got)
	}
}

func TestEachListenerHasItsAdvertisedAddress(t *testing.T) {
	b := mustParse(t, map[string]string{
		"listeners":                      "INTERNAL://:29092,EXTERNAL://:9092,CONTROLLER://:9093",
		"advertised.listeners":           " External://broker.example:0, CONTROLLER://localhost:9093",
		"listener.security.protocol.map": "INTERNAL:PLAINTEXT,EXTERNAL:plaintext,CONTROLLER:SSL",
	})
	if got, ok := b.Advertised("EXTERNAL"); !ok || got.Host != "broker.example" || got.Port != 0 {
		t.Errorf("EXTERNAL is advertised as %v", got)
	}
	if got, ok := b.Advertised("INTERNAL"); ok {
		t.Errorf("INTERNAL is advertised as %v and nobody said so", got)
	}
}

func TestEndpointsAreWrittenAsTheyAreRead(t *testing.T) {
	for _, text := range []string{"A://:0", "A_b-1.c://host:9092", "A://[::1]:9092", "A://0.0.0.0:65535", "A://[fe80::1%eth0]:1"} {
		e, ok := parseEndpoint(text)
		if !ok || e.String() != text {
			t.Errorf("%q is read as %q, %v", text, e, ok)
		}
	}
}
