package fetchsession

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unsafe"
)

// client drives a cache as a consumer does: it keeps the id and the epoch.
type client struct {
	t     *testing.T
	cache *Cache
	id    int32
	epoch int32
	nowMs int64
}

// ids gives session ids 1, 2, ...
func ids() func() int32 {
	var last int32
	return func() int32 { last++; return last }
}

func partitions(names ...string) []Partition {
	var list []Partition
	for _, name := range names {
		list = append(list, Partition{Key: Key{Topic: name}, MaxBytes: 100, CurrentLeaderEpoch: -1, LastFetchedEpoch: -1})
	}
	return list
}

func keys(names ...string) []Key {
	var list []Key
	for _, p := range partitions(names...) {
		list = append(list, p.Key)
	}
	return list
}

// found is what each partition's read gives: "a" nothing but its numbers, "a:10" ten bytes, "a!" an error.
func (c *client) fetch(found string, add []Partition, forget []Key) string {
	c.t.Helper()
	f, err := c.cache.Begin(Request{SessionID: c.id, Epoch: c.epoch, Partitions: add, Forgotten: forget}, c.nowMs)
	if err != nil {
		return err.Error()
	}
	return c.end(&f, found)
}

func (c *client) end(f *Fetch, found string) string {
	results := make([]Result, len(f.Partitions))
	for word := range strings.FieldsSeq(found) {
		name, bytes, _ := strings.Cut(word, ":")
		name, failed := strings.CutSuffix(name, "!")
		for i, p := range f.Partitions {
			if p.Topic == name {
				_, _ = fmt.Sscan(bytes, &results[i].Bytes)
				results[i].Failed = failed
				results[i].HighWatermark = int64(results[i].Bytes)
			}
		}
	}
	tell := make([]bool, len(results))
	c.id = c.cache.End(f, results, tell, c.nowMs, newIDs)
	c.epoch = nextEpoch(c.epoch)
	var told []string
	for i, p := range f.Partitions {
		if tell[i] {
			told = append(told, p.Topic)
		}
	}
	return strings.Join(told, " ")
}

var newIDs func() int32

func newClient(t *testing.T, cache *Cache) *client {
	newIDs = ids()
	return &client{t: t, cache: cache}
}

func expect(t *testing.T, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestIncrementalFetchTellsOnlyNews(t *testing.T) {
	c := newClient(t, NewCache(10, 100, 1000))
	expect(t, c.fetch("", partitions("a", "b", "c"), nil), "a b c")
	if c.id == 0 {
		t.Fatal("no session")
	}
	expect(t, c.fetch("", nil, nil), "")
	expect(t, c.fetch("b:10", nil, nil), "b")
	// Nothing to read any more, but the client was told a high watermark of 10 and now it is 0.
	expect(t, c.fetch("", nil, nil), "b")
	expect(t, c.fetch("", nil, nil), "")
}

func TestErrorIsToldEachTimeAndItsEndToo(t *testing.T) {
	c := newClient(t, NewCache(10, 100, 1000))
	c.fetch("", partitions("a", "b"), nil)
	expect(t, c.fetch("a!", nil, nil), "a")
	expect(t, c.fetch("a!", nil, nil), "a")
	expect(t, c.fetch("", nil, nil), "a")
	expect(t, c.fetch("", nil, nil), "")
}

func TestServedPartitionsMoveToTheEnd(t *testing.T) {
	c := newClient(t, NewCache(10, 100, 1000))
	expect(t, c.fetch("a:5", partitions("a", "b", "c"), nil), "a b c")
	order := func() string {
		f, err := c.cache.Begin(Request{SessionID: c.id, Epoch: c.epoch}, 0)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, p := range f.Partitions {
			names = append(names, p.Topic)
		}
		c.end(&f, "b:1 c:1")
		return strings.Join(names, " ")
	}
	expect(t, order(), "b c a") // a was served by the full fetch
	expect(t, order(), "a b c") // b and c by the one before
}

func TestAddForgetAndChangePartitions(t *testing.T) {
	c := newClient(t, NewCache(10, 100, 1000))
	c.fetch("", partitions("a", "b", "c"), nil)
	expect(t, c.fetch("a:1 b:1 c:1 d:1", partitions("d"), keys("b", "unknown")), "a c d")
	moved := partitions("c")
	moved[0].FetchOffset = 77
	f, err := c.cache.Begin(Request{SessionID: c.id, Epoch: c.epoch, Partitions: moved}, 0)
	if err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(f.Partitions, func(p Partition) bool { return p.Topic == "c" })
	if len(f.Partitions) != 3 || f.Partitions[at].FetchOffset != 77 {
		t.Errorf("partitions %+v", f.Partitions)
	}
}

func TestSessionOfNoPartitionsEnds(t *testing.T) {
	c := newClient(t, NewCache(10, 100, 1000))
	c.fetch("", partitions("a"), nil)
	c.fetch("", nil, keys("a"))
	if c.id != 0 || c.cache.Stats().Sessions != 0 {
		t.Errorf("session %d, %+v", c.id, c.cache.Stats())
	}
}

func TestSessionErrors(t *testing.T) {
	c := newClient(t, NewCache(10, 100, 1000))
	c.fetch("", partitions("a"), nil)
	for _, test := range []struct {
		request Request
		want    error
	}{
		{Request{SessionID: c.id + 1, Epoch: 1}, ErrNotFound},
		{Request{SessionID: c.id, Epoch: 2}, ErrEpoch},
		{Request{SessionID: c.id, Epoch: 1, UsesIDs: true}, ErrTopicIDs},
	} {
		if _, err := c.cache.Begin(test.request, 0); !errors.Is(err, test.want) {
			t.Errorf("%+v: error %v, want %v", test.request, err, test.want)
		}
	}
	// None of them has done the session any harm.
	expect(t, c.fetch("a:1", nil, nil), "a")
	// A repeated epoch is refused: its answer may have been lost, and the client must begin anew.
	c.epoch--
	expect(t, c.fetch("", nil, nil), ErrEpoch.Error())
}

func TestFinalEpochEndsSessionAndServesWithoutOne(t *testing.T) {
	c := newClient(t, NewCache(10, 100, 1000))
	c.fetch("", partitions("a", "b"), nil)
	id := c.id
	c.epoch = finalEpoch
	expect(t, c.fetch("", partitions("b"), nil), "b")
	if c.id != 0 || c.cache.Stats().Sessions != 0 {
		t.Errorf("session %d, %+v", c.id, c.cache.Stats())
	}
	c.id, c.epoch = id, 2
	expect(t, c.fetch("", nil, nil), ErrNotFound.Error())
}

func TestInitialEpochReplacesTheSessionThatTheClientHad(t *testing.T) {
	c := newClient(t, NewCache(1, 100, 1000))
	c.fetch("", partitions("a"), nil)
	c.epoch = initialEpoch
	c.fetch("", partitions("b"), nil)
	if s := c.cache.Stats(); c.id == 0 || s.Sessions != 1 || s.Evicted != 0 {
		t.Errorf("session %d, %+v", c.id, s)
	}
}

func TestEpochWrapsToOne(t *testing.T) {
	c := newClient(t, NewCache(1, 100, 1000))
	c.fetch("", partitions("a"), nil)
	c.cache.mu.sessions[c.id].epoch = 1<<31 - 1
	c.epoch = 1<<31 - 1
	expect(t, c.fetch("", nil, nil), "")
	if c.epoch != 1 {
		t.Fatalf("epoch %d", c.epoch)
	}
	expect(t, c.fetch("a:1", nil, nil), "a")
}

func TestFullCache(t *testing.T) {
	cache := NewCache(2, 100, 1000)
	create := func(nowMs int64, names ...string) int32 {
		f, err := cache.Begin(Request{Partitions: partitions(names...)}, nowMs)
		if err != nil {
			t.Fatal(err)
		}
		return cache.End(&f, make([]Result, len(names)), make([]bool, len(names)), nowMs, newIDs)
	}
	use := func(id, epoch int32, nowMs int64) error {
		_, err := cache.Begin(Request{SessionID: id, Epoch: epoch}, nowMs)
		return err
	}
	newIDs = ids()
	small, large := create(0, "a"), create(0, "a", "b", "c")
	if id := create(500, "a", "b"); id != 0 {
		t.Errorf("session %d took the slot of one that has just been made", id)
	}
	for epoch, nowMs := range []int64{900, 1500} {
		if err := errors.Join(use(small, int32(epoch+1), nowMs), use(large, int32(epoch+1), nowMs)); err != nil {
			t.Fatal(err)
		}
	}
	if id := create(1600, "x"); id != 0 {
		t.Errorf("session %d took the slot of one that is no smaller", id)
	}
	if id := create(1600, "a", "b"); id == 0 {
		t.Error("a small session that has had its time did not give way to a larger one")
	}
	if err := use(small, 3, 1600); !errors.Is(err, ErrNotFound) {
		t.Errorf("evicted session: %v", err)
	}
	if id := create(2501, "x"); id == 0 {
		t.Error("a session that nobody used did not give way")
	}
	if err := use(large, 3, 2501); !errors.Is(err, ErrNotFound) {
		t.Errorf("evicted session: %v", err)
	}
	if s := cache.Stats(); s.Sessions != 2 || s.Evicted != 2 {
		t.Errorf("%+v", s)
	}
}

func TestNoSlotsMeansNoSessions(t *testing.T) {
	c := newClient(t, NewCache(0, 100, 1000))
	expect(t, c.fetch("", partitions("a"), nil), "a")
	if c.id != 0 {
		t.Errorf("session %d", c.id)
	}
}

func TestSessionDoesNotKeepTheRequestsMemory(t *testing.T) {
	c := newClient(t, NewCache(1, 100, 1000))
	frame := []byte("topic-a")
	wanted := partitions(string(frame))
	c.fetch("", wanted, nil)
	key := c.cache.mu.sessions[c.id].entries[0].Key
	if key != wanted[0].Key {
		t.Fatalf("key %v", key)
	}
	if unsafeData(key.Topic) == unsafeData(wanted[0].Topic) {
		t.Error("the session's topic name is the request's")
	}
}

func TestConcurrentRequestsOfOneSession(t *testing.T) {
	c := newClient(t, NewCache(1, 100, 1000))
	c.fetch("", partitions("a", "b"), nil)
	first, err := c.cache.Begin(Request{SessionID: c.id, Epoch: 1}, 0)
	if err != nil {
		t.Fatal(err)
	}
	second, err := c.cache.Begin(Request{SessionID: c.id, Epoch: 2, Partitions: partitions("c"), Forgotten: keys("a")}, 0)
	if err != nil {
		t.Fatal(err)
	}
	expect(t, c.end(&second, "c:1"), "c")
	// a is not in the session any more: it is told, for want of anything to compare with.
	expect(t, c.end(&first, "a:1 b:2"), "a b")
	if s := c.cache.Stats(); s.Partitions != 2 {
		t.Errorf("%+v", s)
	}
}

func unsafeData(s string) *byte { return unsafe.StringData(s) }

// TestSessionsAreBoundedByTheirPartitions: a client with a long list gets what it asks for without a session, and one
// whose session would grow too large has to begin anew.
func TestSessionsAreBoundedByTheirPartitions(t *testing.T) {
	cache := NewCache(10, 4, 1000)
	large := newClient(t, cache)
	large.fetch("", partitions("a", "b", "c", "d", "e"), nil)
	if large.id != 0 {
		t.Errorf("session %d of more partitions than all may have", large.id)
	}
	first := newClient(t, cache)
	first.fetch("", partitions("a", "b", "c"), nil)
	second := newClient(t, cache)
	second.fetch("", partitions("a", "b"), nil)
	if first.id == 0 || second.id != 0 {
		t.Errorf("sessions %d and %d, of 5 partitions where 4 may be", first.id, second.id)
	}
	if got := first.fetch("", partitions("d", "e"), nil); got != ErrNotFound.Error() {
		t.Errorf("session that grew too large: %s", got)
	}
	if stats := cache.Stats(); stats.Sessions != 0 || stats.Partitions != 0 {
		t.Errorf("%+v", stats)
	}
	third := newClient(t, cache)
	third.fetch("", partitions("a", "b", "c"), nil)
	second.nowMs = 1001
	second.id, second.epoch = 0, 0
	second.fetch("", partitions("a", "b"), nil)
	if second.id == 0 || cache.Stats().Partitions != 2 {
		t.Errorf("a session that nobody uses did not make room: session %d, %+v", second.id, cache.Stats())
	}
}
