package broker

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// testedClient is what e2e/results.json says of a client: what its program did when `make matrix` ran it.
type testedClient struct {
	Client, Version string
	Features        []struct{ Feature, Result, Why string }
}

// did is what became of a feature: "ok", "skip", or "" where the client's program does not try it.
func (c testedClient) did(feature string) string {
	for _, f := range c.Features {
		if f.Feature == feature {
			return f.Result
		}
	}
	return ""
}

// clientNames say more of a client than its name in the tests.
var clientNames = map[string]string{
	"aiokafka":                   "[aiokafka](https://github.com/aio-libs/aiokafka) for Python",
	"confluent-kafka-javascript": "[@confluentinc/kafka-javascript](https://github.com/confluentinc/confluent-kafka-javascript) for Node",
	"confluent-kafka-python":     "[confluent-kafka](https://github.com/confluentinc/confluent-kafka-python) for Python",
	"franz-go":                   "[franz-go](https://github.com/twmb/franz-go) for Go",
	"java":                       "[Apache Kafka](https://github.com/apache/kafka)'s own for Java: producer, consumer, admin",
	"kafka-python 2":             "[kafka-python](https://github.com/dpkp/kafka-python), as distributions have it",
	"kafka-python 3":             "kafka-python",
	"kafka-tools":                "Apache Kafka's command-line tools",
	"kafkajs":                    "[KafkaJS](https://github.com/tulios/kafkajs) for Node",
	"kcat":                       "[kcat](https://github.com/edenhill/kcat), on librdkafka",
	"rust-rdkafka":               "[rdkafka](https://github.com/fede1024/rust-rdkafka) for Rust",
	"sarama":                     "[IBM/sarama](https://github.com/IBM/sarama) for Go",
	"segmentio":                  "[segmentio/kafka-go](https://github.com/segmentio/kafka-go) for Go",
}

func testedClients(t *testing.T) []testedClient {
	t.Helper()
	var clients []testedClient
	if err := json.Unmarshal([]byte(read(t, "../e2e/results.json")), &clients); err != nil {
		t.Fatal(err)
	}
	for _, c := range clients {
		if clientNames[c.Client] == "" {
			t.Errorf("e2e runs client %q, of which docs/KAFKA.md knows nothing", c.Client)
		}
	}
	if len(clients) != len(clientNames) {
		t.Errorf("e2e ran %d clients, and docs/KAFKA.md knows %d", len(clients), len(clientNames))
	}
	return clients
}

// clientTable is one line for each client, with what it does without.
func clientTable(t *testing.T) string {
	var out strings.Builder
	out.WriteString("| | client | version | does without |\n|---|---|---|---|\n")
	for _, c := range testedClients(t) {
		var without []string
		for _, f := range c.Features {
			if f.Result == "skip" {
				without = append(without, fmt.Sprintf("%s: %s", f.Feature, f.Why))
			}
		}
		fmt.Fprintf(&out, "| %s | %s | %s | %s |\n", c.Client, clientNames[c.Client], c.Version, strings.Join(without, "; "))
	}
	return out.String()
}

// sharedFeatures are those that more than one client's program tries, in order.
func sharedFeatures(clients []testedClient) []string {
	tried := map[string]int{}
	for _, c := range clients {
		for _, f := range c.Features {
			tried[f.Feature]++
		}
	}
	var shared []string
	for feature, count := range tried {
		if count > 1 {
			shared = append(shared, feature)
		}
	}
	slices.Sort(shared)
	return shared
}

// clientMatrix is client by feature, for what several clients do.
func clientMatrix(t *testing.T) string {
	clients := testedClients(t)
	features := sharedFeatures(clients)
	clients = slices.DeleteFunc(clients, func(c testedClient) bool {
		return !slices.ContainsFunc(features, func(feature string) bool { return c.did(feature) != "" })
	})
	var out strings.Builder
	out.WriteString("| |")
	for _, c := range clients {
		fmt.Fprintf(&out, " %s |", c.Client)
	}
	out.WriteString("\n|---|" + strings.Repeat(":---:|", len(clients)) + "\n")
	marks := map[string]string{"ok": "yes", "skip": "no", "": ""}
	for _, feature := range features {
		fmt.Fprintf(&out, "| `%s` |", feature)
		for _, c := range clients {
			fmt.Fprintf(&out, " %s |", marks[c.did(feature)])
		}
		out.WriteString("\n")
	}
	return out.String()
}

// clientExtras are the features that one client alone is tried with.
func clientExtras(t *testing.T) string {
	clients := testedClients(t)
	shared := sharedFeatures(clients)
	var out strings.Builder
	out.WriteString("| client | is also tried with |\n|---|---|\n")
	for _, c := range clients {
		var alone []string
		for _, f := range c.Features {
			if f.Result == "ok" && !slices.Contains(shared, f.Feature) {
				alone = append(alone, "`"+f.Feature+"`")
			}
		}
		if len(alone) > 0 {
			fmt.Fprintf(&out, "| %s | %s |\n", c.Client, strings.Join(alone, ", "))
		}
	}
	return out.String()
}
