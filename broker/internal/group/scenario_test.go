package group

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/internal/scenario"
	"github.com/millrace/millrace/log/record"
)

// TestScenarios runs every file of testdata.
func TestScenarios(t *testing.T) {
	scenario.RunAll(t, func() scenario.World { return newWorld(defaultConfig()) })
}

// world is a State with everything that happens around it written down.
type world struct {
	config  Config
	state   *State
	nowMs   int64
	wallMs  int64 // beside nowMs
	records []logged
	refuse  bool // appends fail
	tickets map[Ticket]string
	output  bytes.Buffer
	last    Ticket
	ids     map[string]int // how many member ids were made, by group and name
}

func newWorld(config Config) *world {
	w := &world{config: config, tickets: make(map[Ticket]string), ids: make(map[string]int)}
	w.start()
	return w
}

// Output returns what was printed since it was last asked.
func (w *world) Output() string {
	defer w.output.Reset()
	return w.output.String()
}

// start makes a State out of the records, as a broker does when it starts.
func (w *world) start() {
	w.state = New(w.config, Environment{
		Append: w.append, AppendTransactional: w.appendTransactional, AppendMarker: w.appendMarker, Reply: w.reply,
	}, slog.New(slog.DiscardHandler))
	for _, r := range w.records {
		if err := r.replay(w.state); err != nil {
			panic(err)
		}
	}
	w.state.Advance(w.nowMs, w.nowMs+w.wallMs)
	w.state.Loaded()
	clear(w.tickets)
}

func (w *world) append(_ int64, records []record.Record) error {
	if w.refuse {
		w.printf("append refused")
		return errors.New("no space left on device")
	}
	for _, r := range records {
		w.records = append(w.records, logged{record: r, producerID: noTransaction})
		w.printf("log: %s", describeRecord(r))
	}
	return nil
}

func (w *world) appendTransactional(by Producer, _ int64, records []record.Record) error {
	if w.refuse {
		return errors.New("no space left on device")
	}
	for _, r := range records {
		w.records = append(w.records, logged{record: r, producerID: by.ID})
		w.printf("log: %s by %d", describeRecord(r), by.ID)
	}
	return nil
}

func (w *world) appendMarker(end TransactionEnd) error {
	if w.refuse {
		return errors.New("no space left on device")
	}
	w.records = append(w.records, logged{marker: &end.Marker})
	w.printf("log: %v of %d", end.Marker.Type, end.Marker.ProducerID)
	return nil
}

func (w *world) printf(format string, args ...any) {
	fmt.Fprintf(&w.output, format+"\n", args...)
}

func (w *world) reply(to Ticket, answer any) {
	name, ok := w.tickets[to]
	if !ok {
		panic(fmt.Sprintf("ticket %d answered twice or never given: %+v", to, answer))
	}
	delete(w.tickets, to)
	switch a := answer.(type) {
	case JoinAnswer:
		w.printf("%s join: %s", name, describeJoin(a))
	case SyncAnswer:
		w.printf("%s sync: %s", name, describeSync(a))
	}
}

func describeJoin(a JoinAnswer) string {
	if a.Code != None {
		return fmt.Sprintf("%s member=%s", a.Code, a.MemberID)
	}
	text := fmt.Sprintf("generation=%d member=%s leader=%s protocol=%s", a.Generation, a.MemberID, a.Leader, a.Protocol)
	if a.SkipAssignment {
		text += " skip"
	}
	for _, m := range a.Members {
		text += fmt.Sprintf(" [%s %s]", strings.Trim(m.ID+" "+m.InstanceID, " "), strings.Trim(strconv.Quote(string(m.Metadata)), `"`))
	}
	return text
}

func describeSync(a SyncAnswer) string {
	if a.Code != None {
		return a.Code.String()
	}
	return fmt.Sprintf("protocol=%s assignment=%q", a.Protocol, a.Assignment)
}

func describeRecord(r record.Record) string {
	var offsetKey kmsg.OffsetCommitKey
	if offsetKey.ReadFrom(r.Key) == nil && offsetKey.Version == offsetKeyVersion {
		text := fmt.Sprintf("%s %s/%d", offsetKey.Group, offsetKey.Topic, offsetKey.Partition)
		var v kmsg.OffsetCommitValue
		if r.Value == nil || v.ReadFrom(r.Value) != nil {
			return text + " gone"
		}
		return fmt.Sprintf("%s v%d offset=%d", text, v.Version, v.Offset)
	}
	var groupKey kmsg.GroupMetadataKey
	if err := groupKey.ReadFrom(r.Key); err != nil {
		return err.Error()
	}
	var v kmsg.GroupMetadataValue
	if r.Value == nil || v.ReadFrom(r.Value) != nil {
		return groupKey.Group + " gone"
	}
	text := fmt.Sprintf("%s v%d generation=%d protocol=%s leader=%s", groupKey.Group, v.Version, v.Generation, orEmpty(v.Protocol), orEmpty(v.Leader))
	for _, m := range v.Members {
		text += fmt.Sprintf(" [%s %q]", m.MemberID, m.Assignment)
	}
	return text
}

// command is one line: a verb, a subject, key=value options and bare words.
type command struct {
	verb, group string
	options     map[string]string
	words       []string
}

func parseCommand(line string) command {
	fields := strings.Fields(line)
	c := command{verb: fields[0], options: make(map[string]string)}
	for _, f := range fields[1:] {
		key, value, found := strings.Cut(f, "=")
		switch {
		case found && !strings.Contains(key, "/"):
			c.options[key] = value
		case c.group == "" && len(c.words) == 0 && !strings.Contains(f, "/"):
			c.group = strings.Trim(f, `"`)
			if c.group == "" {
				c.words = append(c.words, f)
			}
		default:
			c.words = append(c.words, f)
		}
	}
	return c
}

func (c command) ms(t *testing.T, key string, otherwise time.Duration) int32 {
	text, ok := c.options[key]
	if !ok {
		return int32(otherwise.Milliseconds())
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return int32(d.Milliseconds())
}

func (c command) number(t *testing.T, key string, otherwise int64) int64 {
	text, ok := c.options[key]
	if !ok {
		return otherwise
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// flag says whether a bare word is there, such as v4.
func (c command) flag(word string) bool {
	for _, w := range c.words {
		if w == word {
			return true
		}
	}
	return false
}

func (w *world) Run(t *testing.T, line string) {
	t.Helper()
	c := parseCommand(line)
	w.state.Advance(w.nowMs, w.nowMs+w.wallMs)
	switch c.verb {
	case "set":
		w.set(t, c)
	case "join":
		w.join(t, c)
	case "sync":
		w.sync(t, c)
	case "heartbeat":
		w.printf("%s", w.state.Heartbeat(c.group, c.options["member"], c.options["instance"], int32(c.number(t, "generation", 0))))
	case "leave":
		w.leave(c)
	case "tick":
		d, err := time.ParseDuration(c.group)
		if err != nil {
			t.Fatal(err)
		}
		w.tick(d.Milliseconds())
	case "restart":
		w.start()
	case "appends":
		w.refuse = c.group == "fail"
	default:
		w.runOffsets(t, c)
	}
	w.state.Advance(w.nowMs, w.nowMs+w.wallMs)
}

// tick lets time pass, stopping at every deadline on the way.
func (w *world) tick(ms int64) {
	end := w.nowMs + ms
	for w.nowMs < end {
		next := min(max(w.state.Deadline(), w.nowMs+1), end)
		w.nowMs = next
		w.state.Advance(w.nowMs, w.nowMs+w.wallMs)
	}
}

func (w *world) set(t *testing.T, c command) {
	w.config.InitialRebalanceDelayMs = c.ms(t, "delay", time.Duration(w.config.InitialRebalanceDelayMs)*time.Millisecond)
	w.config.MaxSize = int32(c.number(t, "size", int64(w.config.MaxSize)))
	w.wallMs += int64(c.ms(t, "wall", 0))
	w.start()
}

func (w *world) ticket(c command) Ticket {
	w.last++
	w.tickets[w.last] = c.options["as"]
	return w.last
}

// randomID makes the first member of a group that is called a to a-1, the next one to a-2.
func (w *world) randomID(c command) string {
	if c.options["member"] != "" {
		return ""
	}
	name := c.group + " " + c.options["as"]
	if instance := c.options["instance"]; instance != "" {
		name = c.group + " " + instance
	}
	w.ids[name]++
	return strconv.Itoa(w.ids[name])
}

func (w *world) join(t *testing.T, c command) {
	to := w.ticket(c)
	name := c.options["as"]
	r := JoinRequest{
		Group:              c.group,
		MemberID:           c.options["member"],
		InstanceID:         c.options["instance"],
		ClientID:           name,
		ClientHost:         "/127.0.0.1",
		RandomID:           w.randomID(c),
		SessionTimeoutMs:   c.ms(t, "session", 10*time.Second),
		RebalanceTimeoutMs: c.ms(t, "rebalance", 60*time.Second),
		ProtocolType:       "consumer",
		RequireMemberID:    c.flag("v4"),
		SkipAssignment:     c.flag("v9"),
	}
	if text, ok := c.options["type"]; ok {
		r.ProtocolType = text
	}
	protocols, ok := c.options["protocols"]
	if !ok {
		protocols = "range:t"
	}
	for _, p := range strings.Split(protocols, ",") {
		if protocol, metadata, _ := strings.Cut(p, ":"); protocol != "" {
			r.Protocols = append(r.Protocols, Protocol{Name: protocol, Metadata: []byte(metadata)})
		}
	}
	if topics, ok := c.options["topics"]; ok {
		r.Protocols = []Protocol{{Name: "range", Metadata: subscription(strings.Split(topics, ",")...)}}
	}
	w.state.Join(to, r)
}

// subscription encodes a consumer protocol subscription of version 0.
func subscription(topics ...string) []byte {
	metadata := kmsg.ConsumerMemberMetadata{Version: 0, Topics: topics}
	return metadata.AppendTo(nil)
}

func (w *world) sync(t *testing.T, c command) {
	r := SyncRequest{
		Group:        c.group,
		MemberID:     c.options["member"],
		InstanceID:   c.options["instance"],
		Generation:   int32(c.number(t, "generation", 0)),
		ProtocolType: c.options["type"],
		Protocol:     c.options["protocol"],
	}
	for _, text := range strings.Split(c.options["assign"], ",") {
		if id, assignment, ok := strings.Cut(text, ":"); ok {
			r.Assignments = append(r.Assignments, Assignment{MemberID: id, Bytes: []byte(assignment)})
		}
	}
	w.state.Sync(w.ticket(c), r)
}

func (w *world) leave(c command) {
	var leavers []Leaver
	for _, word := range append(c.words, c.options["member"]+"/"+c.options["instance"]) {
		if id, instance, ok := strings.Cut(word, "/"); ok && word != "/" {
			leavers = append(leavers, Leaver{MemberID: id, InstanceID: instance})
		}
	}
	code, codes := w.state.Leave(c.group, leavers)
	w.printf("%s %v", code, codes)
}
