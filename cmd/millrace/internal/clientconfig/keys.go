package clientconfig

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// key is a setting with its other names. options checks a value and returns what it alone decides.
type key struct {
	name    string
	aliases []string
	secret  bool
	about   string
	options func(value string) ([]kgo.Opt, error)
}

const bootstrapServers = "bootstrap.servers"

var keys = []key{
	{bootstrapServers, []string{"metadata.broker.list", "brokers"}, false, "brokers to begin with, HOST[:PORT],...", anything},
	{"client.id", nil, false, "what the client calls itself", text(kgo.ClientID)},
	{"client.rack", nil, false, "where the client is, for reading from a replica near by", text(kgo.Rack)},
	{"socket.connection.setup.timeout.ms", nil, false, "how long a connection may take", milliseconds(kgo.DialTimeout)},
	{"request.timeout.ms", []string{"socket.timeout.ms"}, false, "how long an answer may take beyond what the request allows", milliseconds(kgo.RequestTimeoutOverhead)},
	{"connections.max.idle.ms", nil, false, "when an idle connection is closed", milliseconds(kgo.ConnIdleTimeout)},
	{"metadata.max.age.ms", []string{"topic.metadata.refresh.interval.ms"}, false, "when metadata is asked for again", milliseconds(kgo.MetadataMaxAge)},

	{"acks", []string{"request.required.acks"}, false, "all, 1 or 0: whose acknowledgement a record needs", acknowledgements},
	{"compression.type", []string{"compression.codec"}, false, "none, gzip, snappy, lz4 or zstd", compression},
	{"linger.ms", []string{"queue.buffering.max.ms"}, false, "how long a record waits for others", lingerMilliseconds},
	{"max.in.flight.requests.per.connection", []string{"max.in.flight"}, false, "produce requests under way at once",
		whole(1, 5, func(n int64) kgo.Opt { return kgo.MaxProduceRequestsInflightPerBroker(int(n)) })},

	{"fetch.min.bytes", nil, false, "how much a fetch waits for", whole(1, math.MaxInt32, func(n int64) kgo.Opt { return kgo.FetchMinBytes(int32(n)) })},
	{"fetch.max.bytes", nil, false, "how much a fetch returns", whole(1, math.MaxInt32, func(n int64) kgo.Opt { return kgo.FetchMaxBytes(int32(n)) })},
	{"fetch.max.wait.ms", []string{"fetch.wait.max.ms"}, false, "how long a fetch waits", milliseconds(kgo.FetchMaxWait)},
	{"max.partition.fetch.bytes", []string{"fetch.message.max.bytes"}, false, "how much a fetch returns of one partition",
		whole(1, math.MaxInt32, func(n int64) kgo.Opt { return kgo.FetchMaxPartitionBytes(int32(n)) })},
	{"isolation.level", nil, false, "read_committed; reading what is not committed is not possible here", oneOf("read_committed")},
	{"group.instance.id", nil, false, "the name of a static member", text(kgo.InstanceID)},
	{"session.timeout.ms", nil, false, "when a silent member leaves its group", milliseconds(kgo.SessionTimeout)},
	{"heartbeat.interval.ms", nil, false, "how often a member speaks", milliseconds(kgo.HeartbeatInterval)},

	{"security.protocol", nil, false, "PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL", oneOf(protocols...)},
	{"ssl.ca.location", nil, false, "file of certificates (PEM) that sign the brokers'; else the system's", anything},
	{"ssl.certificate.location", nil, false, "file of this client's certificate (PEM)", anything},
	{"ssl.key.location", nil, false, "file of this client's key (PEM)", anything},
	{"ssl.endpoint.identification.algorithm", nil, false, "https, or none: the broker's certificate may have any name", oneOf("https", "none", "")},
	{"enable.ssl.certificate.verification", nil, false, "false takes any certificate", oneOf("true", "false")},
	{"sasl.mechanism", []string{"sasl.mechanisms"}, false, "PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512", oneOf(mechanisms...)},
	{"sasl.username", nil, false, "the user", anything},
	{"sasl.password", nil, true, "the user's password", anything},
	{"sasl.jaas.config", nil, true, "user and password as the Java client has them", loginModule},
}

// withoutEffect are settings of clients that the files of other tools have and that mean nothing here:
// the command line decides, or the program knows better.
var withoutEffect = []string{
	"key.serializer", "value.serializer", "key.deserializer", "value.deserializer", "group.id", "auto.offset.reset", "enable.auto.commit",
	"auto.commit.interval.ms", "enable.idempotence", "max.poll.records", "default.api.timeout.ms", "ssl.truststore.type", "ssl.keystore.type",
	"retries", "retry.backoff.ms", "retry.backoff.max.ms", "reconnect.backoff.ms", "reconnect.backoff.max.ms", "delivery.timeout.ms",
	"batch.size", "buffer.memory", "max.request.size", "max.poll.interval.ms", "partition.assignment.strategy", "client.dns.lookup",
}

// find returns the setting that name, canonical or not, means.
func find(name string) (key, bool) {
	at := slices.IndexFunc(keys, func(k key) bool { return k.name == name || slices.Contains(k.aliases, name) })
	if at < 0 {
		return key{}, false
	}
	return keys[at], true
}

// names returns all names that are known.
func names() (all []string) {
	for _, k := range keys {
		all = append(append(all, k.name), k.aliases...)
	}
	return all
}

// Names returns the canonical names with what they are about, for completion and the reference.
func Names() (all [][2]string) {
	for _, k := range keys {
		all = append(all, [2]string{k.name, k.about})
	}
	return all
}

func anything(string) ([]kgo.Opt, error) { return nil, nil }

func text[O kgo.Opt](option func(string) O) func(string) ([]kgo.Opt, error) {
	return func(value string) ([]kgo.Opt, error) {
		if value == "" {
			return nil, fmt.Errorf("it is empty")
		}
		return []kgo.Opt{option(value)}, nil
	}
}

func whole(least, most int64, option func(int64) kgo.Opt) func(string) ([]kgo.Opt, error) {
	return func(value string) ([]kgo.Opt, error) {
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil || n < least || n > most {
			return nil, fmt.Errorf("%q is not a whole number from %d to %d", value, least, most)
		}
		return []kgo.Opt{option(n)}, nil
	}
}

// dayMs bounds every time: more is a slip of the keyboard.
const dayMs = 24 * 60 * 60 * 1000

func milliseconds[O kgo.Opt](option func(time.Duration) O) func(string) ([]kgo.Opt, error) {
	return whole(1, dayMs, func(n int64) kgo.Opt { return option(time.Duration(n) * time.Millisecond) })
}

// lingerMilliseconds takes fractions, as librdkafka does.
func lingerMilliseconds(value string) ([]kgo.Opt, error) {
	ms, err := strconv.ParseFloat(value, 64)
	if err != nil || !(ms >= 0 && ms <= dayMs) {
		return nil, fmt.Errorf("%q is not a number from 0 to %d", value, dayMs)
	}
	return []kgo.Opt{kgo.ProducerLinger(time.Duration(ms * float64(time.Millisecond)))}, nil
}

func oneOf(words ...string) func(string) ([]kgo.Opt, error) {
	return func(value string) ([]kgo.Opt, error) {
		if !slices.ContainsFunc(words, func(word string) bool { return strings.EqualFold(word, value) }) {
			return nil, fmt.Errorf("%q is none of %s", value, strings.Join(slices.DeleteFunc(slices.Clone(words), func(w string) bool { return w == "" }), ", "))
		}
		return nil, nil
	}
}

func acknowledgements(value string) ([]kgo.Opt, error) {
	acks, err := Acks(value)
	return []kgo.Opt{kgo.RequiredAcks(acks)}, err
}

// Acks reads whose acknowledgement a record needs: all (or -1), 1 or 0.
func Acks(value string) (kgo.Acks, error) {
	switch value {
	case "all", "-1":
		return kgo.AllISRAcks(), nil
	case "1":
		return kgo.LeaderAck(), nil
	case "0":
		return kgo.NoAck(), nil
	}
	return kgo.AllISRAcks(), fmt.Errorf("%q is none of all, 1, 0", value)
}

// Codecs are the names of compression codecs.
var Codecs = []string{"none", "gzip", "snappy", "lz4", "zstd"}

// Codec returns the codec of a name in Codecs.
func Codec(name string) kgo.CompressionCodec {
	switch name {
	case "gzip":
		return kgo.GzipCompression()
	case "snappy":
		return kgo.SnappyCompression()
	case "lz4":
		return kgo.Lz4Compression()
	case "zstd":
		return kgo.ZstdCompression()
	}
	return kgo.NoCompression()
}

func compression(value string) ([]kgo.Opt, error) {
	if _, err := oneOf(Codecs...)(value); err != nil {
		return nil, err
	}
	return []kgo.Opt{kgo.ProducerBatchCompression(Codec(value))}, nil
}
