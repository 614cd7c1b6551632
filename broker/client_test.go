package broker

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/log/record"
)

// startBroker starts a broker in memory on a free port of the loopback, and closes it when the test ends.
// change, which may be nil, is called before the start.
func startBroker(t testing.TB, options Options, change func(*Broker)) *Broker {
	t.Helper()
	if options.DataDir == "" {
		options.InMemory = true
	}
	if options.Listener == nil {
		options.Listen = "127.0.0.1:0"
	}
	b, err := New(options)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(b)
	}
	if err := b.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return b
}

// serveWith makes the broker answer requests of that key by handle.
func serveWith(key int16, handle func(*Broker, *call, kmsg.Request) (reply, error)) func(*Broker) {
	return func(b *Broker) { b.apis.byKey(key).serve = handle }
}

// client speaks the bare protocol.
type client struct {
	t       testing.TB
	conn    net.Conn
	next    int32 // correlation id
	pending []kmsg.Request
}

func dial(t testing.TB, b *Broker) *client {
	t.Helper()
	conn, err := net.Dial("tcp", b.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return newClient(t, conn)
}

func newClient(t testing.TB, conn net.Conn) *client {
	t.Cleanup(func() { _ = conn.Close() })
	return &client{t: t, conn: conn}
}

var formatter = kmsg.NewRequestFormatter(kmsg.FormatterClientID("test"))

// send writes a request in the version that it has.
func (c *client) send(requests ...kmsg.Request) {
	c.t.Helper()
	var frames []byte
	for _, r := range requests {
		frames = append(frames, c.encode(r)...)
	}
	c.write(frames)
}

// encode returns the frame of a request whose answer is to come.
func (c *client) encode(r kmsg.Request) []byte {
	c.next++
	if p, ok := r.(*kmsg.ProduceRequest); !ok || p.Acks != 0 {
		c.pending = append(c.pending, r)
	}
	return formatter.AppendRequest(nil, r, c.next)
}

func (c *client) write(b []byte) {
	c.t.Helper()
	if _, err := c.conn.Write(b); err != nil {
		c.t.Fatal(err)
	}
}

// receive reads the answer to the oldest request that waits for one.
func (c *client) receive() kmsg.Response {
	c.t.Helper()
	r := c.pending[0]
	c.pending = c.pending[1:]
	body, err := readAnswer(c.conn)
	if err != nil {
		c.t.Fatal(err)
	}
	response := r.ResponseKind()
	body = body[4:]
	if response.IsFlexible() && r.Key() != apiVersionsKey {
		body = body[1:]
	}
	if err := response.ReadFrom(body); err != nil {
		c.t.Fatalf("answer to key %d version %d: %v", r.Key(), r.GetVersion(), err)
	}
	return response
}

// ask sends a request and returns its answer.
func (c *client) ask(r kmsg.Request) kmsg.Response {
	c.t.Helper()
	c.send(r)
	return c.receive()
}

// readAnswer reads an answer from its correlation id on.
func readAnswer(r io.Reader) ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	body := make([]byte, binary.BigEndian.Uint32(size[:]))
	_, err := io.ReadFull(r, body)
	return body, err
}

// expectClosed fails unless the broker closes the connection without another byte.
func (c *client) expectClosed() {
	c.t.Helper()
	n, err := c.conn.Read(make([]byte, 1))
	if n > 0 {
		c.t.Fatal("the broker answered, want a closed connection")
	}
	if !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
		c.t.Fatalf("read: %v, want a closed connection", err)
	}
}

func apiVersionsRequest(version int16) *kmsg.ApiVersionsRequest {
	r := kmsg.NewPtrApiVersionsRequest()
	r.SetVersion(version)
	r.ClientSoftwareName, r.ClientSoftwareVersion = "test", "1.0"
	return r
}

// expectServed fails unless the broker answers on this connection.
func (c *client) expectServed() {
	c.t.Helper()
	response := c.ask(apiVersionsRequest(3)).(*kmsg.ApiVersionsResponse)
	if response.ErrorCode != 0 || len(response.ApiKeys) == 0 {
		c.t.Fatalf("ApiVersions: error %d, %d keys", response.ErrorCode, len(response.ApiKeys))
	}
}

// createTopic makes a topic in the broker.
func createTopic(t testing.TB, b *Broker, name string, partitions int32) {
	t.Helper()
	if _, err := b.controller.ensureTopic(context.Background(), name, partitions, nil, false); err != nil {
		t.Fatal(err)
	}
}

// batchOf returns a batch with these values.
func batchOf(t testing.TB, values ...string) []byte {
	t.Helper()
	var builder record.Builder
	for i, v := range values {
		builder.Add(1000+int64(i), nil, []byte(v))
	}
	batch, err := builder.Build()
	if err != nil {
		t.Fatal(err)
	}
	return batch
}

// produceRequest asks for one batch to be written to partition 0 of topic.
func produceRequest(topic string, acks int16, batch []byte) *kmsg.ProduceRequest {
	r := kmsg.NewPtrProduceRequest()
	r.SetVersion(9)
	r.Acks = acks
	p := kmsg.NewProduceRequestTopicPartition()
	p.Records = batch
	rt := kmsg.NewProduceRequestTopic()
	rt.Topic, rt.Partitions = topic, []kmsg.ProduceRequestTopicPartition{p}
	r.Topics = []kmsg.ProduceRequestTopic{rt}
	return r
}

// fetchRequest reads partition 0 of topic from an offset on.
func fetchRequest(topic string, offset int64, waitMs int32) *kmsg.FetchRequest {
	r := kmsg.NewPtrFetchRequest()
	r.SetVersion(11)
	r.MaxWaitMillis, r.MinBytes, r.MaxBytes, r.SessionEpoch = waitMs, 1, 64<<20, -1
	p := kmsg.NewFetchRequestTopicPartition()
	p.FetchOffset, p.PartitionMaxBytes, p.CurrentLeaderEpoch = offset, 64<<20, -1
	rt := kmsg.NewFetchRequestTopic()
	rt.Topic, rt.Partitions = topic, []kmsg.FetchRequestTopicPartition{p}
	r.Topics = []kmsg.FetchRequestTopic{rt}
	return r
}

// fetched returns the values in a fetch answer and its error code.
func fetched(t testing.TB, response kmsg.Response) (values []string, code int16) {
	t.Helper()
	p := response.(*kmsg.FetchResponse).Topics[0].Partitions[0]
	for rest := p.RecordBatches; len(rest) > 0; {
		var batch record.Batch
		var err error
		if batch, rest, err = record.Next(rest); err != nil {
			t.Fatal(err)
		}
		reader, err := batch.Records(1 << 20)
		if err != nil {
			t.Fatal(err)
		}
		for reader.Next() {
			values = append(values, string(reader.Record().Value))
		}
		if err := reader.Err(); err != nil {
			t.Fatal(err)
		}
	}
	return values, p.ErrorCode
}

// testLogger writes to standard error when MILLRACE_TEST_LOG is set.
func testLogger() *slog.Logger {
	if os.Getenv("MILLRACE_TEST_LOG") == "" {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func uniqueName(i int) string { return fmt.Sprintf("topic-%d", i) }
