package fetchsession

import (
	"errors"
	"sync"
)

var (
	// ErrNotFound means that there is no session of that id: it was evicted, or belongs to an earlier broker.
	ErrNotFound = errors.New("no such fetch session")
	// ErrEpoch means that the request is not the one after the session's last.
	ErrEpoch = errors.New("fetch session epoch is not the next one")
	// ErrTopicIDs means that a session changed between topic names and topic ids.
	ErrTopicIDs = errors.New("fetch session changed between topic names and ids")
)

// Cache holds the sessions of a broker. Safe for concurrent use.
type Cache struct {
	slots         int
	partitionsMax int
	evictMinMs    int64

	mu struct {
		sync.Mutex
		sessions map[int32]*session
		evicted  int64
	}
}

// NewCache returns a cache of so many sessions (max.incremental.fetch.session.cache.slots); with 0 every client is
// served without one. A session that was used within evictMinMs gives way only to a larger one. All sessions together
// have at most partitionsMax partitions: without that bound a client with a long list takes any amount of memory.
func NewCache(slots, partitionsMax int, evictMinMs int64) *Cache {
	c := &Cache{slots: slots, partitionsMax: partitionsMax, evictMinMs: evictMinMs}
	c.mu.sessions = make(map[int32]*session)
	return c
}

// Request is the part of a fetch request that sessions are about.
type Request struct {
	SessionID  int32
	Epoch      int32
	UsesIDs    bool
	Partitions []Partition
	Forgotten  []Key
}

// Fetch is one fetch on its way: begun, to be read, and ended.
type Fetch struct {
	Partitions  []Partition // to read, in the order of service; the caller may fill in Name
	Incremental bool        // tell of partitions with news only

	sessionID int32 // 0: none yet
	wanted    bool  // make one
	usesIDs   bool
	order     int // of the session's entries when Partitions was made
}

// SessionID is the session that the fetch goes on with, 0 if there is none yet. A Fetch that is answered with nothing
// at all need not be ended.
func (f *Fetch) SessionID() int32 { return f.sessionID }

// Begin finds out what a request wants. Errors: ErrNotFound, ErrEpoch, ErrTopicIDs.
// The Fetch may alias req.Partitions; the strings of req are needed until End and not longer.
func (c *Cache) Begin(req Request, nowMs int64) (Fetch, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if req.Epoch == initialEpoch || req.Epoch == finalEpoch {
		delete(c.mu.sessions, req.SessionID)
		return Fetch{
			Partitions: req.Partitions,
			wanted:     req.Epoch == initialEpoch && len(req.Partitions) > 0,
			usesIDs:    req.UsesIDs,
		}, nil
	}
	s := c.mu.sessions[req.SessionID]
	switch {
	case s == nil:
		return Fetch{}, ErrNotFound
	case s.epoch != req.Epoch:
		return Fetch{}, ErrEpoch
	case s.usesIDs != req.UsesIDs:
		return Fetch{}, ErrTopicIDs
	}
	order := s.order
	for _, p := range req.Partitions {
		s.set(p)
	}
	s.forget(req.Forgotten)
	if s.order != order && c.partitionsLocked() > c.partitionsMax {
		// The client begins anew, and is served without a session if there is no room.
		delete(c.mu.sessions, s.id)
		return Fetch{}, ErrNotFound
	}
	s.lastUsedMs = nowMs
	if len(s.entries) == 0 {
		delete(c.mu.sessions, s.id)
		return Fetch{}, nil
	}
	s.epoch = nextEpoch(s.epoch)
	f := Fetch{
		Partitions:  make([]Partition, len(s.entries)),
		Incremental: true,
		sessionID:   s.id,
		order:       s.order,
	}
	for i := range s.entries {
		f.Partitions[i] = s.entries[i].Partition
	}
	return f, nil
}

// End decides what the client is told: the id of its session, 0 if it has none, and for each of f.Partitions, by
// results of the same index, whether it is part of the response. tell must be as long as results; End fills it.
// random gives the ids of new sessions.
func (c *Cache) End(f *Fetch, results []Result, tell []bool, nowMs int64, random func() int32) (sessionID int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range tell {
		tell[i] = true
	}
	if f.wanted {
		s := c.createLocked(len(f.Partitions), f.usesIDs, nowMs, random)
		if s == nil {
			return 0
		}
		for i, p := range f.Partitions {
			s.set(p)
			s.entries[s.index[p.Key]].tell(results[i])
		}
		s.rotateServed()
		return s.id
	}
	s := c.mu.sessions[f.sessionID]
	if s == nil {
		return f.sessionID
	}
	for i := range f.Partitions {
		if at := s.position(f, i); at >= 0 {
			s.entries[at].Name = f.Partitions[i].Name
			tell[i] = s.entries[at].tell(results[i])
		}
	}
	s.rotateServed()
	return s.id
}

// createLocked makes an empty session for size partitions, or returns nil if no slot is free for one.
func (c *Cache) createLocked(size int, usesIDs bool, nowMs int64, random func() int32) *session {
	if size > c.partitionsMax {
		return nil
	}
	if len(c.mu.sessions) >= c.slots && !c.evictStaleLocked(nowMs) && !c.evictSmallerLocked(size, nowMs) {
		return nil
	}
	for c.partitionsLocked()+size > c.partitionsMax {
		if !c.evictStaleLocked(nowMs) {
			return nil
		}
	}
	id := random()
	for id <= 0 || c.mu.sessions[id] != nil {
		id = random()
	}
	s := &session{
		id:         id,
		epoch:      nextEpoch(initialEpoch),
		usesIDs:    usesIDs,
		index:      make(map[Key]int, size),
		createdMs:  nowMs,
		lastUsedMs: nowMs,
	}
	c.mu.sessions[id] = s
	return s
}

// evictStaleLocked removes the session that has not been used for the longest time, if that is long enough.
func (c *Cache) evictStaleLocked(nowMs int64) bool {
	var stale *session
	for _, s := range c.mu.sessions {
		if stale == nil || s.lastUsedMs < stale.lastUsedMs {
			stale = s
		}
	}
	if stale == nil || nowMs-stale.lastUsedMs <= c.evictMinMs {
		return false
	}
	c.evictLocked(stale)
	return true
}

// evictSmallerLocked removes the smallest session if it is smaller than a new one of size partitions and has had its
// time.
func (c *Cache) evictSmallerLocked(size int, nowMs int64) bool {
	var small *session
	for _, s := range c.mu.sessions {
		if small == nil || len(s.entries) < len(small.entries) ||
			len(s.entries) == len(small.entries) && s.createdMs < small.createdMs {
			small = s
		}
	}
	if small == nil || len(small.entries) >= size || nowMs-small.createdMs <= c.evictMinMs {
		return false
	}
	c.evictLocked(small)
	return true
}

func (c *Cache) evictLocked(s *session) {
	delete(c.mu.sessions, s.id)
	c.mu.evicted++
}

// Stats are figures for metrics.
type Stats struct {
	Sessions   int
	Partitions int
	Evicted    int64
}

// Stats returns the cache's figures.
func (c *Cache) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Stats{Sessions: len(c.mu.sessions), Partitions: c.partitionsLocked(), Evicted: c.mu.evicted}
}

// partitionsLocked is how many partitions all sessions have.
func (c *Cache) partitionsLocked() int {
	count := 0
	for _, s := range c.mu.sessions {
		count += len(s.entries)
	}
	return count
}
