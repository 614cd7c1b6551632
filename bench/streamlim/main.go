// streamlim is the ceiling for one stream task that counts by key: record batches that lie in memory are walked, each
// record adds one to its key's count, and every so many records a commit encodes a changelog batch of the keys that
// changed (with its sum) and, in some variants, writes them to Pebble. No broker, no network: what is left is the work a
// task cannot avoid. With -broker the input is a topic of that broker, fetched over the bare protocol, and the changelog
// is produced to it and waited for at each commit: the ceiling for a task with its broker beside it.
package main

import (
	"bytes"
	"encoding/binary"
	"flag"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/millrace/millrace/bench/internal/proc"
	"github.com/millrace/millrace/bench/internal/rep"
	"github.com/millrace/millrace/bench/internal/wire"
)

var (
	runs = flag.Int("n", 5, "runs of each")
	n    = flag.Int("records", 2000000, "records a run")
	dir  = flag.String("dir", os.TempDir(), "where Pebble lies")

	broker = flag.String("broker", "", "a Kafka-compatible broker, or nothing")
	keys   = flag.Int("keys", 100000, "with -broker: different keys")
	pid    = flag.Int("pid", 0, "with -broker: its process id, or 0")
)

var tab = crc32.MakeTable(crc32.Castagnoli)

type quiet struct{}

func (quiet) Infof(string, ...any)      {}
func (quiet) Errorf(f string, a ...any) { fmt.Fprintf(os.Stderr, f+"\n", a...) }
func (quiet) Fatalf(f string, a ...any) { fmt.Fprintf(os.Stderr, f+"\n", a...); os.Exit(1) }

func appendRecord(b []byte, off int, key, val []byte) []byte {
	var t [32]byte
	h := append(t[:0], 0, 0)
	h = binary.AppendVarint(h, int64(off))
	h = binary.AppendVarint(h, int64(len(key)))
	l := len(h) + len(key) + 1 + len(val) + 1
	if len(val) >= 64 {
		l++
	}
	b = binary.AppendVarint(b, int64(l))
	b = append(b, h...)
	b = append(b, key...)
	b = binary.AppendVarint(b, int64(len(val)))
	b = append(b, val...)
	return append(b, 0)
}

func seal(b []byte, n int) {
	be := binary.BigEndian
	be.PutUint32(b[8:], uint32(len(b)-12))
	b[16] = 2
	be.PutUint32(b[23:], uint32(n-1))
	be.PutUint32(b[57:], uint32(n))
	be.PutUint32(b[17:], crc32.Checksum(b[21:], tab))
}

// input is n records of 16-byte keys and 100-byte values in batches of 500.
func input(n, keys int) [][]byte {
	r := rand.New(rand.NewPCG(8, 9))
	val := make([]byte, 100)
	var out [][]byte
	for i := 0; i < n; i += 500 {
		b := make([]byte, 61, 64<<10)
		for j := 0; j < 500; j++ {
			b = appendRecord(b, j, fmt.Appendf(nil, "key-%012d", r.IntN(keys)), val)
		}
		seal(b, 500)
		out = append(out, b)
	}
	return out
}

func varint(b []byte, i int) (int, int) {
	x := b[i]
	if x < 0x80 {
		return int(x>>1) ^ -int(x&1), i + 1
	}
	u := uint(x & 0x7f)
	for s := 7; ; s += 7 {
		i++
		x = b[i]
		u |= uint(x&0x7f) << s
		if x < 0x80 {
			return int(u>>1) ^ -int(u&1), i + 1
		}
	}
}

type ent struct {
	key   [16]byte
	count uint64
	dirty bool
}

// withBroker counts a topic's records, sending the changelog of each 50000 to a second topic.
func withBroker() {
	tag := time.Now().UnixNano() % 1e9
	in, cl := fmt.Sprintf("in%d", tag), fmt.Sprintf("cl%d", tag)
	rep.Must(wire.Create(*broker, in, 1))
	rep.Must(wire.Create(*broker, cl, 1))
	dial := func() net.Conn {
		c, err := net.Dial("tcp", *broker)
		rep.Must(err)
		return c
	}
	var buf []byte
	p := dial()
	send := func(c net.Conn, topic string, batch []byte) {
		_, err := c.Write(wire.Produce(topic, 0, -1, batch))
		rep.Must(err)
		b, err := wire.Read(c, &buf)
		rep.Must(err)
		if e := wire.ProduceError(topic, b); e != 0 {
			rep.Must(fmt.Errorf("produce error %d", e))
		}
	}
	be := binary.BigEndian
	full := func(b []byte) { // what a broker checks beside the sum
		be.PutUint64(b[43:], ^uint64(0))
		be.PutUint16(b[51:], ^uint16(0))
		be.PutUint32(b[53:], ^uint32(0))
		be.PutUint32(b[17:], crc32.Checksum(b[21:], tab))
	}
	for _, b := range input(*n, *keys) {
		full(b)
		send(p, in, b)
	}
	var cpu, own []float64
	rep.Repeat(fmt.Sprintf("fetch, count, changelog each 50k, %d keys", *keys), "records/s", *runs, func() float64 {
		f := dial()
		defer f.Close()
		at := make(map[[16]byte]uint32, *keys)
		ents := make([]ent, 0, *keys)
		var dirty []uint32
		var log []byte
		fb := make([]byte, 10<<20)
		off, done, next := int64(0), 0, 50000
		b0 := proc.CPU(*pid)
		u0, s0 := rep.CPU()
		t0 := time.Now()
		_, err := f.Write(wire.Fetch(in, 0, off, 4<<20))
		rep.Must(err)
		for done < *n {
			b, err := wire.Read(f, &fb)
			rep.Must(err)
			d, e := wire.Fetched(in, b)
			if e != 0 {
				rep.Must(fmt.Errorf("fetch error %d", e))
			}
			for len(d) >= 61 {
				sz := 12 + int(be.Uint32(d[8:]))
				if sz > len(d) {
					break
				}
				x := d[:sz]
				d = d[sz:]
				if crc32.Checksum(x[21:], tab) != be.Uint32(x[17:]) {
					panic("sum")
				}
				m := int(be.Uint32(x[57:]))
				off = int64(be.Uint64(x)) + int64(m)
				i := 61
				for r := 0; r < m; r++ {
					l, j := varint(x, i)
					end := j + l
					_, j = varint(x, j+1)
					_, j = varint(x, j)
					k, j := varint(x, j)
					key := x[j : j+k]
					i = end
					q, ok := at[[16]byte(key)]
					if !ok {
						q = uint32(len(ents))
						at[[16]byte(key)] = q
						ents = append(ents, ent{key: [16]byte(key)})
					}
					t := &ents[q]
					t.count++
					if !t.dirty {
						t.dirty = true
						dirty = append(dirty, q)
					}
				}
				done += m
				if done >= next {
					next += 50000
					var v [8]byte
					log = append(log[:0], make([]byte, 61)...)
					o := 0
					flush := func() { // a batch of at most 900KB
						if o > 0 {
							seal(log, o)
							full(log)
							send(p, cl, log)
							log, o = log[:61], 0
						}
					}
					for _, q := range dirty {
						t := &ents[q]
						t.dirty = false
						be.PutUint64(v[:], t.count)
						log = appendRecord(log, o, t.key[:], v[:])
						if o++; len(log) > 900000 {
							flush()
						}
					}
					flush()
					dirty = dirty[:0]
				}
			}
			_, err = f.Write(wire.Fetch(in, 0, off, 4<<20))
			rep.Must(err)
		}
		el := time.Since(t0)
		u1, s1 := rep.CPU()
		own = append(own, float64((u1-u0+s1-s0).Nanoseconds())/float64(*n))
		cpu = append(cpu, float64((proc.CPU(*pid)-b0).Nanoseconds())/float64(*n))
		return float64(*n) / el.Seconds()
	})
	rep.Row("  task cpu", "ns/record", own[1:])
	if *pid != 0 {
		rep.Row("  broker cpu", "ns/record", cpu[1:])
	}
	wire.Remove(*broker, in)
	wire.Remove(*broker, cl)
}

func main() {
	flag.Parse()
	rep.Header()
	if *broker != "" {
		withBroker()
		return
	}
	for _, keys := range []int{1000, 100000, 1000000} {
		in := input(*n, keys)
		for _, x := range []struct {
			name   string
			commit int // records between commits
			flush  int // records between writes to Pebble; 0: never
			sorted bool
		}{
			{"walk only", 0, 0, false},
			{"count, nothing leaves", 0, 0, false},
			{"count, changelog each 50k", 50000, 0, false},
			{"count, changelog each 10k", 10000, 0, false},
			{"count, changelog and Pebble each 50k", 50000, 50000, false},
			{"count, changelog and Pebble each 50k, sorted", 50000, 50000, true},
			{"count, changelog each 50k, Pebble each 1M, sorted", 50000, 1000000, true},
		} {
			rep.Repeat(fmt.Sprintf("%s, %d keys", x.name, keys), "ns/record", *runs, func() float64 {
				var db *pebble.DB
				if x.flush > 0 {
					d, err := os.MkdirTemp(*dir, "streamlim-")
					rep.Must(err)
					defer os.RemoveAll(d)
					db, err = pebble.Open(d, &pebble.Options{DisableWAL: true, MemTableSize: 64 << 20, Logger: quiet{}})
					rep.Must(err)
					defer db.Close()
				}
				at := make(map[[16]byte]uint32, keys)
				ents := make([]ent, 0, keys)
				var dirty, unflushed []uint32
				seen := map[uint32]bool{}
				var log []byte
				sum := 0
				done, out := 0, 0
				t0 := time.Now()
				for _, b := range in {
					if crc32.Checksum(b[21:], tab) != binary.BigEndian.Uint32(b[17:]) {
						panic("sum")
					}
					i := 61
					for r := 0; r < 500; r++ {
						l, j := varint(b, i)
						end := j + l
						_, j = varint(b, j+1) // time
						_, j = varint(b, j)   // offset
						k, j := varint(b, j)
						key := b[j : j+k]
						i = end
						if x.name == "walk only" {
							sum += int(key[15])
							continue
						}
						p, ok := at[[16]byte(key)]
						if !ok {
							p = uint32(len(ents))
							at[[16]byte(key)] = p
							ents = append(ents, ent{key: [16]byte(key)})
						}
						e := &ents[p]
						e.count++
						if !e.dirty && x.commit > 0 {
							e.dirty = true
							dirty = append(dirty, p)
						}
					}
					done += 500
					if x.commit > 0 && done%x.commit == 0 {
						var v [8]byte
						log = append(log[:0], make([]byte, 61)...)
						for o, p := range dirty {
							e := &ents[p]
							e.dirty = false
							binary.BigEndian.PutUint64(v[:], e.count)
							log = appendRecord(log, o, e.key[:], v[:])
						}
						seal(log, len(dirty))
						out += len(log)
						if x.flush == x.commit {
							unflushed = append(unflushed[:0], dirty...)
						} else if x.flush > 0 {
							for _, p := range dirty {
								if !seen[p] {
									seen[p] = true
									unflushed = append(unflushed, p)
								}
							}
						}
						dirty = dirty[:0]
						if x.flush > 0 && done%x.flush == 0 {
							if x.sorted {
								slices.SortFunc(unflushed, func(a, b uint32) int { return bytes.Compare(ents[a].key[:], ents[b].key[:]) })
							}
							bt := db.NewBatch()
							for _, p := range unflushed {
								binary.BigEndian.PutUint64(v[:], ents[p].count)
								_ = bt.Set(ents[p].key[:], v[:], nil)
							}
							rep.Must(bt.Commit(pebble.NoSync))
							bt.Close()
							unflushed = unflushed[:0]
							clear(seen)
						}
					}
				}
				_ = sum
				return float64(time.Since(t0).Nanoseconds()) / float64(*n)
			})
		}
	}
}
