// rawsrv is no broker: it is the ceiling for one. It speaks just enough of the Kafka protocol for a client to produce and
// consume, does the least a Go server can do for a batch (read the frame, patch the base offset, write the bytes, answer)
// and keeps no promise. Measure a broker against it with kload and kblast.
package main

import (
	"encoding/binary"
	"flag"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/bench/internal/rep"
)

var (
	addr  = flag.String("addr", "127.0.0.1:19092", "address to listen on")
	dir   = flag.String("dir", "", "directory for the logs; empty: a new one")
	parts = flag.Int("partitions", 1, "partitions of every topic")
	store = flag.String("store", "page", "null: keep nothing; page: write; sync: write and fdatasync for each request; group: write, and one fdatasync for all that came meanwhile; direct: gather in memory, write with O_DIRECT and O_DSYNC, answer when durable; directnosync: the same without O_DSYNC; mem: keep in memory")
	check = flag.Bool("crc", true, "check each batch's sum")
	send  = flag.Bool("sendfile", false, "answer fetches by sendfile instead of pread and writev")
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

type ent struct {
	base int64
	pos  int64
	len  int64
}

type part struct {
	mu   sync.Mutex
	f    *os.File
	pos  int64
	next int64
	idx  []ent
	mem  [][]byte
	wake chan struct{}

	// Group commit: what was written by now and what is durable, as counts of bytes.
	cond   *sync.Cond
	synced int64

	// Direct writes: cur gathers what comes while the other buffer is being written.
	fd    int
	cur   []byte
	spare []byte
	n     int   // bytes in cur
	base  int64 // where cur lies in the file, a multiple of the block
}

const (
	block = 4096
	slab  = 16 << 20
	ahead = 256 << 20 // bytes allocated ahead of the writes
)

func aligned() []byte {
	b, err := syscall.Mmap(-1, 0, slab, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		rep.Must(err)
	}
	return b
}

// commitDirect writes what has gathered, whole blocks, the last one padded and written again by the next write.
func (x *part) commitDirect() {
	alloc := int64(0)
	x.mu.Lock()
	for {
		for x.synced == x.pos {
			x.cond.Wait()
		}
		old, n, base, to := x.cur, x.n, x.base, x.pos
		full := n &^ (block - 1)
		x.cur, x.spare = x.spare, nil
		x.n = copy(x.cur, old[full:n])
		x.base = base + int64(full)
		x.cond.Broadcast()
		x.mu.Unlock()
		up := (n + block - 1) &^ (block - 1)
		clear(old[n:up])
		if base+int64(up) > alloc {
			if err := syscall.Fallocate(x.fd, 0, alloc, ahead); err != nil {
				return
			}
			alloc += ahead
		}
		if _, err := syscall.Pwrite(x.fd, old[:up], base); err != nil {
			return // the topic was deleted
		}
		x.mu.Lock()
		x.spare = old
		x.synced = to
		x.cond.Broadcast()
	}
}

// commit makes what was written durable, again and again, each time for all writers at once.
func (x *part) commit() {
	x.mu.Lock()
	for {
		for x.synced == x.pos {
			x.cond.Wait()
		}
		to := x.pos
		x.mu.Unlock()
		if err := syscall.Fdatasync(int(x.f.Fd())); err != nil {
			return // the topic was deleted
		}
		x.mu.Lock()
		x.synced = to
		x.cond.Broadcast()
	}
}

// wait returns when the first n bytes of x are durable.
func (x *part) wait(n int64) {
	x.mu.Lock()
	for x.synced < n {
		x.cond.Wait()
	}
	x.mu.Unlock()
}

// due is an answer that waits until its batches are durable.
type due struct {
	out []byte
	x   []*part
	at  []int64
}

type tp struct {
	t string
	p int32
}

var (
	mu  sync.Mutex
	all = map[tp]*part{}
)

func get(t string, p int32) *part {
	mu.Lock()
	defer mu.Unlock()
	x := all[tp{t, p}]
	if x == nil {
		f, err := os.Create(filepath.Join(*dir, t+"-"+strconv.Itoa(int(p))+".log"))
		if err != nil {
			rep.Must(err)
		}
		x = &part{f: f, wake: make(chan struct{})}
		x.cond = sync.NewCond(&x.mu)
		all[tp{t, p}] = x
		switch *store {
		case "group":
			go x.commit()
		case "direct", "directnosync":
			flags := syscall.O_RDWR | syscall.O_DIRECT
			if *store == "direct" {
				flags |= syscall.O_DSYNC
			}
			if x.fd, err = syscall.Open(f.Name(), flags, 0); err != nil {
				rep.Must(err)
			}
			x.cur, x.spare = aligned(), aligned()
			go x.commitDirect()
		}
	}
	return x
}

func (x *part) append(b []byte) (int64, int16, int64) {
	if len(b) < 61 {
		return 0, 87, 0
	}
	if *check && crc32.Checksum(b[21:], castagnoli) != binary.BigEndian.Uint32(b[17:]) {
		return 0, 2, 0
	}
	n := int64(binary.BigEndian.Uint32(b[23:])) + 1
	x.mu.Lock()
	base := x.next
	binary.BigEndian.PutUint64(b, uint64(base))
	binary.BigEndian.PutUint32(b[12:], 0)
	switch *store {
	case "mem":
		x.mem = append(x.mem, append([]byte(nil), b...))
	case "direct", "directnosync":
		for x.n+len(b) > slab-block {
			x.cond.Wait()
		}
		base = x.next
		binary.BigEndian.PutUint64(b, uint64(base))
		x.n += copy(x.cur[x.n:], b)
	case "page", "sync", "group":
		if _, err := x.f.WriteAt(b, x.pos); err != nil {
			rep.Must(err)
		}
	}
	x.idx = append(x.idx, ent{base, x.pos, int64(len(b))})
	x.pos += int64(len(b))
	x.next += n
	end := x.pos
	w := x.wake
	x.wake = make(chan struct{})
	x.mu.Unlock()
	if later() {
		x.cond.Broadcast()
	}
	if *store == "sync" {
		if err := syscall.Fdatasync(int(x.f.Fd())); err != nil {
			rep.Must(err)
		}
	}
	close(w)
	return base, 0, end
}

// span is where the batches from off on lie, at most max bytes of them (but at least one batch).
func (x *part) span(off int64, max int64) (i, j int, n int64, hw int64, w chan struct{}) {
	x.mu.Lock()
	defer x.mu.Unlock()
	i = sort.Search(len(x.idx), func(i int) bool { return x.idx[i].base > off }) - 1
	if off >= x.next || i < 0 {
		return 0, 0, 0, x.next, x.wake
	}
	j = i
	for j < len(x.idx) && (n == 0 || n+x.idx[j].len <= max) {
		n += x.idx[j].len
		j++
	}
	return i, j, n, x.next, x.wake
}

// later says that answers wait until what they answer is durable.
func later() bool { return *store == "group" || *store == "direct" || *store == "directnosync" }

func main() {
	flag.Parse()
	if *dir == "" {
		d, err := os.MkdirTemp("", "rawsrv-")
		if err != nil {
			rep.Must(err)
		}
		*dir = d
		defer os.RemoveAll(d)
	}
	l, err := net.Listen("tcp", *addr)
	if err != nil {
		rep.Must(err)
	}
	for {
		c, err := l.Accept()
		if err != nil {
			rep.Must(err)
		}
		go serve(c.(*net.TCPConn))
	}
}

func serve(c *net.TCPConn) {
	defer c.Close()
	host, ps, _ := net.SplitHostPort(*addr)
	port, _ := strconv.Atoi(ps)
	var head [4]byte
	var frame, out []byte
	var queue chan due
	if later() {
		queue = make(chan due, 1000)
		defer close(queue)
		go func() {
			var b []byte
			for d := range queue {
				b = b[:0]
				for {
					for i, x := range d.x {
						x.wait(d.at[i])
					}
					b = append(b, d.out...)
					if len(queue) == 0 || len(b) > 64<<10 {
						break
					}
					d = <-queue
				}
				if _, err := c.Write(b); err != nil {
					c.Close()
					for range queue {
					}
				}
			}
		}()
	}
	for {
		if _, err := io.ReadFull(c, head[:]); err != nil {
			return
		}
		n := int(binary.BigEndian.Uint32(head[:]))
		if cap(frame) < n {
			frame = make([]byte, n)
		}
		frame = frame[:n]
		if _, err := io.ReadFull(c, frame); err != nil {
			return
		}
		key := int16(binary.BigEndian.Uint16(frame))
		ver := int16(binary.BigEndian.Uint16(frame[2:]))
		corr := frame[4:8]
		idl := int(int16(binary.BigEndian.Uint16(frame[8:])))
		if idl < 0 {
			idl = 0
		}
		body := frame[10+idl:]
		req := kmsg.RequestForKey(key)
		if req == nil {
			fmt.Fprintln(os.Stderr, "unknown key", key)
			return
		}
		req.SetVersion(ver)
		if req.IsFlexible() {
			body = body[1:] // no header tags
		}
		if err := req.ReadFrom(body); err != nil {
			fmt.Fprintf(os.Stderr, "key %d v%d: %v\n", key, ver, err)
			return
		}
		resp := req.ResponseKind()
		var d due
		switch q := req.(type) {
		case *kmsg.ApiVersionsRequest:
			r := resp.(*kmsg.ApiVersionsResponse)
			for _, k := range [][3]int16{{0, 3, 9}, {1, 4, 11}, {2, 1, 5}, {3, 0, 8}, {18, 0, 3}, {20, 0, 3}, {22, 0, 4}} {
				a := kmsg.NewApiVersionsResponseApiKey()
				a.ApiKey, a.MinVersion, a.MaxVersion = k[0], k[1], k[2]
				r.ApiKeys = append(r.ApiKeys, a)
			}
			if ver > 3 {
				r.SetVersion(0)
				r.ErrorCode = 35
			}
		case *kmsg.MetadataRequest:
			r := resp.(*kmsg.MetadataResponse)
			b := kmsg.NewMetadataResponseBroker()
			b.NodeID, b.Host, b.Port = 1, host, int32(port)
			r.Brokers = append(r.Brokers, b)
			r.ControllerID = 1
			for _, t := range q.Topics {
				mt := kmsg.NewMetadataResponseTopic()
				mt.Topic = t.Topic
				for p := int32(0); p < int32(*parts); p++ {
					mp := kmsg.NewMetadataResponseTopicPartition()
					mp.Partition, mp.Leader, mp.Replicas, mp.ISR = p, 1, []int32{1}, []int32{1}
					mt.Partitions = append(mt.Partitions, mp)
				}
				r.Topics = append(r.Topics, mt)
			}
		case *kmsg.DeleteTopicsRequest:
			r := resp.(*kmsg.DeleteTopicsResponse)
			for _, t := range q.TopicNames {
				mu.Lock()
				for k, x := range all {
					if k.t == t {
						os.Remove(x.f.Name())
						x.f.Close()
						delete(all, k)
					}
				}
				mu.Unlock()
				rt := kmsg.NewDeleteTopicsResponseTopic()
				rt.Topic = kmsg.StringPtr(t)
				r.Topics = append(r.Topics, rt)
			}
		case *kmsg.InitProducerIDRequest:
			resp.(*kmsg.InitProducerIDResponse).ProducerID = time.Now().UnixNano()
		case *kmsg.ListOffsetsRequest:
			r := resp.(*kmsg.ListOffsetsResponse)
			for _, t := range q.Topics {
				rt := kmsg.NewListOffsetsResponseTopic()
				rt.Topic = t.Topic
				for _, p := range t.Partitions {
					rp := kmsg.NewListOffsetsResponseTopicPartition()
					rp.Partition = p.Partition
					rp.LeaderEpoch = 0
					if p.Timestamp == -1 {
						x := get(t.Topic, p.Partition)
						x.mu.Lock()
						rp.Offset = x.next
						x.mu.Unlock()
					} else {
						rp.Offset = 0
					}
					rt.Partitions = append(rt.Partitions, rp)
				}
				r.Topics = append(r.Topics, rt)
			}
		case *kmsg.ProduceRequest:
			r := resp.(*kmsg.ProduceResponse)
			for _, t := range q.Topics {
				rt := kmsg.NewProduceResponseTopic()
				rt.Topic = t.Topic
				for _, p := range t.Partitions {
					rp := kmsg.NewProduceResponseTopicPartition()
					rp.Partition = p.Partition
					x := get(t.Topic, p.Partition)
					var at int64
					rp.BaseOffset, rp.ErrorCode, at = x.append(p.Records)
					d.x, d.at = append(d.x, x), append(d.at, at)
					rt.Partitions = append(rt.Partitions, rp)
				}
				r.Topics = append(r.Topics, rt)
			}
			if q.Acks == 0 {
				continue
			}
		case *kmsg.FetchRequest:
			if !fetch(c, q, corr, &out) {
				return
			}
			continue
		}
		out = append(out[:0], 0, 0, 0, 0)
		out = append(out, corr...)
		if resp.IsFlexible() && key != 18 {
			out = append(out, 0)
		}
		out = resp.AppendTo(out)
		binary.BigEndian.PutUint32(out, uint32(len(out)-4))
		if queue != nil { // in order: every answer on this connection goes the same way
			d.out = append([]byte(nil), out...)
			queue <- d
			continue
		}
		if _, err := c.Write(out); err != nil {
			return
		}
	}
}

type piece struct {
	x    *part
	i, j int
	n    int64
	at   int // where in out its bytes belong
}

// A fetch answers at once: no client mixes produce and fetch on one connection.
func fetch(c *net.TCPConn, q *kmsg.FetchRequest, corr []byte, outp *[]byte) bool {
	deadline := time.Now().Add(time.Duration(q.MaxWaitMillis) * time.Millisecond)
	for {
		out := append((*outp)[:0], 0, 0, 0, 0)
		out = append(out, corr...)
		be := binary.BigEndian
		out = be.AppendUint32(out, 0) // throttle
		out = be.AppendUint16(out, 0)
		out = be.AppendUint32(out, 0) // session
		out = be.AppendUint32(out, uint32(len(q.Topics)))
		left := int64(q.MaxBytes)
		total := int64(0)
		var ps []piece
		var wake chan struct{}
		for _, t := range q.Topics {
			out = be.AppendUint16(out, uint16(len(t.Topic)))
			out = append(out, t.Topic...)
			out = be.AppendUint32(out, uint32(len(t.Partitions)))
			for _, p := range t.Partitions {
				x := get(t.Topic, p.Partition)
				i, j, n, hw, w := x.span(p.FetchOffset, min(left, int64(p.PartitionMaxBytes)))
				wake = w
				if left <= 0 {
					n = 0
				}
				out = be.AppendUint32(out, uint32(p.Partition))
				out = be.AppendUint16(out, 0)
				out = be.AppendUint64(out, uint64(hw))
				out = be.AppendUint64(out, uint64(hw))
				out = be.AppendUint64(out, 0)
				out = be.AppendUint32(out, 0)          // aborted
				out = be.AppendUint32(out, ^uint32(0)) // preferred replica
				out = be.AppendUint32(out, uint32(n))
				if n > 0 {
					ps = append(ps, piece{x, i, j, n, len(out)})
					left -= n
					total += n
				}
			}
		}
		*outp = out
		if total == 0 {
			if d := time.Until(deadline); d > 0 {
				t := time.NewTimer(d)
				select { // with several partitions this wakes on the last one only: enough for a ceiling
				case <-wake:
				case <-t.C:
				}
				t.Stop()
				if time.Until(deadline) > 0 {
					continue
				}
			}
		}
		be.PutUint32(out, uint32(int64(len(out))-4+total))
		if *send && *store != "mem" {
			at := 0
			for _, p := range ps {
				if _, err := c.Write(out[at:p.at]); err != nil {
					return false
				}
				at = p.at
				p.x.mu.Lock()
				pos := p.x.idx[p.i].pos
				p.x.mu.Unlock()
				f, err := os.Open(p.x.f.Name())
				if err != nil {
					return false
				}
				_, _ = f.Seek(pos, io.SeekStart)
				_, err = c.ReadFrom(io.LimitReader(f, p.n))
				f.Close()
				if err != nil {
					return false
				}
			}
			if at < len(out) {
				_, err := c.Write(out[at:])
				return err == nil
			}
			return true
		}
		var v net.Buffers
		at := 0
		for _, p := range ps {
			v = append(v, out[at:p.at])
			at = p.at
			p.x.mu.Lock()
			pos := p.x.idx[p.i].pos
			var mem [][]byte
			if *store == "mem" {
				mem = p.x.mem[p.i:p.j]
			}
			p.x.mu.Unlock()
			if mem != nil {
				v = append(v, mem...)
				continue
			}
			b := pool.Get().(*[]byte)
			defer pool.Put(b)
			if int64(cap(*b)) < p.n {
				*b = make([]byte, p.n)
			}
			*b = (*b)[:p.n]
			if _, err := p.x.f.ReadAt(*b, pos); err != nil {
				fmt.Fprintln(os.Stderr, err)
				return false
			}
			v = append(v, *b)
		}
		v = append(v, out[at:])
		_, err := v.WriteTo(c)
		return err == nil
	}
}

var pool = sync.Pool{New: func() any { return new([]byte) }}
