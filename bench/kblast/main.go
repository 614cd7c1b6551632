// kblast loads a Kafka-compatible broker over the bare protocol at next to no cost of its own: it sends one prepared
// produce request again and again, keeping some in flight, and drains fetches without looking at records. It shows what
// the broker itself can do where a full client would be the bottleneck. Values are text; batches can be compressed.
package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"flag"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/bench/internal/proc"
	"github.com/millrace/millrace/bench/internal/rep"
	"github.com/millrace/millrace/bench/internal/wire"
)

var (
	broker  = flag.String("broker", "127.0.0.1:19092", "the broker")
	conns   = flag.Int("conns", 1, "connections, each to its own partition")
	depth   = flag.Int("depth", 5, "produce requests in flight on a connection")
	recs    = flag.Int("recs", 500, "records in a batch")
	size    = flag.Int("size", 100, "bytes in a value")
	codec   = flag.String("codec", "none", "none, lz4, snappy, zstd or gzip")
	acks    = flag.Int("acks", -1, "-1 or 1")
	total   = flag.Int64("bytes", 1<<30, "bytes of values a run, over all connections")
	fetchSz = flag.Int("fetch", 4<<20, "bytes asked for in a fetch")
	runs    = flag.Int("n", 5, "runs")
	pid     = flag.Int("pid", 0, "the broker's process id, or 0")
	label   = flag.String("label", "", "put before each row")
	nofetch = flag.Bool("nofetch", false, "do not drain what was produced")
)

var be = binary.BigEndian

func makeBatch() []byte {
	var b []byte
	r := rand.New(rand.NewPCG(1, 2))
	val := make([]byte, *size)
	for i := 0; i < *recs; i++ {
		for j := range val {
			val[j] = "abcdefghijklmnopqrstuvwxyz      "[r.IntN(32)]
			if j%3 != 0 {
				val[j] = "the quick brown fox jumps over"[j%30]
			}
		}
		var x []byte
		x = append(x, 0)
		x = binary.AppendVarint(x, 0)
		x = binary.AppendVarint(x, int64(i))
		x = binary.AppendVarint(x, -1)
		x = binary.AppendVarint(x, int64(len(val)))
		x = append(x, val...)
		x = append(x, 0)
		b = binary.AppendVarint(b, int64(len(x)))
		b = append(b, x...)
	}
	attr := uint16(0)
	if *codec != "none" {
		cs := map[string]kgo.CompressionCodec{"gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression()}
		c, err := kgo.DefaultCompressor(cs[*codec])
		rep.Must(err)
		z, t := c.Compress(new(bytes.Buffer), b)
		b = append([]byte(nil), z...)
		attr = uint16(t)
	}
	h := make([]byte, 61, 61+len(b))
	h = append(h, b...)
	be.PutUint32(h[8:], uint32(len(h)-12))
	be.PutUint32(h[12:], ^uint32(0))
	h[16] = 2
	be.PutUint16(h[21:], attr)
	be.PutUint32(h[23:], uint32(*recs-1))
	now := uint64(time.Now().UnixMilli())
	be.PutUint64(h[27:], now)
	be.PutUint64(h[35:], now)
	be.PutUint64(h[43:], ^uint64(0))
	be.PutUint16(h[51:], ^uint16(0))
	be.PutUint32(h[53:], ^uint32(0))
	be.PutUint32(h[57:], uint32(*recs))
	be.PutUint32(h[17:], crc32.Checksum(h[21:], crc32.MakeTable(crc32.Castagnoli)))
	return h
}

func main() {
	flag.Parse()
	rep.Header()
	batch := makeBatch()
	raw := *recs * *size
	per := int(*total) / raw / *conns
	fmt.Printf("# batch: %d records of %dB, %d bytes on the wire, %d requests a connection\n", *recs, *size, len(batch), per)
	var pr, pc, fr, fc, p50, p99 []float64
	for r := 0; r <= *runs; r++ {
		topic := fmt.Sprintf("b%d", time.Now().UnixNano()%1e12)
		rep.Must(wire.Create(*broker, topic, *conns))
		b0 := proc.CPU(*pid)
		t0 := time.Now()
		var wg sync.WaitGroup
		var mu sync.Mutex
		var lat []time.Duration
		for c := 0; c < *conns; c++ {
			wg.Add(1)
			go func() {
				defer wg.Done()
				l := produce(topic, c, per, batch)
				mu.Lock()
				lat = append(lat, l...)
				mu.Unlock()
			}()
		}
		wg.Wait()
		el := time.Since(t0).Seconds()
		mb := float64(raw) * float64(per) * float64(*conns) / 1e6
		cpu := (proc.CPU(*pid) - b0).Seconds() * 1e3 / (mb / 1e3)
		if r > 0 {
			pr, pc = append(pr, mb/el), append(pc, cpu)
			p50 = append(p50, float64(rep.Pct(lat, .5).Nanoseconds())/1e3)
			p99 = append(p99, float64(rep.Pct(lat, .99).Nanoseconds())/1e3)
		}
		if *nofetch {
			wire.Remove(*broker, topic)
			continue
		}
		b0 = proc.CPU(*pid)
		t0 = time.Now()
		for c := 0; c < *conns; c++ {
			wg.Add(1)
			go func() {
				defer wg.Done()
				drain(topic, c, int64(per)*int64(*recs))
			}()
		}
		wg.Wait()
		el = time.Since(t0).Seconds()
		cpu = (proc.CPU(*pid) - b0).Seconds() * 1e3 / (mb / 1e3)
		if r > 0 {
			fr, fc = append(fr, mb/el), append(fc, cpu)
		}
		wire.Remove(*broker, topic)
	}
	show := func(w string, rate, cpu []float64) {
		h := fmt.Sprintf("%s %s %dx%dB %s, %d conns", *label, w, *recs, *size, *codec, *conns)
		rep.Row(h, "MB/s", rate)
		var rs []float64
		for _, x := range rate {
			rs = append(rs, x*1e6/float64(*size))
		}
		rep.Row(h, "records/s", rs)
		if *pid != 0 {
			rep.Row(h+" broker cpu", "ms/GB", cpu)
		}
	}
	show("produce", pr, pc)
	h := fmt.Sprintf("%s produce request, depth %d", *label, *depth)
	rep.Row(h+" p50", "us", p50)
	rep.Row(h+" p99", "us", p99)
	if !*nofetch {
		show("fetch", fr, fc)
	}
	if *pid != 0 {
		now, peak := proc.Mem(*pid)
		fmt.Printf("# broker memory: %.0f MB now, %.0f MB at most\n", now, peak)
	}
}

func produce(topic string, p, n int, batch []byte) []time.Duration {
	c, err := net.Dial("tcp", *broker)
	rep.Must(err)
	defer c.Close()
	req := wire.Produce(topic, p, *acks, batch)
	slots := make(chan time.Time, *depth)
	go func() {
		for i := 0; i < n; i++ {
			slots <- time.Now()
			_, err := c.Write(req)
			rep.Must(err)
		}
	}()
	br := bufio.NewReaderSize(c, 64<<10)
	var b []byte
	lat := make([]time.Duration, 0, n)
	for i := 0; i < n; i++ {
		var h [4]byte
		_, err := io.ReadFull(br, h[:])
		rep.Must(err)
		k := int(be.Uint32(h[:]))
		if cap(b) < k {
			b = make([]byte, k)
		}
		b = b[:k]
		_, err = io.ReadFull(br, b)
		rep.Must(err)
		if e := wire.ProduceError(topic, b); e != 0 {
			rep.Must(fmt.Errorf("produce error %d", e))
		}
		lat = append(lat, time.Since(<-slots))
	}
	return lat
}

func drain(topic string, p int, end int64) {
	c, err := net.Dial("tcp", *broker)
	rep.Must(err)
	defer c.Close()
	buf := make([]byte, *fetchSz+(2<<20))
	off := int64(0)
	for off < end {
		_, err := c.Write(wire.Fetch(topic, p, off, *fetchSz))
		rep.Must(err)
		b, err := wire.Read(c, &buf)
		rep.Must(err)
		d, e := wire.Fetched(topic, b)
		if e != 0 {
			rep.Must(fmt.Errorf("fetch error %d", e))
		}
		for len(d) >= 61 {
			sz := 12 + int(be.Uint32(d[8:]))
			if sz > len(d) {
				break
			}
			off = int64(be.Uint64(d)) + int64(int32(be.Uint32(d[23:]))) + 1
			d = d[sz:]
		}
	}
}
