// natsload loads a NATS JetStream server (file storage, one replica) for a comparison with a Kafka-compatible broker:
// asynchronous and fast-batch publishing, consuming, and the time to one acknowledgement.
package main

import (
	"context"
	"flag"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/millrace/millrace/bench/internal/proc"
	"github.com/millrace/millrace/bench/internal/rep"
)

var (
	url     = flag.String("url", "nats://127.0.0.1:14222", "server")
	mode    = flag.String("mode", "throughput", "throughput or ack")
	how     = flag.String("how", "async", "throughput: async (PublishAsync) or fast (fast batch)")
	n       = flag.Int("records", 1000000, "messages a run")
	size    = flag.Int("size", 100, "bytes in a message")
	pending = flag.Int("pending", 10000, "async: messages without an acknowledgement yet")
	pull    = flag.Int("pull", 5000, "messages asked for in one pull")
	conc    = flag.Int("c", 1, "ack: publishers at once")
	dur     = flag.Duration("d", 5*time.Second, "ack: length of a run")
	runs    = flag.Int("n", 5, "runs")
	pid     = flag.Int("pid", 0, "the server's process id, or 0")
	label   = flag.String("label", "nats", "put before each row")
)

func connect() (*nats.Conn, jetstream.JetStream) {
	nc, err := nats.Connect(*url)
	rep.Must(err)
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(*pending))
	rep.Must(err)
	return nc, js
}

var ctx = context.Background()

func stream(js jetstream.JetStream) jetstream.Stream {
	name := fmt.Sprintf("S%d", time.Now().UnixNano()%1e12)
	s, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: name, Subjects: []string{name}, Storage: jetstream.FileStorage, Replicas: 1, AllowBatchPublish: *how == "fast"})
	rep.Must(err)
	return s
}

func main() {
	flag.Parse()
	rep.Header()
	if *mode == "ack" {
		ack()
	} else {
		throughput()
	}
	if *pid != 0 {
		now, peak := proc.Mem(*pid)
		fmt.Printf("# server memory: %.0f MB now, %.0f MB at most\n", now, peak)
	}
}

func throughput() {
	var pr, pcli, psrv, cr, ccli, csrv []float64
	gb := float64(*n) * float64(*size) / 1e9
	val := []byte(strings.Repeat("x1y2z3w4", *size/8+1))[:*size]
	for r := 0; r <= *runs; r++ {
		nc, js := connect()
		s := stream(js)
		name := s.CachedInfo().Config.Name
		u0, s0 := rep.CPU()
		b0 := proc.CPU(*pid)
		t0 := time.Now()
		if *how == "async" {
			for i := 0; i < *n; i++ {
				_, err := js.PublishAsync(name, val)
				rep.Must(err)
			}
			<-js.PublishAsyncComplete()
		} else {
			fast(nc, name, val)
		}
		el := time.Since(t0)
		u1, s1 := rep.CPU()
		b1 := proc.CPU(*pid)
		if r > 0 {
			pr = append(pr, float64(*n)/el.Seconds())
			pcli = append(pcli, (u1-u0+s1-s0).Seconds()*1e3/gb)
			psrv = append(psrv, (b1-b0).Seconds()*1e3/gb)
		}
		inf, err := s.Info(ctx)
		rep.Must(err)
		if inf.State.Msgs != uint64(*n) {
			rep.Must(fmt.Errorf("the stream has %d messages", inf.State.Msgs))
		}
		nc.Close()

		nc, js = connect()
		co, err := js.CreateConsumer(ctx, name, jetstream.ConsumerConfig{AckPolicy: jetstream.AckNonePolicy, DeliverPolicy: jetstream.DeliverAllPolicy, MemoryStorage: true})
		rep.Must(err)
		u0, s0 = rep.CPU()
		b0 = proc.CPU(*pid)
		t0 = time.Now()
		var got atomic.Int64
		done := make(chan struct{})
		cc, err := co.Consume(func(m jetstream.Msg) {
			if got.Add(1) == int64(*n) {
				close(done)
			}
		}, jetstream.PullMaxMessages(*pull))
		rep.Must(err)
		<-done
		el = time.Since(t0)
		u1, s1 = rep.CPU()
		b1 = proc.CPU(*pid)
		cc.Stop()
		if r > 0 {
			cr = append(cr, float64(*n)/el.Seconds())
			ccli = append(ccli, (u1-u0+s1-s0).Seconds()*1e3/gb)
			csrv = append(csrv, (b1-b0).Seconds()*1e3/gb)
		}
		rep.Must(js.DeleteStream(ctx, name))
		nc.Close()
	}
	show := func(w string, rate, cli, srv []float64) {
		h := fmt.Sprintf("%s %s %dB", *label, w, *size)
		rep.Row(h, "messages/s", rate)
		var mb []float64
		for _, x := range rate {
			mb = append(mb, x*float64(*size)/1e6)
		}
		rep.Row(h, "MB/s", mb)
		rep.Row(h+" client cpu", "ms/GB", cli)
		if *pid != 0 {
			rep.Row(h+" server cpu", "ms/GB", srv)
		}
	}
	show("publish "+*how, pr, pcli, psrv)
	show("consume", cr, ccli, csrv)
}

// fast publishes by the server's fast-batch protocol: each message names its place in the batch in its reply subject, the
// server answers every so many messages, and at most three answers are outstanding.
func fast(nc *nats.Conn, subj string, val []byte) {
	inbox := nats.NewInbox()
	var mu sync.Mutex
	cond := sync.NewCond(&mu)
	acked, flow := uint64(0), uint64(500)
	done := make(chan struct{})
	sub, err := nc.Subscribe(inbox+".>", func(m *nats.Msg) {
		d := string(m.Data)
		mu.Lock()
		defer mu.Unlock()
		if strings.Contains(d, `"type":"ack"`) {
			if k := num(d, `"seq":`); k > acked {
				acked = k
			}
			if k := num(d, `"msgs":`); k > 0 {
				flow = k
			}
			cond.Signal()
			return
		}
		if strings.Contains(d, `"error"`) || strings.Contains(d, `"type":"err"`) || strings.Contains(d, `"type":"gap"`) {
			rep.Must(fmt.Errorf("fast batch: %s", d))
		}
		close(done) // the answer to the commit
	})
	rep.Must(err)
	defer sub.Unsubscribe()
	pre := inbox + ".b1.500.fail."
	b := make([]byte, 0, 100)
	for i := uint64(1); i <= uint64(*n); i++ {
		mu.Lock()
		for i > 1 && i > acked+3*flow {
			cond.Wait()
		}
		mu.Unlock()
		op := ".1.$FI"
		switch i {
		case 1:
			op = ".0.$FI"
		case uint64(*n):
			op = ".2.$FI"
		}
		b = append(strconv.AppendUint(append(b[:0], pre...), i, 10), op...)
		rep.Must(nc.PublishMsg(&nats.Msg{Subject: subj, Reply: string(b), Data: val}))
	}
	rep.Must(nc.Flush())
	<-done
}

func num(s, key string) uint64 {
	i := strings.Index(s, key)
	if i < 0 {
		return 0
	}
	s = s[i+len(key):]
	j := 0
	for j < len(s) && s[j] >= '0' && s[j] <= '9' {
		j++
	}
	x, _ := strconv.ParseUint(s[:j], 10, 64)
	return x
}

func ack() {
	var rates, p50, p99 []float64
	for r := 0; r <= *runs; r++ {
		nc, js := connect()
		s := stream(js)
		name := s.CachedInfo().Config.Name
		nc.Close()
		var wg sync.WaitGroup
		var mu sync.Mutex
		var lat []time.Duration
		t0 := time.Now()
		for i := 0; i < *conc; i++ {
			wg.Add(1)
			go func() {
				defer wg.Done()
				nc, js := connect()
				defer nc.Close()
				val := make([]byte, *size)
				var l []time.Duration
				for time.Since(t0) < *dur {
					x := time.Now()
					_, err := js.Publish(ctx, name, val)
					rep.Must(err)
					l = append(l, time.Since(x))
				}
				mu.Lock()
				lat = append(lat, l...)
				mu.Unlock()
			}()
		}
		wg.Wait()
		el := time.Since(t0).Seconds()
		nc, js = connect()
		rep.Must(js.DeleteStream(ctx, name))
		nc.Close()
		if r == 0 {
			continue
		}
		rates = append(rates, float64(len(lat))/el)
		p50 = append(p50, float64(rep.Pct(lat, .5).Nanoseconds())/1e3)
		p99 = append(p99, float64(rep.Pct(lat, .99).Nanoseconds())/1e3)
	}
	h := fmt.Sprintf("%s ack %dB, %d publishers", *label, *size, *conc)
	rep.Row(h, "messages/s", rates)
	rep.Row(h+" p50", "us", p50)
	rep.Row(h+" p99", "us", p99)
}
