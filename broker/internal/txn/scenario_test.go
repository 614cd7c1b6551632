package txn

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
	scenario.RunAll(t, func() scenario.World { return newWorld() })
}

func defaultConfig() Config {
	return Config{MaxTimeoutMs: 900_000, IDExpirationMs: 7 * 86_400_000, ExpirationCheckMs: 3_600_000}
}

// world is a State with everything that happens around it written down. A writer always asks for markers.
type world struct {
	state   *State
	nowMs   int64
	records []record.Record
	refuse  bool  // appends fail
	noIDs   bool  // no producer id is at hand
	lastID  int64 // producer id that was given out
	feature int16 // transaction.version
	tickets map[Ticket]string
	last    Ticket
	writer  Ticket
	markers map[string][]Marker // handed out, by transactional id
	output  bytes.Buffer
}

func newWorld() *world {
	w := &world{feature: 2, lastID: 999}
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
	w.tickets, w.writer = make(map[Ticket]string), 0
	w.markers = make(map[string][]Marker)
	w.state = New(defaultConfig(), Environment{
		Append:             w.append,
		Reply:              w.reply,
		NewProducerID:      w.newProducerID,
		TransactionVersion: func() int16 { return w.feature },
	}, slog.New(slog.DiscardHandler))
	for _, r := range w.records {
		if err := w.state.Replay(r.Key, r.Value); err != nil {
			panic(err)
		}
	}
	w.advance()
	w.state.Loaded()
	w.poll()
}

func (w *world) advance() { w.state.Advance(w.nowMs, w.nowMs) }

func (w *world) newProducerID() (int64, bool) {
	if w.noIDs {
		return 0, false
	}
	w.lastID++
	return w.lastID, true
}

func (w *world) append(_ int64, records []record.Record) error {
	if w.refuse {
		w.printf("append refused")
		return errors.New("no space left on device")
	}
	for _, r := range records {
		w.records = append(w.records, r)
		w.printf("log: %s", describeRecord(r))
	}
	return nil
}

func (w *world) printf(format string, args ...any) { fmt.Fprintf(&w.output, format+"\n", args...) }

func (w *world) reply(to Ticket, answer any) {
	if to == w.writer {
		w.take(answer.([]Marker))
		w.writer = 0
		return
	}
	name, ok := w.tickets[to]
	if !ok {
		panic(fmt.Sprintf("ticket %d answered twice or never given: %+v", to, answer))
	}
	delete(w.tickets, to)
	w.printf("%s: %s", name, describeEnd(answer.(EndAnswer)))
}

// poll asks for markers as long as there are any.
func (w *world) poll() {
	for w.writer == 0 {
		w.last++
		w.writer = w.last
		if answer := w.state.Markers(w.writer); answer != nil {
			w.take(answer.([]Marker))
			w.writer = 0
		}
	}
}

func (w *world) take(markers []Marker) {
	for _, m := range markers {
		w.markers[m.TransactionalID] = append(w.markers[m.TransactionalID], m)
		text := fmt.Sprintf("marker: %s commit=%v id=%d epoch=%d%s", m.TransactionalID, m.Commit, m.ProducerID, m.ProducerEpoch,
			describePartitions(m.Partitions))
		if m.NewEpochOnly {
			text += " new-epoch-only"
		}
		w.printf("%s", text)
	}
}

func describeEnd(a EndAnswer) string {
	if a.Code != None || a.ProducerID == noProducerID {
		return a.Code.String()
	}
	return fmt.Sprintf("NONE id=%d epoch=%d", a.ProducerID, a.ProducerEpoch)
}

func describePartitions(partitions []Partition) string {
	text := ""
	for _, p := range partitions {
		text += fmt.Sprintf(" %s/%d", p.Topic, p.Partition)
	}
	return text
}

func describeRecord(r record.Record) string {
	var key kmsg.TxnMetadataKey
	if err := key.ReadFrom(r.Key); err != nil {
		return err.Error()
	}
	if r.Value == nil {
		return key.TransactionalID + " gone"
	}
	m, err := readValue(r.Value)
	if err != nil {
		return err.Error()
	}
	text := fmt.Sprintf("%s v%d %s id=%d epoch=%d", key.TransactionalID, r.Value[1], m.phase, m.producerID, m.producerEpoch)
	if m.previousProducerID != m.producerID {
		text += fmt.Sprintf(" previous=%d", m.previousProducerID)
	}
	if m.nextProducerID != noProducerID {
		text += fmt.Sprintf(" next=%d", m.nextProducerID)
	}
	if m.lastProducerEpoch != noProducerEpoch {
		text += fmt.Sprintf(" last=%d", m.lastProducerEpoch)
	}
	if m.version != 0 {
		text += fmt.Sprintf(" tv%d", m.version)
	}
	return text + describePartitions(m.partitions)
}

// command is one line: a verb, a transactional id, key=value options, bare words and topic/partition.
type command struct {
	verb, id   string
	options    map[string]string
	words      map[string]bool
	partitions []Partition
}

func parseCommand(line string) command {
	fields := strings.Fields(line)
	c := command{verb: fields[0], options: make(map[string]string), words: make(map[string]bool)}
	for i, f := range fields[1:] {
		key, value, isOption := strings.Cut(f, "=")
		topic, index, isPartition := strings.Cut(f, "/")
		switch {
		case isOption:
			c.options[key] = value
		case isPartition:
			number, _ := strconv.Atoi(index)
			c.partitions = append(c.partitions, Partition{topic, int32(number)})
		case i == 0:
			c.id = strings.Trim(f, `"`)
		default:
			c.words[f] = true
		}
	}
	return c
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

func (c command) ms(t *testing.T, text string) int64 {
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d.Milliseconds()
}

// version is the client's transaction version.
func (c command) version() int16 {
	if c.words["v2"] {
		return 2
	}
	return 0
}

func (w *world) Run(t *testing.T, line string) {
	t.Helper()
	c := parseCommand(line)
	w.advance()
	switch c.verb {
	case "init":
		w.init(t, c)
	case "add", "verify":
		w.claim(t, c)
	case "end":
		w.end(t, c)
	case "written":
		w.written(t, c)
	case "tick":
		w.tick(c.ms(t, c.id))
	case "restart":
		w.restart(t, c)
	case "appends":
		w.refuse = c.id == "fail"
	case "ids":
		w.noIDs = c.id == "none"
	case "feature":
		w.feature = int16(c.number(t, "level", 2))
	case "epoch":
		w.setEpoch(t, c)
	default:
		w.admin(t, c)
	}
	w.advance()
	w.poll()
}

func (w *world) init(t *testing.T, c command) {
	r := InitRequest{
		TransactionalID: c.id,
		TimeoutMs:       60_000,
		ProducerID:      c.number(t, "id", -1),
		ProducerEpoch:   int16(c.number(t, "epoch", -1)),
	}
	if text, ok := c.options["timeout"]; ok {
		r.TimeoutMs = int32(c.ms(t, text))
	}
	if a := w.state.InitProducerID(r); a.Code != None {
		w.printf("%s", a.Code)
	} else {
		w.printf("id=%d epoch=%d", a.ProducerID, a.ProducerEpoch)
	}
}

func (w *world) claim(t *testing.T, c command) {
	codes := w.state.Claim(Claim{
		TransactionalID: c.id,
		ProducerID:      c.number(t, "id", 1000),
		ProducerEpoch:   int16(c.number(t, "epoch", 0)),
		Partitions:      c.partitions,
		Add:             c.verb == "add",
		Version:         c.version(),
	})
	w.printf("%v", codes)
}

func (w *world) end(t *testing.T, c command) {
	w.last++
	to := w.last
	name := "end " + c.id
	if as, ok := c.options["as"]; ok {
		name = as
	}
	w.tickets[to] = name
	answer := w.state.End(to, EndRequest{
		TransactionalID: c.id,
		ProducerID:      c.number(t, "id", 1000),
		ProducerEpoch:   int16(c.number(t, "epoch", 0)),
		Commit:          c.words["commit"],
		Version:         c.version(),
	})
	if answer != nil {
		w.reply(to, answer)
	}
}

// written reports markers written that were handed out: of the id's latest decision or an earlier one, in all its
// partitions or some.
func (w *world) written(t *testing.T, c command) {
	markers := w.markers[c.id]
	back := c.number(t, "back", 0)
	if int64(len(markers)) <= back {
		t.Fatalf("%s has no such marker:\n%s", c.id, w.output.String())
	}
	m := markers[int64(len(markers))-1-back]
	if c.partitions == nil {
		c.partitions = m.Partitions
	}
	if !w.state.Written(m, c.partitions) {
		w.printf("not awaited")
	}
}

// tick lets time pass, stopping at every deadline on the way.
func (w *world) tick(ms int64) {
	end := w.nowMs + ms
	for w.nowMs < end {
		w.nowMs = min(max(w.state.Deadline(), w.nowMs+1), end)
		w.advance()
		w.poll()
	}
}

// restart kills the broker and starts it again, without the last records if these were not committed.
func (w *world) restart(t *testing.T, c command) {
	w.records = w.records[:len(w.records)-int(c.number(t, "lose", 0))]
	for _, name := range w.tickets {
		w.printf("%s: lost", name)
	}
	w.start()
}

// setEpoch replaces the epoch of an idle id by another one, as if it had come so far.
func (w *world) setEpoch(t *testing.T, c command) {
	m := w.state.transactions[c.id].metadata
	m.producerEpoch = int16(c.number(t, "is", 0))
	r := w.state.record(c.id, &m)
	w.records = append(w.records, r)
	if err := w.state.Replay(r.Key, r.Value); err != nil {
		t.Fatal(err)
	}
}

func (w *world) admin(t *testing.T, c command) {
	switch c.verb {
	case "describe":
		d, code := w.state.Describe(c.id)
		if code != None {
			w.printf("%s", code)
			return
		}
		w.printf("%s id=%d epoch=%d timeout=%d start=%d%s", d.Phase, d.ProducerID, d.ProducerEpoch, d.TimeoutMs, d.StartMs,
			describePartitions(d.Partitions))
	case "list":
		w.list(t, c)
	case "figures":
		f := w.state.Figures()
		text := fmt.Sprintf("ids=%d open=%d decided=%d oldest=%d", f.TransactionalIDs, f.Open, f.Decided, f.OldestStartMs)
		if f.Overdue > 0 {
			text += fmt.Sprintf(" overdue=%d", f.Overdue)
		}
		for o, count := range f.Outcomes {
			text += fmt.Sprintf(" %s=%d", Outcome(o), count)
		}
		w.printf("%s", text)
	default:
		t.Fatalf("no command %q", c.verb)
	}
}

func (w *world) list(t *testing.T, c command) {
	f := Filter{DurationMs: -1}
	if text, ok := c.options["phases"]; ok {
		f.Phases = []Phase{}
		for _, name := range strings.Split(text, ",") {
			if p, ok := PhaseNamed(name); ok {
				f.Phases = append(f.Phases, p)
			}
		}
	}
	if id := c.number(t, "id", -1); id >= 0 {
		f.ProducerIDs = []int64{id}
	}
	if text, ok := c.options["duration"]; ok {
		f.DurationMs = c.ms(t, text)
	}
	for _, l := range w.state.List(f) {
		w.printf("%s id=%d %s", l.TransactionalID, l.ProducerID, l.Phase)
	}
}
