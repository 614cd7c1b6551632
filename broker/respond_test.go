package broker

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/internal/disk"
)

func TestFilesReachTheClientByEveryWay(t *testing.T) {
	for name, options := range map[string]Options{
		"sendfile":      {DataDir: filepath.Join(t.TempDir(), "data")},
		"direct writes": {DataDir: filepath.Join(t.TempDir(), "data"), Config: map[string]string{"millrace.write": "direct"}},
		"memory":        {},
		"not of the OS": {fileSystem: disk.NewFaults(disk.OS()), DataDir: filepath.Join(t.TempDir(), "data")},
	} {
		t.Run(name, func(t *testing.T) {
			b := startBroker(t, options, nil)
			createTopic(t, b, "t", 1)
			c := dial(t, b)
			var want []string
			for i, size := range []int{1, sendFileMin, 3 * writeChunk / 4, writeChunk / 2, 100} {
				want = append(want, strings.Repeat(string(rune('a'+i)), size))
				produce := produceRequest("t", -1, batchOf(t, want[i]))
				if code := c.ask(produce).(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode; code != 0 {
					t.Fatalf("produce: error %d", code)
				}
			}
			// Several fetches on several connections at once share the files.
			var readers sync.WaitGroup
			for range 4 {
				readers.Go(func() {
					c := dial(t, b)
					for range 5 {
						values, code := fetched(t, c.ask(fetchRequest("t", 0, 0)))
						if code != 0 || strings.Join(values, "") != strings.Join(want, "") {
							t.Errorf("fetched %d values, error %d", len(values), code)
							return
						}
					}
				})
			}
			readers.Wait()
			p := b.partitions.lookup("t", 0)
			if got, size := b.metrics.topic("t").fetchedBytes.Load(), p.Stats().SizeBytes; got != uint64(20*size) {
				t.Errorf("%d bytes were counted as fetched, want 20 times %d", got, size)
			}
		})
	}
}

func TestRangesAreReleasedHoweverAConnectionEnds(t *testing.T) {
	fsys := disk.NewMem()
	b := startBroker(t, Options{fileSystem: fsys}, nil)
	free := func() int64 {
		usage, err := fsys.Usage("/")
		if err != nil {
			t.Fatal(err)
		}
		return usage.FreeBytes
	}
	empty := free()
	createTopic(t, b, "t", 1)
	c := dial(t, b)
	for range 5 {
		c.ask(produceRequest("t", -1, batchOf(t, strings.Repeat("x", 900_000))))
	}
	// Clients that ask for megabytes and leave without reading them.
	for range 10 {
		leaver := dial(t, b)
		leaver.send(fetchRequest("t", 0, 0))
		if _, err := io.ReadFull(leaver.conn, make([]byte, 4)); err != nil { // its answer is under way
			t.Fatal(err)
		}
		_ = leaver.conn.(*net.TCPConn).SetLinger(0)
		_ = leaver.conn.Close()
	}
	waitUntil(t, func() bool { return b.server.connections()[plaintextListener] == 1 })
	// A file that is deleted takes room for as long as somebody holds it.
	remove := kmsg.NewPtrDeleteTopicsRequest()
	remove.SetVersion(1)
	remove.TopicNames = []string{"t"}
	if code := c.ask(remove).(*kmsg.DeleteTopicsResponse).Topics[0].ErrorCode; code != 0 {
		t.Fatalf("delete topic: error %d", code)
	}
	if kept := empty - free(); kept > 1<<20 {
		t.Errorf("%d bytes are still held", kept)
	}
}

func TestReadErrorNeverGivesWrongRecords(t *testing.T) {
	faults := disk.NewFaults(disk.NewMem())
	b := startBroker(t, Options{fileSystem: faults}, nil)
	createTopic(t, b, "t", 1)
	other := dial(t, b)
	value := strings.Repeat("x", 200_000)
	dial(t, b).ask(produceRequest("t", -1, batchOf(t, value)))
	told, cut := 0, 0
	for nth := 1; ; nth++ {
		faults.SetRules(disk.Rule{Kinds: []disk.Kind{disk.OpReadAt}, Pattern: "*.log", Nth: nth, Err: errors.New("bad sector")})
		failed := len(faults.Failed())
		c := dial(t, b)
		c.send(fetchRequest("t", 0, 0))
		body, err := readAnswer(c.conn)
		if err != nil { // its size was sent already: all that is left is to end the connection
			cut++
			continue
		}
		response := kmsg.NewPtrFetchResponse()
		response.SetVersion(11)
		if err := response.ReadFrom(body[4:]); err != nil {
			t.Fatal(err)
		}
		values, code := fetched(t, response)
		if code != 0 {
			told++
			continue
		}
		if len(values) != 1 || values[0] != value {
			t.Fatalf("read %d fails: %d values came", nth, len(values))
		}
		if len(faults.Failed()) == failed {
			break // there is no such read
		}
	}
	if cut == 0 || told == 0 {
		t.Errorf("%d answers were cut, %d had an error code: one of each was to be seen", cut, told)
	}
	other.expectServed()
}

func TestFlexibleAnswersHaveTagsInTheirHeaders(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	createTopic(t, b, "t", 1)
	for version, want := range map[int16]bool{11: false, 12: true} {
		c := dial(t, b)
		request := fetchRequest("t", 0, 0)
		request.SetVersion(version)
		c.send(request)
		body, err := readAnswer(c.conn)
		if err != nil {
			t.Fatal(err)
		}
		if got := binary.BigEndian.Uint32(body); got != 1 {
			t.Errorf("version %d: correlation id %d", version, got)
		}
		response := kmsg.NewPtrFetchResponse()
		response.SetVersion(version)
		body = body[4:]
		if want {
			if body[0] != 0 {
				t.Errorf("version %d: %d header tags", version, body[0])
			}
			body = body[1:]
		}
		if err := response.ReadFrom(body); err != nil {
			t.Errorf("version %d: %v", version, err)
		}
	}
}

func TestManyReadyAnswersLeaveInOneWrite(t *testing.T) {
	near, far := net.Pipe()
	defer near.Close()
	writes := &countingConn{Conn: far}
	w := answerWriter{}
	m := newMetrics(apiTable(), 10)
	w.init(writes, &m.sentBytes)
	table := apiTable()
	var read bytes.Buffer
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = read.ReadFrom(near)
	}()
	const count = 100
	for i := range int32(count) {
		s := slot{api: table.byKey(produceKey), version: 9, correlationID: i, started: time.Now(), reply: reply{response: producedAt(int64(i))}}
		if err := w.add(s, m); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.flush(); err != nil {
		t.Fatal(err)
	}
	_ = far.Close()
	<-done
	if writes.count != 1 {
		t.Errorf("%d writes for %d small answers", writes.count, count)
	}
	for i := range int64(count) {
		body, err := readAnswer(&read)
		if err != nil {
			t.Fatal(err)
		}
		response := kmsg.NewPtrProduceResponse()
		response.SetVersion(9)
		if err := response.ReadFrom(body[5:]); err != nil {
			t.Fatal(err)
		}
		if got := offsetOf(response); got != i {
			t.Fatalf("answer %d came, want %d", got, i)
		}
	}
}

// countingConn counts writes.
type countingConn struct {
	net.Conn
	count int
}

func (c *countingConn) Write(p []byte) (int, error) {
	c.count++
	return c.Conn.Write(p)
}
