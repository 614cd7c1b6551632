package broker

import (
	"fmt"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/internal/freeport"
)

// addressOf is where a listener listens, "" if it is not open.
func addressOf(b *Broker, listener string) string {
	for _, l := range b.Listeners() {
		if l.Name == listener {
			return l.Address
		}
	}
	return ""
}

// toldTo is where a client is told to go by every answer that says it.
func toldTo(t *testing.T, b *Broker, listener string) []string {
	t.Helper()
	conn, err := net.Dial("tcp", addressOf(b, listener))
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(t, conn)
	metadata := kmsg.NewPtrMetadataRequest()
	metadata.Version = 9
	node := c.ask(metadata).(*kmsg.MetadataResponse).Brokers[0]
	cluster := c.ask(kmsg.NewPtrDescribeClusterRequest()).(*kmsg.DescribeClusterResponse).Brokers[0]
	find := kmsg.NewPtrFindCoordinatorRequest()
	find.Version, find.CoordinatorKeys = 4, []string{"g"}
	coordinator := c.ask(find).(*kmsg.FindCoordinatorResponse).Coordinators[0]
	return []string{
		fmt.Sprintf("%s:%d", node.Host, node.Port), fmt.Sprintf("%s:%d", cluster.Host, cluster.Port),
		fmt.Sprintf("%s:%d", coordinator.Host, coordinator.Port),
	}
}

func TestClientsAreToldTheAddressOfTheListenerTheyCameInBy(t *testing.T) {
	hostname, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	b, err := New(Options{InMemory: true, Config: map[string]string{
		"listeners":            "INTERNAL://0.0.0.0:0,EXTERNAL://127.0.0.1:0,PLAIN://127.0.0.1:0,CONTROLLER://127.0.0.1:1",
		"advertised.listeners": "external://broker.example:19092",
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	port := func(listener string) string {
		return addressOf(b, listener)[strings.LastIndex(addressOf(b, listener), ":"):]
	}
	for listener, want := range map[string]string{
		"EXTERNAL": "broker.example:19092",
		"INTERNAL": hostname + port("INTERNAL"),
		"PLAIN":    "127.0.0.1" + port("PLAIN"),
	} {
		for _, got := range toldTo(t, b, listener) {
			if got != want {
				t.Errorf("on %s clients are told %s, want %s", listener, got, want)
			}
		}
	}
	if address := addressOf(b, "CONTROLLER"); address != "" {
		t.Errorf("a controller's listener is open at %s", address)
	}
	if b.Addr().String() != addressOf(b, "INTERNAL") {
		t.Errorf("Addr is %s, want that of the first listener", b.Addr())
	}
}

func TestListenersOfOptions(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := startBrokerOf(t, Options{InMemory: true, Config: map[string]string{"listeners": "LOSES://:1"}, Listeners: []Listener{
		{Name: "IN", Listener: listener}, {Name: "OUT", Address: "[::1]:0"},
	}})
	if got, want := toldTo(t, b, "IN")[0], listener.Addr().String(); got != want {
		t.Errorf("on IN clients are told %s, want %s", got, want)
	}
	if got := toldTo(t, b, "OUT")[0]; !strings.HasPrefix(got, "::1:") {
		t.Errorf("on OUT clients are told %s, want ::1", got)
	}
	for _, d := range b.config.Describe() {
		if d.Name == "listeners" && !strings.Contains(*d.Value, "IN://127.0.0.1:") {
			t.Errorf("listeners is described as %s", *d.Value)
		}
	}
}

// startBrokerOf starts exactly what options say.
func startBrokerOf(t *testing.T, options Options) *Broker {
	t.Helper()
	b, err := New(options)
	if err == nil {
		err = b.Start(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// When one listener cannot be opened, none stays open.
func TestAListenerThatCannotBeOpenedIsNamed(t *testing.T) {
	free := freeport.Address(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	b, err := New(Options{InMemory: true, Config: map[string]string{
		"listeners": "A://" + free + ",B://" + taken.Addr().String(),
	}})
	if err != nil {
		t.Fatal(err)
	}
	err = b.Start(t.Context())
	if want := "listener B: listen on " + taken.Addr().String() + ": the port is in use"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
	}
	if conn, err := net.Dial("tcp", free); err == nil {
		conn.Close()
		t.Error("the first listener is still open")
	}
}

func TestListenersThatDoNotGoTogetherAreRefused(t *testing.T) {
	for want, options := range map[string]Options{
		"only one of Listen, Listener and Listeners": {Listen: ":1", Listeners: []Listener{{Name: "A", Address: ":2"}}},
		"two listeners are named A":                  {Listeners: []Listener{{Name: "A", Address: ":1"}, {Name: "A", Address: ":2"}}},
		"A and B both listen on port 1":              {Listeners: []Listener{{Name: "A", Address: ":1"}, {Name: "B", Address: ":1"}}},
		`Listen "x"`:                                 {Listeners: []Listener{{Name: "A", Address: "x"}}},
		"there is no listener OTHER":                 {Listen: ":1", Config: map[string]string{"advertised.listeners": "OTHER://a:1,PLAINTEXT://b:1"}},
	} {
		options.InMemory = true
		if _, err := New(options); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%+v: %v, want %q", options, err, want)
		}
	}
}
