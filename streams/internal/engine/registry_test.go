package engine

import (
	"bytes"
	"context"
	"log/slog"
	"reflect"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/broker"
	"github.com/millrace/millrace/streams/internal/graph"
)

// registryOf returns a registry on a broker of its own, and what it logs.
func registryOf(t *testing.T) (Registry, *bytes.Buffer) {
	t.Helper()
	b, err := broker.New(broker.Options{DataDir: t.TempDir(), Listen: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler),
		Config: map[string]string{"auto.create.topics.enable": "false"}})
	if err == nil {
		err = b.Start(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	logged := &bytes.Buffer{}
	return Registry{Client: []kgo.Opt{kgo.SeedBrokers(b.Addr().String())}, ReplicationFactor: -1, Logger: slog.New(slog.NewTextHandler(logged, nil))}, logged
}

// end returns how many records the registry's topic has had.
func (r Registry) end(t *testing.T, app string) int64 {
	t.Helper()
	record, err := r.last(context.Background(), graph.RegistryTopic(app), app)
	if err != nil || record == nil {
		t.Fatalf("%v, %v", record, err)
	}
	return record.Offset + 1
}

var joinedCounts = map[string]int{"orders": 2, "by-user": 2}

func TestADescriptionIsStoredWhenItIsAnother(t *testing.T) {
	r, logged := registryOf(t)
	ctx := t.Context()
	if _, found, err := r.Read(ctx, "app"); found || err != nil {
		t.Fatalf("before anything ran: %v, %v", found, err)
	}
	first := joined().Describe("app", joinedCounts)
	for range 2 {
		if changes, err := r.Register(ctx, first); err != nil || !reflect.DeepEqual(changes, graph.Changes{}) {
			t.Fatalf("%+v, %v", changes, err)
		}
	}
	if got, found, err := r.Read(ctx, "app"); !found || err != nil || !reflect.DeepEqual(got, first) {
		t.Errorf("read back %v, %v:\n%+v", found, err, got)
	}
	if n := r.end(t, "app"); n != 1 {
		t.Errorf("%d records for one description", n)
	}
	more := joined()
	more.AddStore(graph.Store{Name: "seen", Kind: "kv"})
	more.Node("users").Stores = []string{"seen"}
	if _, err := r.Register(ctx, more.Describe("app", joinedCounts)); err != nil {
		t.Fatal(err)
	}
	if text := logged.String(); !strings.Contains(text, "stores=[seen]") || !strings.Contains(text, "stores=[users]") {
		t.Errorf("logged %s", text)
	}
	if n := r.end(t, "app"); n != 2 {
		t.Errorf("%d records for two descriptions", n)
	}
}

func TestAChangeThatDoesNotFitIsRefusedAndNotStored(t *testing.T) {
	r, logged := registryOf(t)
	ctx := t.Context()
	first := joined().Describe("app", joinedCounts)
	if _, err := r.Register(ctx, first); err != nil {
		t.Fatal(err)
	}
	other := joined()
	other.Store("users").Kind = "window"
	changed := other.Describe("app", joinedCounts)
	for range 2 {
		if _, err := r.Register(ctx, changed); err == nil || !strings.Contains(err.Error(), "millrace streams reset app") {
			t.Fatalf("%v", err)
		}
	}
	if got, _, err := r.Read(ctx, "app"); err != nil || !reflect.DeepEqual(got, first) {
		t.Errorf("stored is %+v (%v)", got, err)
	}
	r.Accept = true
	if _, err := r.Register(ctx, changed); err != nil || !strings.Contains(logged.String(), "level=WARN") {
		t.Errorf("accepted: %v, logged %s", err, logged)
	}
}

func TestWhatIsNoDescriptionIsNamed(t *testing.T) {
	r, _ := registryOf(t)
	for _, value := range []string{"x", `{"version":99}`} {
		if err := r.write(t.Context(), "app", []byte(value)); err != nil {
			t.Fatal(err)
		}
		_, err := r.Register(t.Context(), joined().Describe("app", joinedCounts))
		if err == nil || !strings.Contains(err.Error(), "topic app-topology, offset") || !strings.Contains(err.Error(), "delete the topic") {
			t.Errorf("%s: %v", value, err)
		}
	}
}
