package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/bench/internal/rep"
	"github.com/millrace/millrace/internal/disk"
	"github.com/millrace/millrace/log"
	"github.com/millrace/millrace/log/record"
)

// year writes the commits straight into the logs of __consumer_offsets, a batch for each commit of a group as the broker does.
func year(s *settings) {
	b, _ := s.start("-X", "log.cleaner.enable=false")
	where := s.commitOnce()
	b.stop()
	commits := int64(s.days * 24 * float64(time.Hour) / float64(s.every) * s.scale)
	fmt.Printf("# %d groups x %d partitions x one commit per %v x %g days x scale %g: %d records\n",
		s.groups, s.partitions, s.every, s.days, s.scale, commits*int64(s.groups)*int64(s.partitions))
	begin := time.Now()
	for group := range s.groups {
		s.writeCommits(group, filepath.Join(s.dir, "data", fmt.Sprintf("__consumer_offsets-%d", where[group])), commits)
	}
	fmt.Printf("# written in %v\n", time.Since(begin).Round(time.Second))

	before := s.megabytesIn("__consumer_offsets-*")
	s.starts("start, not compacted", "-X", "log.cleaner.enable=false")
	cleaning, _ := s.start("-X", "log.cleaner.backoff.ms=1")
	took := awaitCompaction(s.http).Seconds()
	_, peak := cleaning.memory()
	cleaning.stop()
	after := s.megabytesIn("__consumer_offsets-*")
	s.starts("start, compacted", "-X", "log.cleaner.enable=false")
	rep.Row("__consumer_offsets before", "MB", []float64{before})
	rep.Row("__consumer_offsets after", "MB", []float64{after})
	rep.Row("compaction in the broker", "s", []float64{took})
	rep.Row("broker memory at most, meanwhile", "MB", []float64{peak})
}

func (s *settings) starts(what string, more ...string) {
	var ms, memory []float64
	for range s.runs {
		b, took := s.start(more...)
		_, peak := b.memory()
		b.stop()
		ms, memory = append(ms, float64(took.Microseconds())/1e3), append(memory, peak)
	}
	rep.Row(what+": until the first answer", "ms", ms)
	rep.Row(what+": memory at most", "MB", memory)
}

func groupName(group int) string { return fmt.Sprintf("readers-%d", group) }

// commitOnce has each group commit, and returns in which partition of __consumer_offsets it lives.
func (s *settings) commitOnce() (where []int32) {
	client, err := kgo.NewClient(kgo.SeedBrokers(s.addr))
	rep.Must(err)
	defer client.Close()
	admin := kadm.NewClient(client)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_, err = admin.CreateTopic(ctx, int32(s.partitions), 1, nil, "clicks")
	rep.Must(err)
	offsets := kadm.Offsets{}
	for p := range s.partitions {
		offsets.AddOffset("clicks", int32(p), 0, -1)
	}
	for group := range s.groups {
		rep.Must(admin.CommitAllOffsets(ctx, groupName(group), offsets))
	}
	topics, err := admin.ListTopicsWithInternal(ctx, "__consumer_offsets")
	rep.Must(err)
	count := int32(len(topics["__consumer_offsets"].Partitions))
	for group := range s.groups {
		var hash int32
		for _, unit := range groupName(group) {
			hash = 31*hash + unit
		}
		where = append(where, max(hash, -hash)%count)
	}
	return where
}

// writeCommits appends so many commits of all partitions of a group to the log.
func (s *settings) writeCommits(group int, dir string, commits int64) {
	config := log.DefaultConfig()
	config.SegmentBytes, config.Compacted, config.DeleteOldSegments = s.segmentBytes, true, false
	nowMs := time.Now().UnixMilli()
	l, _, err := log.Open(log.Options{FS: disk.OS(), Dir: dir, Config: config, NowMs: nowMs})
	rep.Must(err)
	keys := make([][]byte, s.partitions)
	for p := range keys {
		key := kmsg.OffsetCommitKey{Version: 1, Group: groupName(group), Topic: "clicks", Partition: int32(p)}
		keys[p] = key.AppendTo(nil)
	}
	builder := record.NewBuilder(record.Options{})
	var value []byte
	for i := range commits {
		builder.Reset()
		for p := range keys {
			v := kmsg.NewOffsetCommitValue()
			v.Version, v.Offset, v.LeaderEpoch, v.CommitTimestamp = 3, i*10+int64(p), -1, nowMs
			value = v.AppendTo(value[:0])
			builder.Add(nowMs, keys[p], value)
		}
		batch, err := builder.Build()
		rep.Must(err)
		_, err = l.Append(batch, log.AppendOptions{NowMs: nowMs, LeaderEpoch: max(0, l.LatestEpoch()), Internal: true})
		rep.Must(err)
	}
	rep.Must(l.Close())
}

// firstAnswer returns when an ApiVersions request is answered.
func firstAnswer(addr string, until time.Time) error {
	for time.Now().Before(until) {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			time.Sleep(300 * time.Microsecond)
			continue
		}
		defer conn.Close()
		if _, err := conn.Write([]byte{0, 0, 0, 13, 0, 18, 0, 0, 0, 0, 0, 1, 0, 3, 'a', 'b', 'c'}); err != nil {
			return err
		}
		var length [4]byte
		if _, err := io.ReadFull(conn, length[:]); err != nil {
			return err
		}
		_, err = io.CopyN(io.Discard, conn, int64(binary.BigEndian.Uint32(length[:])))
		return err
	}
	return fmt.Errorf("no answer at %s", addr)
}

// quiet is how long nothing more may be compacted until compaction is over.
const quiet = 3 * time.Second

// awaitCompaction returns once there are no more compactions, and how long it took until the last one.
func awaitCompaction(addr string) time.Duration {
	begin := time.Now()
	count, since := 0.0, begin
	for count == 0 || time.Since(since) < quiet {
		if count == 0 && time.Since(begin) > 10*time.Minute {
			rep.Must(fmt.Errorf("nothing was compacted: no segment is full, try a larger -scale or a smaller -segment"))
		}
		if now := metric(addr, "millrace_compaction_duration_seconds_count"); now != count {
			count, since = now, time.Now()
		}
		time.Sleep(100 * time.Millisecond)
	}
	return since.Sub(begin)
}

// metric reads one series without labels from /metrics.
func metric(addr, name string) float64 {
	response, err := http.Get("http://" + addr + "/metrics")
	rep.Must(err)
	defer response.Body.Close()
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			v, err := strconv.ParseFloat(value, 64)
			rep.Must(err)
			return v
		}
	}
	return 0
}
