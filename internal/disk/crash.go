package disk

import (
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
)

// Survival says how much of what was not synced a crash leaves.
type Survival uint8

const (
	// SurvivesNothing loses all that was not synced.
	SurvivesNothing Survival = iota
	// SurvivesEverything loses nothing.
	SurvivesEverything
	// SurvivesPrefix keeps what happened before some moment, as a disk that writes in order does.
	SurvivesPrefix
	// SurvivesSome keeps any subset: a later write without an earlier one, a size without its data (which leaves
	// zeros), the removal of one name without that of another.
	SurvivesSome
)

// Crash chooses one of the states that a power loss can leave behind. Equal choices on equal histories give equal
// states.
type Crash struct {
	Data  Survival // of blocks of 4 KiB and of file sizes, each file by itself
	Names Survival // of directory entries; a rename within one directory happens or does not
	Torn  bool     // with SurvivesSome: the sectors of 512 bytes within a block survive independently
	Seed  uint64   // of what is left to chance
}

// NewCrashable returns an empty Mem that remembers what was not synced. seed and Crash.Seed together decide what
// CrashCopy leaves to chance.
func NewCrashable(seed uint64) *Mem {
	m := NewMem()
	m.makeCrashable(seed)
	return m
}

// crashes is what makes a Mem crashable. The nil *crashes is that of a plain one.
type crashes struct {
	seed uint64

	// freeze is held for reading during every change, and for writing while a copy is made, so that a copy is the
	// state of one moment.
	freeze sync.RWMutex

	sequence atomic.Uint64 // of the last change, for SurvivesPrefix
	count    atomic.Int64  // of operations
	hook     atomic.Pointer[func(n int64, call Call)]
}

func (m *Mem) makeCrashable(seed uint64) {
	m.crashes = &crashes{seed: seed}
	m.names.root.names = newNameHistory(m.crashes, nil)
}

// Operations is how many operations that change or sync something a crashable Mem has seen, failed ones included.
func (m *Mem) Operations() int64 { return m.crashes.count.Load() }

// OnOperation has hook called after each operation that changes or syncs something, with the operation's number from 1,
// by the goroutine that called the operation and with no lock of m held: hook may call CrashCopy. nil stops it.
func (m *Mem) OnOperation(hook func(n int64, call Call)) {
	if hook == nil {
		m.crashes.hook.Store(nil)
		return
	}
	m.crashes.hook.Store(&hook)
}

func noOperation() {}

// operation brackets one operation: it is called before and what it returns after, with no other lock held.
func (c *crashes) operation(call Call) func() {
	if c == nil {
		return noOperation
	}
	c.freeze.RLock()
	return func() {
		n := c.count.Add(1)
		c.freeze.RUnlock()
		if hook := c.hook.Load(); hook != nil {
			(*hook)(n, call)
		}
	}
}

// CrashCopy returns a new crashable Mem that holds what a power loss at this moment could leave. All of it is durable,
// no file is open and no lock held there. m itself goes on unchanged.
func (m *Mem) CrashCopy(choice Crash) *Mem {
	m.crashes.freeze.Lock()
	defer m.crashes.freeze.Unlock()
	copied := NewCrashable(m.crashes.seed)
	copied.budgetBytes.Store(m.budgetBytes.Load())
	s := &survivor{
		Crash:  choice,
		to:     copied,
		random: rand.New(rand.NewPCG(m.crashes.seed, choice.Seed)),
		files:  map[*content]*content{},
	}
	s.cut = s.random.Uint64N(m.crashes.sequence.Load() + 1)
	s.fillDirectory(copied.names.root, m.names.root)
	return copied
}

// KillCopy returns a new crashable Mem that holds what a killed process leaves: everything, but what was not synced is
// still not synced. No file is open and no lock held there. m itself goes on unchanged.
func (m *Mem) KillCopy() *Mem {
	m.crashes.freeze.Lock()
	defer m.crashes.freeze.Unlock()
	copied := NewCrashable(m.crashes.seed)
	copied.budgetBytes.Store(m.budgetBytes.Load())
	copied.crashes.sequence.Store(m.crashes.sequence.Load())
	k := &cloner{to: copied, nodes: map[*node]*node{}}
	copied.names.root = k.clone(m.names.root)
	return copied
}

// FlipBit inverts bit number bit of the file name, in memory and on the medium alike.
func (m *Mem) FlipBit(name string, bit int64) error {
	f, err := m.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	c := f.(*memFile).content
	c.mu.Lock()
	defer c.mu.Unlock()
	var b [1]byte
	c.copyOutLocked(b[:], bit/8)
	b[0] ^= 1 << (bit % 8)
	c.copyInLocked(b[:], bit/8)
	c.mu.history.flip(bit)
	return nil
}

// survivor builds a CrashCopy.
type survivor struct {
	Crash
	to     *Mem
	random *rand.Rand
	cut    uint64 // SurvivesPrefix keeps changes up to this one
	files  map[*content]*content
}

func (s *survivor) fillDirectory(to, from *node) {
	children := from.names.survive(s, from.children)
	for _, name := range slices.Sorted(maps.Keys(children)) {
		child := children[name]
		survived := &node{}
		if child.isDir() {
			survived.children = map[string]*node{}
			survived.names = newNameHistory(s.to.crashes, nil)
			s.fillDirectory(survived, child)
		} else {
			survived.file = s.file(child.file)
		}
		to.children[name] = survived
		to.names.durable[name] = survived
	}
}

// file copies a file, once even if the crash left two names for it.
func (s *survivor) file(from *content) *content {
	if to := s.files[from]; to != nil {
		return to
	}
	to := from.copyTo(s.to)
	from.mu.history.survive(s, to)
	s.to.usedBytes.Add(-to.mu.chargedBytes)
	to.mu.chargedBytes, to.mu.reservedSize = 0, 0
	to.settleLocked()
	s.files[from] = to
	return to
}

// copyTo copies the live bytes into a file of m, charged as this one is.
func (c *content) copyTo(m *Mem) *content {
	to := m.newContent()
	to.mu.size, to.mu.reservedSize = c.mu.size, c.mu.reservedSize
	to.mu.chunks = make([][]byte, len(c.mu.chunks))
	for i, chunk := range c.mu.chunks {
		to.mu.chunks[i] = slices.Clone(chunk)
	}
	to.settleLocked()
	return to
}

// cloner builds a KillCopy.
type cloner struct {
	to    *Mem
	nodes map[*node]*node
}

func (k *cloner) clone(from *node) *node {
	if from == nil {
		return nil
	}
	if to := k.nodes[from]; to != nil {
		return to
	}
	to := &node{}
	k.nodes[from] = to
	if !from.isDir() {
		to.file = from.file.copyTo(k.to)
		to.file.mu.history = from.file.mu.history.clone()
		if from.file.mu.unlinked {
			to.file.unlink()
		}
		return to
	}
	to.children = k.cloneAll(from.children)
	to.names = newNameHistory(k.to.crashes, k.cloneAll(from.names.durable))
	for _, change := range from.names.changes {
		change.node = k.clone(change.node)
		to.names.changes = append(to.names.changes, change)
	}
	return to
}

func (k *cloner) cloneAll(from map[string]*node) map[string]*node {
	to := make(map[string]*node, len(from))
	for name, n := range from {
		to[name] = k.clone(n)
	}
	return to
}
