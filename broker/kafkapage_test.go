package broker

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/broker/internal/config"
	"github.com/millrace/millrace/broker/internal/metadata"
)

//go:generate go test -run TestKafkaPageSaysWhatIsServed . -update

var update = flag.Bool("update", false, "write the generated parts of docs/KAFKA.md anew")

const kafkaPage = "../docs/KAFKA.md"

// docs/KAFKA.md is prose with generated parts in it, each between a line "<!-- generated: NAME -->" and the next
// "<!-- end -->". What they say comes from the code, so that it is true.
var generated = map[string]func(*testing.T) string{
	"apis":            servedTable,
	"unserved":        unservedTable,
	"features":        featureTable,
	"clients":         clientTable,
	"client matrix":   clientMatrix,
	"client extras":   clientExtras,
	"broker settings": brokerSettingsTable,
	"topic settings":  topicSettingsTable,
}

func TestKafkaPageSaysWhatIsServed(t *testing.T) {
	bytes, err := os.ReadFile(kafkaPage)
	if err != nil {
		t.Fatal(err)
	}
	was, is := string(bytes), string(bytes)
	for _, name := range slices.Sorted(maps.Keys(generated)) {
		if is, err = replacePart(is, name, generated[name](t)); err != nil {
			t.Fatalf("%s: %v", kafkaPage, err)
		}
	}
	if is == was {
		return
	}
	if !*update {
		t.Fatalf("%s is stale: run `make generate`\n%s", kafkaPage, firstDifference(was, is))
	}
	if err := os.WriteFile(kafkaPage, []byte(is), 0o644); err != nil {
		t.Fatal(err)
	}
}

func replacePart(page, name, content string) (string, error) {
	begin, end := "<!-- generated: "+name+" -->\n", "<!-- end -->"
	before, rest, ok := strings.Cut(page, begin)
	if !ok {
		return "", fmt.Errorf("no line %q", strings.TrimSpace(begin))
	}
	at := strings.Index(rest, end)
	if at < 0 {
		return "", fmt.Errorf("no %q after %q", end, strings.TrimSpace(begin))
	}
	return before + begin + "\n" + content + "\n" + rest[at:], nil
}

func firstDifference(was, is string) string {
	old, wanted := strings.Split(was, "\n"), strings.Split(is, "\n")
	for i := range min(len(old), len(wanted)) {
		if old[i] != wanted[i] {
			return fmt.Sprintf("line %d is   %s\nand should be %s", i+1, old[i], wanted[i])
		}
	}
	return fmt.Sprintf("%d lines, should be %d", len(old), len(wanted))
}

// apiNotes say what the versions of an API do not tell.
var apiNotes = map[kmsg.Key]string{
	kmsg.Produce:                      "One batch of format 2 per partition. 0-2 are advertised and refused, so that librdkafka 2.0 compresses (KAFKA-18659). Topic ids from 13.",
	kmsg.Fetch:                        "Long polls, sessions (KIP-227), leader epochs (KIP-320), diverging epochs (KIP-595). Topic ids from 13.",
	kmsg.ListOffsets:                  "By time, and -1 to -6. -5 and -6, which are about tiered storage, are never found.",
	kmsg.Metadata:                     "Creates missing topics when client and broker both want it, and answers once they can be used.",
	kmsg.OffsetCommit:                 "Topic ids from 10.",
	kmsg.OffsetFetch:                  "Several groups from 8, topic ids from 10.",
	kmsg.FindCoordinator:              "Groups and transactions. Share groups are refused.",
	kmsg.JoinGroup:                    "The classic protocol: eager and cooperative, static members (KIP-345).",
	kmsg.Heartbeat:                    "",
	kmsg.LeaveGroup:                   "Several members from 3.",
	kmsg.SyncGroup:                    "",
	kmsg.DescribeGroups:               "",
	kmsg.ListGroups:                   "By state and type. Every group is of type classic.",
	kmsg.ApiVersions:                  "A version that is not known is answered in version 0 with the range that is (KIP-511).",
	kmsg.CreateTopics:                 "Replication factor 1, or -1.",
	kmsg.DeleteTopics:                 "By name, from 6 by id.",
	kmsg.DeleteRecords:                "",
	kmsg.InitProducerID:               "Idempotent and transactional producers.",
	kmsg.OffsetForLeaderEpoch:         "",
	kmsg.DescribeConfigs:              "Topics, this broker, all brokers, and the level of the logger `root`; with sources, synonyms, types and documentation.",
	kmsg.AlterConfigs:                 "Topics and brokers.",
	kmsg.DescribeLogDirs:              "",
	kmsg.CreatePartitions:             "",
	kmsg.DeleteGroups:                 "",
	kmsg.IncrementalAlterConfigs:      "Topics, brokers, and the level of the logger `root`.",
	kmsg.OffsetDelete:                 "",
	kmsg.DescribeCluster:              "",
	kmsg.DescribeClientQuotas:         "",
	kmsg.AlterClientQuotas:            "An `ip` is an address, not a host name.",
	kmsg.DescribeACLs:                 "SECURITY_DISABLED: there is no authorizer.",
	kmsg.CreateACLs:                   "SECURITY_DISABLED.",
	kmsg.DeleteACLs:                   "SECURITY_DISABLED.",
	kmsg.AlterReplicaLogDirs:          "To the one directory that there is.",
	kmsg.ElectLeaders:                 "ELECTION_NOT_NEEDED: a partition has one replica.",
	kmsg.AlterPartitionAssignments:    "To this broker, where every partition is already; nothing to cancel.",
	kmsg.ListPartitionReassignments:   "There are none.",
	kmsg.DescribeQuorum:               "A quorum of one.",
	kmsg.UpdateFeatures:               "`transaction.version` from 0 to 2.",
	kmsg.DescribeProducers:            "",
	kmsg.UnregisterBroker:             "The only broker stays.",
	kmsg.DescribeUserSCRAMCredentials: "No user has a password.",
	kmsg.AddPartitionsToTxn:           "4 and 5, of several transactions, as brokers send them.",
	kmsg.AddOffsetsToTxn:              "",
	kmsg.DescribeTransactions:         "",
	kmsg.ListTransactions:             "",
	kmsg.EndTxn:                       "Answered when readers see the outcome.",
	kmsg.WriteTxnMarkers:              "For operators: ends a transaction in a partition behind the coordinator's back.",
	kmsg.TxnOffsetCommit:              "The group joins the transaction by itself from 5. Topic ids from 6.",
	kmsg.ListConfigResources:          "",
	kmsg.DescribeTopicPartitions:      "Pages of up to 2000 partitions.",
}

func servedTable(t *testing.T) string {
	var out strings.Builder
	out.WriteString("| key | API | served | advertised | |\n|---:|---|---|---|---|\n")
	for _, a := range apiTable() {
		note, ok := apiNotes[kmsg.Key(a.key)]
		if !ok {
			t.Errorf("%s has no note, be it an empty one", a.name)
		}
		fmt.Fprintf(&out, "| %d | %s | %s | %s | %s |\n", a.key, a.name, versions(a.min, a.max), versions(a.advertisedMin(), a.max), note)
	}
	for key := range apiNotes {
		if apiTable().byKey(int16(key)) == nil {
			t.Errorf("a note on %s, which is not served", key.Name())
		}
	}
	return out.String()
}

func versions(from, to int16) string {
	if from == to {
		return fmt.Sprint(from)
	}
	return fmt.Sprintf("%d-%d", from, to)
}

// unserved is everything else that there is in the protocol, and why it is not here.
var unserved = []struct {
	what string
	keys []kmsg.Key
}{
	{"SASL, tokens and users", []kmsg.Key{17, 36, 38, 39, 40, 41, 51}},
	{"The newer group protocol (KIP-848)", []kmsg.Key{68, 69}},
	{"Share groups (KIP-932)", []kmsg.Key{76, 77, 78, 79, 83, 84, 85, 86, 87, 90, 91, 92}},
	{"Streams groups (KIP-1071)", []kmsg.Key{88, 89, 93}},
	{"Telemetry (KIP-714)", []kmsg.Key{71, 72}},
	{"Other brokers of a quorum", []kmsg.Key{52, 53, 54, 56, 80, 81, 82}},
	{"Between brokers", []kmsg.Key{4, 5, 6, 7, 58, 59, 62, 63, 67, 70, 73, 94}},
}

func unservedTable(t *testing.T) string {
	table, listed := apiTable(), map[kmsg.Key]bool{}
	var out strings.Builder
	out.WriteString("| | APIs |\n|---|---|\n")
	for _, u := range unserved {
		var names []string
		for _, key := range u.keys {
			if table.byKey(int16(key)) != nil || listed[key] {
				t.Errorf("%s is served, or listed twice", key.Name())
			}
			listed[key] = true
			names = append(names, fmt.Sprintf("%s (%d)", kmsg.NameForKey(int16(key)), key))
		}
		fmt.Fprintf(&out, "| %s | %s |\n", u.what, strings.Join(names, ", "))
	}
	for key := range int16(kmsg.MaxKey) + 1 {
		if kmsg.RequestForKey(key) != nil && table.byKey(key) == nil && !listed[kmsg.Key(key)] {
			t.Errorf("%s (%d) is neither served nor listed as not served", kmsg.NameForKey(key), key)
		}
	}
	return out.String()
}

func featureTable(*testing.T) string {
	var out strings.Builder
	out.WriteString("| feature | levels | finalized |\n|---|---|---|\n")
	for _, f := range features {
		finalized := "no"
		if level := f.finalized(metadata.Empty("", 0)); level > 0 {
			finalized = fmt.Sprint(level)
		}
		fmt.Fprintf(&out, "| `%s` | %s | %s |\n", f.name, versions(f.min, f.max), finalized)
	}
	return out.String()
}

func read(t *testing.T, name string) string {
	t.Helper()
	bytes, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(bytes)
}

func brokerSettingsTable(t *testing.T) string {
	b, err := config.ParseBroker(nil)
	if err != nil {
		t.Fatal(err)
	}
	// A broker setting is read by itself, or as what a setting of topics, or another one, takes its value from.
	inForce := readSettings(reflect.TypeFor[config.Broker](), b.Describe())
	for _, d := range b.Describe() {
		if inForce[d.Name] {
			noteSynonyms(inForce, d)
		}
	}
	topics := readSettings(reflect.TypeFor[config.Topic](), b.DescribeTopic(nil))
	for _, d := range b.DescribeTopic(nil) {
		if topics[d.Name] {
			noteSynonyms(inForce, d)
		}
	}
	return settingsTable(b.Describe(), inForce, config.Dynamic)
}

func topicSettingsTable(t *testing.T) string {
	b, err := config.ParseBroker(nil)
	if err != nil {
		t.Fatal(err)
	}
	return settingsTable(b.DescribeTopic(nil), readSettings(reflect.TypeFor[config.Topic](), b.DescribeTopic(nil)),
		func(string) bool { return false }) // all of them: it goes without saying
}

// readSettings are the settings that the typed configuration has a field for: the others are stored and shown, and
// nothing looks at them.
func readSettings(holder reflect.Type, all []config.Description) map[string]bool {
	inForce := map[string]bool{}
	for _, d := range all {
		field := ""
		for part := range strings.SplitSeq(d.Name, ".") {
			field += strings.ToUpper(part[:1]) + part[1:]
		}
		_, inForce[d.Name] = holder.FieldByName(field)
	}
	return inForce
}

func noteSynonyms(inForce map[string]bool, d config.Description) {
	for _, synonym := range d.Synonyms {
		inForce[synonym.Name] = true
	}
}

var kindNames = map[config.Kind]string{
	config.Boolean: "boolean", config.String: "string", config.Int: "int", config.Short: "short", config.Long: "long",
	config.Double: "double", config.List: "list",
}

func settingsTable(all []config.Description, inForce map[string]bool, dynamic func(name string) bool) string {
	var out strings.Builder
	out.WriteString("| name | type | default | |\n|---|---|---|---|\n")
	for _, d := range all {
		value := "none"
		if d.Value != nil {
			value = "`" + *d.Value + "`"
			if *d.Value == "" {
				value = "empty"
			}
		}
		note := d.Doc
		if choice := d.Expectation(); strings.HasPrefix(choice, "one of ") {
			note += " " + strings.ToUpper(choice[:1]) + choice[1:] + "."
		}
		if !inForce[d.Name] && !strings.Contains(note, "Kept for compatibility") {
			note += " *Stored, without effect.*"
		}
		if dynamic(d.Name) {
			note += " *At run time.*"
		}
		fmt.Fprintf(&out, "| `%s` | %s | %s | %s |\n", d.Name, kindNames[d.Kind], value, note)
	}
	return out.String()
}

// Each handler file is headed by the versions of its APIs: the reader of a handler wants to know them.
func TestHandlerFilesSayTheVersionsInTheTable(t *testing.T) {
	files, err := filepath.Glob("handle_*.go")
	if err != nil {
		t.Fatal(err)
	}
	var comments strings.Builder
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		for line := range strings.Lines(read(t, name)) {
			if text, ok := strings.CutPrefix(line, "//"); ok {
				comments.WriteString(strings.TrimSpace(text) + " ")
			}
		}
	}
	for _, a := range apiTable() {
		said := regexp.MustCompile(`\b` + a.name + ` ([0-9]+(?:-[0-9]+)?)`).FindStringSubmatch(comments.String())
		if said == nil {
			t.Errorf("no handle_*.go says the versions of %s", a.name)
		} else if want := versions(a.min, a.max); said[1] != want {
			t.Errorf("a comment says %s %s, the table %s", a.name, said[1], want)
		}
	}
}
