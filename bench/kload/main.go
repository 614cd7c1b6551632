// kload drives any Kafka-compatible broker with the franz-go client and prints medians: produce and consume throughput,
// the time to an acknowledgement, and the time from producing to consuming at a fixed rate. Give it the broker's process
// id and it also prints the processor time and the memory the broker used.
package main

import (
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/bench/internal/proc"
	"github.com/millrace/millrace/bench/internal/rep"
)

var (
	brokers = flag.String("brokers", "127.0.0.1:19092", "seed brokers")
	topic   = flag.String("topic", "", "topic; empty: a new name for each run")
	mode    = flag.String("mode", "throughput", "throughput (produce, then consume), ack or e2e")
	n       = flag.Int("records", 2000000, "records a run")
	size    = flag.Int("size", 100, "bytes in a value")
	acks    = flag.Int("acks", -1, "-1, 0 or 1")
	idem    = flag.Bool("idempotent", true, "produce idempotently")
	codec   = flag.String("codec", "none", "none, lz4, snappy, zstd or gzip")
	linger  = flag.Duration("linger", 0, "how long a batch waits for more")
	maxB    = flag.Int("batch", 1000000, "largest batch in bytes")
	runs    = flag.Int("n", 5, "runs")
	pid     = flag.Int("pid", 0, "the broker's process id, or 0")
	conc    = flag.Int("c", 1, "ack: producers at once")
	rate    = flag.Int("rate", 10000, "e2e: records a second")
	dur     = flag.Duration("d", 5*time.Second, "ack, e2e: length of a run")
	label   = flag.String("label", "", "put before each row")
)

func opts(t string, more ...kgo.Opt) []kgo.Opt {
	o := []kgo.Opt{
		kgo.SeedBrokers(strings.Split(*brokers, ",")...),
		kgo.AllowAutoTopicCreation(),
		kgo.DefaultProduceTopic(t),
		kgo.MaxBufferedRecords(100 << 20 / *size),
		kgo.ProducerBatchMaxBytes(int32(*maxB)),
		kgo.ProducerLinger(*linger),
		kgo.FetchMaxBytes(8 << 20),
		kgo.FetchMaxPartitionBytes(8 << 20),
		kgo.RecordPartitioner(kgo.UniformBytesPartitioner(*maxB, false, false, nil)),
	}
	switch *acks {
	case 0:
		o = append(o, kgo.RequiredAcks(kgo.NoAck()))
	case 1:
		o = append(o, kgo.RequiredAcks(kgo.LeaderAck()))
	}
	if !*idem || *acks != -1 {
		o = append(o, kgo.DisableIdempotentWrite(), kgo.MaxProduceRequestsInflightPerBroker(5))
	}
	switch *codec {
	case "none":
		o = append(o, kgo.ProducerBatchCompression(kgo.NoCompression()))
	case "lz4":
		o = append(o, kgo.ProducerBatchCompression(kgo.Lz4Compression()))
	case "snappy":
		o = append(o, kgo.ProducerBatchCompression(kgo.SnappyCompression()))
	case "zstd":
		o = append(o, kgo.ProducerBatchCompression(kgo.ZstdCompression()))
	case "gzip":
		o = append(o, kgo.ProducerBatchCompression(kgo.GzipCompression()))
	}
	return append(o, more...)
}

func client(o []kgo.Opt) *kgo.Client {
	c, err := kgo.NewClient(o...)
	rep.Must(err)
	return c
}

// remove deletes the topic, so that the next run can take the memory and the disk this one had.
func remove(topic string) {
	cl := client(opts(topic))
	defer cl.Close()
	d := kmsg.NewPtrDeleteTopicsRequest()
	d.TopicNames = []string{topic}
	t := kmsg.NewDeleteTopicsRequestTopic()
	t.Topic = kmsg.StringPtr(topic)
	d.Topics = append(d.Topics, t)
	_, _ = d.RequestWith(context.Background(), cl)
}

func main() {
	flag.Parse()
	rep.Header()
	switch *mode {
	case "throughput":
		throughput()
	case "ack":
		ack()
	case "e2e":
		e2e()
	}
	if *pid != 0 {
		now, peak := proc.Mem(*pid)
		fmt.Printf("# broker memory: %.0f MB now, %.0f MB at most\n", now, peak)
	}
}

func name(t int) string {
	if *topic != "" {
		return *topic
	}
	return fmt.Sprintf("l%d-%d", time.Now().UnixNano()%1e9, t)
}

func throughput() {
	type cost struct{ rate, cli, srv []float64 }
	var p, c cost
	val := make([]byte, *size)
	for i := range val {
		val[i] = "abcdefghijklmnopqrstuvwxyz0123456789"[rand.IntN(36)]
	}
	gb := float64(*n) * float64(*size) / 1e9
	note := func(x *cost, r int, t time.Duration, cli, srv time.Duration) {
		if r == 0 {
			return
		}
		x.rate = append(x.rate, float64(*n)/t.Seconds())
		x.cli = append(x.cli, cli.Seconds()*1e3/gb)
		x.srv = append(x.srv, srv.Seconds()*1e3/gb)
	}
	recs := make([]kgo.Record, *n) // one for all runs: the first touch of memory is not what we measure
	for r := 0; r <= *runs; r++ {
		t := name(r)
		cl := client(opts(t))
		rep.Must(cl.ProduceSync(context.Background(), kgo.SliceRecord(val)).FirstErr()) // topic, producer id, connection
		for i := range recs {
			recs[i] = kgo.Record{Value: val}
		}
		u0, s0 := rep.CPU()
		b0 := proc.CPU(*pid)
		var bad atomic.Value
		t0 := time.Now()
		for i := range recs {
			cl.Produce(context.Background(), &recs[i], func(_ *kgo.Record, err error) {
				if err != nil {
					bad.Store(err)
				}
			})
		}
		rep.Must(cl.Flush(context.Background()))
		el := time.Since(t0)
		if e := bad.Load(); e != nil {
			rep.Must(e.(error))
		}
		u1, s1 := rep.CPU()
		note(&p, r, el, u1-u0+s1-s0, proc.CPU(*pid)-b0)
		cl.Close()

		if *acks == 0 {
			remove(t)
			continue
		}
		cl = client(opts(t, kgo.ConsumeTopics(t), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())))
		u0, s0 = rep.CPU()
		b0 = proc.CPU(*pid)
		t0 = time.Now()
		got := 0
		for got < *n {
			fs := cl.PollFetches(context.Background())
			if es := fs.Errors(); len(es) > 0 {
				rep.Must(es[0].Err)
			}
			got += fs.NumRecords()
		}
		el = time.Since(t0)
		u1, s1 = rep.CPU()
		note(&c, r, el, u1-u0+s1-s0, proc.CPU(*pid)-b0)
		cl.Close()
		remove(t)
	}
	show := func(w string, x cost) {
		if len(x.rate) == 0 {
			return
		}
		h := fmt.Sprintf("%s %s %dB %s acks %d", *label, w, *size, *codec, *acks)
		rep.Row(h, "records/s", x.rate)
		var mb []float64
		for _, v := range x.rate {
			mb = append(mb, v*float64(*size)/1e6)
		}
		rep.Row(h, "MB/s", mb)
		rep.Row(h+" client cpu", "ms/GB", x.cli)
		if *pid != 0 {
			rep.Row(h+" broker cpu", "ms/GB", x.srv)
		}
	}
	show("produce", p)
	show("consume", c)
}

func ack() {
	var p50, p99, rates []float64
	for r := 0; r <= *runs; r++ {
		t := name(r)
		var wg sync.WaitGroup
		var mu sync.Mutex
		var lat []time.Duration
		var cls []*kgo.Client
		for i := 0; i < *conc; i++ {
			cl := client(opts(t, kgo.ProducerLinger(0)))
			rep.Must(cl.ProduceSync(context.Background(), kgo.SliceRecord(make([]byte, *size))).FirstErr())
			cls = append(cls, cl)
		}
		t0 := time.Now()
		for _, cl := range cls {
			wg.Add(1)
			go func() {
				defer wg.Done()
				var l []time.Duration
				val := make([]byte, *size)
				for time.Since(t0) < *dur {
					x := time.Now()
					rep.Must(cl.ProduceSync(context.Background(), kgo.SliceRecord(val)).FirstErr())
					l = append(l, time.Since(x))
				}
				mu.Lock()
				lat = append(lat, l...)
				mu.Unlock()
			}()
		}
		wg.Wait()
		el := time.Since(t0)
		for _, cl := range cls {
			cl.Close()
		}
		remove(t)
		if r == 0 {
			continue
		}
		rates = append(rates, float64(len(lat))/el.Seconds())
		p50 = append(p50, float64(rep.Pct(lat, .5).Nanoseconds())/1e3)
		p99 = append(p99, float64(rep.Pct(lat, .99).Nanoseconds())/1e3)
	}
	h := fmt.Sprintf("%s ack %dB, %d producers", *label, *size, *conc)
	rep.Row(h, "records/s", rates)
	rep.Row(h+" p50", "us", p50)
	rep.Row(h+" p99", "us", p99)
}

func e2e() {
	var p50, p99, p999, cpu []float64
	for r := 0; r <= *runs; r++ {
		t := name(r)
		pr := client(opts(t, kgo.ProducerLinger(*linger)))
		rep.Must(pr.ProduceSync(context.Background(), kgo.SliceRecord(make([]byte, *size))).FirstErr())
		co := client(opts(t, kgo.ConsumeTopics(t), kgo.FetchMinBytes(1), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())))
		ctx, cancel := context.WithCancel(context.Background())
		var lat []time.Duration
		done := make(chan struct{})
		go func() {
			defer close(done)
			for ctx.Err() == nil {
				fs := co.PollFetches(ctx)
				now := time.Now().UnixNano()
				fs.EachRecord(func(r *kgo.Record) {
					if x := int64(binary.BigEndian.Uint64(r.Value)); x != 0 {
						lat = append(lat, time.Duration(now-x))
					}
				})
			}
		}()
		time.Sleep(300 * time.Millisecond)
		b0 := proc.CPU(*pid)
		t0 := time.Now()
		sent := 0
		for time.Since(t0) < *dur {
			due := int(time.Since(t0).Seconds() * float64(*rate))
			for ; sent < due; sent++ {
				v := make([]byte, *size)
				binary.BigEndian.PutUint64(v, uint64(time.Now().UnixNano()))
				pr.Produce(ctx, kgo.SliceRecord(v), nil)
			}
			time.Sleep(200 * time.Microsecond)
		}
		rep.Must(pr.Flush(context.Background()))
		b1 := proc.CPU(*pid)
		time.Sleep(300 * time.Millisecond)
		cancel()
		<-done
		pr.Close()
		co.Close()
		remove(t)
		if r == 0 {
			continue
		}
		if len(lat) < sent {
			fmt.Printf("# only %d of %d came\n", len(lat), sent)
		}
		us := func(p float64) float64 { return float64(rep.Pct(lat, p).Nanoseconds()) / 1e3 }
		p50, p99, p999 = append(p50, us(.5)), append(p99, us(.99)), append(p999, us(.999))
		cpu = append(cpu, float64((b1-b0).Milliseconds())/dur.Seconds()/10)
	}
	h := fmt.Sprintf("%s e2e %dB at %d/s", *label, *size, *rate)
	rep.Row(h+" p50", "us", p50)
	rep.Row(h+" p99", "us", p99)
	rep.Row(h+" p99.9", "us", p999)
	if *pid != 0 {
		rep.Row(h+" broker cpu", "% of one core", cpu)
	}
}
