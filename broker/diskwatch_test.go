package broker

import (
	"io"
	"log/slog"
	"maps"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/internal/disk"
	"github.com/millrace/millrace/internal/memnet"
)

func TestDiskStateFollowsWhatIsFree(t *testing.T) {
	marks := diskMarks{low: diskMark{1000, 10}, full: diskMark{100, 1}}
	for _, c := range []struct {
		title       string
		before      diskState
		total, free int64
		want        diskState
	}{
		{"room", diskOK, 1 << 40, 1000, diskOK},
		{"low", diskOK, 1 << 40, 999, diskLow},
		{"full at once", diskOK, 1 << 40, 99, diskReadOnly},
		{"full", diskLow, 1 << 40, 99, diskReadOnly},
		{"on the mark", diskLow, 1 << 40, 100, diskLow},
		{"still full", diskReadOnly, 1 << 40, 124, diskReadOnly},
		{"no longer full", diskReadOnly, 1 << 40, 125, diskLow},
		{"still low", diskLow, 1 << 40, 1249, diskLow},
		{"no longer low", diskLow, 1 << 40, 1250, diskOK},
		{"room at once", diskReadOnly, 1 << 40, 1250, diskOK},
		{"a small disk has small marks", diskOK, 5000, 499, diskLow},
		{"and is usable for most of it", diskOK, 5000, 500, diskOK},
		{"to the last percent", diskLow, 5000, 49, diskReadOnly},
	} {
		if got := marks.next(c.before, disk.Usage{TotalBytes: c.total, FreeBytes: c.free}); got != c.want {
			t.Errorf("%s: %s, want %s", c.title, got, c.want)
		}
	}
	for title, off := range map[string]diskMarks{"bytes": {diskMark{0, 5}, diskMark{0, 1}}, "percent": {diskMark{1000, 0}, diskMark{100, 0}}} {
		if got := off.next(diskOK, disk.Usage{TotalBytes: 1000}); got != diskOK {
			t.Errorf("0 %s is no mark, and yet %s", title, got)
		}
	}
	onlyFull := diskMarks{full: diskMark{100, 1}}
	if got := onlyFull.next(diskOK, disk.Usage{TotalBytes: 1 << 40, FreeBytes: 50}); got != diskReadOnly {
		t.Errorf("full without low: %s", got)
	}
}

const (
	smallDiskBytes = 4 << 20
	fullDiskBytes  = 1 << 20 // records are refused
)

// brokerOnSmallDisk is brokerOn with marks that suit a small disk, and with what it logs.
func brokerOnSmallDisk(t *testing.T, files disk.FS, more map[string]string) (*Broker, func() *client, *lockedBuffer) {
	t.Helper()
	settings := map[string]string{
		"millrace.disk.full.bytes": "1048576", "millrace.disk.full.percent": "100",
		"millrace.disk.low.bytes": "2097152", "millrace.disk.low.percent": "100",
		"log.retention.check.interval.ms": "86400000", "offsets.topic.num.partitions": "1",
	}
	maps.Copy(settings, more)
	network := memnet.New()
	listener, err := network.Listen("10.0.0.1:9092")
	if err != nil {
		t.Fatal(err)
	}
	logged := new(lockedBuffer)
	b := startBroker(t, Options{DataDir: "/data", Listener: listener, Config: settings, fileSystem: files,
		Logger: slog.New(slog.NewTextHandler(logged, nil))}, nil)
	return b, func() *client {
		conn, err := network.Dial(t.Context(), "tcp", "10.0.0.1:9092")
		if err != nil {
			t.Fatal(err)
		}
		return newClient(t, conn)
	}, logged
}

// fillUntilRefused writes to partition 0 of the topic until that is refused, and returns how many records are there.
func fillUntilRefused(t *testing.T, c *client, topic string) (taken int64, refused kmsg.ProduceResponseTopicPartition) {
	t.Helper()
	filling := strings.Repeat("x", 64<<10)
	for range 1000 {
		answer := produced(t, c.ask(produceRequest(topic, acksAll, batchOf(t, filling))))
		if answer.ErrorCode != 0 {
			return taken, answer
		}
		taken++
	}
	t.Fatal("nothing was refused")
	return 0, refused
}

func TestNearlyFullDiskRefusesRecordsAndNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		files := disk.NewMem()
		files.SetBudget(smallDiskBytes)
		b, dial, logged := brokerOnSmallDisk(t, files, nil)
		createTopic(t, b, "t", 1)
		topicWith(t, b, "ballast", 1, map[string]string{"retention.ms": "-1"})
		c := dial()
		commit(t, c, "t", 0) // creates __consumer_offsets while there is room
		taken, refused := fillUntilRefused(t, c, "ballast")
		wantCode(t, refused.ErrorCode, kerr.KafkaStorageError)
		for _, want := range []string{"nearly full", "/data", "millrace.disk.full.bytes", "delete topics"} {
			if !strings.Contains(*refused.ErrorMessage, want) {
				t.Errorf("message without %q: %s", want, *refused.ErrorMessage)
			}
		}
		if free := smallDiskBytes - files.UsedBytes(); free < fullDiskBytes-128<<10 || free > fullDiskBytes+128<<10 {
			t.Errorf("refused with %d bytes free, the mark is at %d", free, fullDiskBytes)
		}
		if end := b.partitions.lookup("ballast", 0).Offsets().LogEnd; end != taken {
			t.Errorf("log end %d after %d records: what was refused was appended", end, taken)
		}
		wantCode(t, produced(t, c.ask(produceRequest("t", acksAll, batchOf(t, "small")))).ErrorCode, kerr.KafkaStorageError)

		// All else goes on, out of the reserve.
		if values, code := fetched(t, c.ask(fetchRequest("ballast", 0, 0))); len(values) == 0 || code != 0 {
			t.Errorf("fetched %d records, error %d", len(values), code)
		}
		commit(t, c, "ballast", taken)
		answer := c.ask(deleteRecordsRequest(2, "ballast", 0, 1)).(*kmsg.DeleteRecordsResponse).Topics[0].Partitions[0]
		wantCode(t, answer.ErrorCode, nil)
		time.Sleep(5 * diskWatchEvery)
		if answer := produced(t, c.ask(produceRequest("t", acksAll, batchOf(t, "small")))); answer.ErrorCode == 0 {
			t.Error("taken before there is room")
		}

		deleteTopic(t, b, "ballast")
		time.Sleep(2 * diskWatchEvery)
		synctest.Wait()
		wantCode(t, produced(t, c.ask(produceRequest("t", acksAll, batchOf(t, "small")))).ErrorCode, nil)
		for message, want := range map[string]int{"disk is low on room": 1, "disk is nearly full": 1, "disk has room again": 1} {
			if got := strings.Count(logged.String(), message); got != want {
				t.Errorf("%q was logged %d times, want %d:\n%s", message, got, want, logged)
			}
		}
	})
}

// A disk that is nearly full when the broker starts is that from the first record on.
func TestBrokerStartsOnANearlyFullDisk(t *testing.T) {
	files := disk.NewMem()
	b, dial := brokerOn(t, files, nil)
	topicWith(t, b, "t", 1, map[string]string{"retention.ms": "-1"})
	produceTo(t, dial(), "t", 0, strings.Repeat("x", 100<<10))
	if err := b.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	files.SetBudget(files.UsedBytes() + fullDiskBytes/2)
	_, dial, _ = brokerOnSmallDisk(t, files, nil)
	c := dial()
	wantCode(t, produced(t, c.ask(produceRequest("t", acksAll, batchOf(t, "no")))).ErrorCode, kerr.KafkaStorageError)
	if values, code := fetched(t, c.ask(fetchRequest("t", 0, 0))); len(values) != 1 || code != 0 {
		t.Errorf("fetched %d records, error %d", len(values), code)
	}
}

// What another program has filled, it may empty again: the broker notices both by itself.
func TestDiskThatOthersFill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		files := disk.NewMem()
		files.SetBudget(smallDiskBytes)
		b, dial, _ := brokerOnSmallDisk(t, files, nil)
		createTopic(t, b, "t", 1)
		c := dial()
		produceTo(t, c, "t", 0, "v")
		for range 2 {
			files.SetBudget(files.UsedBytes() + fullDiskBytes - 1)
			time.Sleep(2 * diskWatchEvery)
			synctest.Wait()
			wantCode(t, produced(t, c.ask(produceRequest("t", acksAll, batchOf(t, "no")))).ErrorCode, kerr.KafkaStorageError)
			files.SetBudget(smallDiskBytes)
			time.Sleep(2 * diskWatchEvery)
			synctest.Wait()
			produceTo(t, c, "t", 0, "v")
		}
	})
}

func TestRetentionRunsWhenTheDiskGetsLow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		files := disk.NewMem()
		files.SetBudget(smallDiskBytes)
		b, dial, logged := brokerOnSmallDisk(t, files, nil)
		topicWith(t, b, "t", 1, map[string]string{"retention.bytes": "300000", "segment.bytes": "100000"})
		c := dial()
		filling := strings.Repeat("x", 64<<10)
		for range 60 { // as much as the whole disk holds
			produceTo(t, c, "t", 0, filling)
			synctest.Wait()
		}
		if stats := b.partitions.lookup("t", 0).Stats(); stats.LogStart == 0 {
			t.Errorf("nothing was deleted: %+v", stats)
		}
		if got := strings.Count(logged.String(), "disk is low on room"); got != 1 {
			t.Errorf("%d warnings in a moment:\n%s", got, logged)
		}
	})
}

// A file system that cannot say how much room there is, is no reason to refuse anything.
func TestUnknownRoomRefusesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		files := disk.NewFaults(disk.NewMem(), disk.Rule{Kinds: []disk.Kind{disk.OpUsage}, Err: syscall.ENOSYS})
		b, dial, logged := brokerOnSmallDisk(t, files, nil)
		createTopic(t, b, "t", 1)
		c := dial()
		for range 10 {
			produceTo(t, c, "t", 0, "v")
			time.Sleep(diskWatchEvery)
		}
		if got := strings.Count(logged.String(), "room on the disk is not known"); got != 1 {
			t.Errorf("said %d times:\n%s", got, logged)
		}
	})
}

func TestReadinessAndMetricsTellOfTheDisk(t *testing.T) {
	files := disk.NewMem()
	b := startBroker(t, Options{HTTP: "127.0.0.1:0", fileSystem: files, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Config: map[string]string{"millrace.disk.full.percent": "10", "millrace.disk.low.percent": "20"}}, nil)
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(newCollector(b))
	for _, c := range []struct {
		free, total int64
		note        string
		state       string
	}{
		{50 << 20, 100 << 20, `"disk":"ok"`, "0"},
		{15 << 20, 100 << 20, `"disk":"low: 15728640 of`, "1"},
		{5 << 20, 100 << 20, `"disk":"read-only: disk is nearly full`, "2"},
	} {
		files.SetBudget(files.UsedBytes() + c.total)
		ballast, err := files.Create("/ballast")
		if err != nil {
			t.Fatal(err)
		}
		if err := ballast.Truncate(c.total - c.free); err != nil {
			t.Fatal(err)
		}
		b.disk.look(time.Now())
		if status, body := get(t, b, "/readyz"); status != 200 || !strings.Contains(body, c.note) || !strings.Contains(body, `"ready"`) {
			t.Errorf("%d %s, want %s", status, body, c.note)
		}
		err = testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP millrace_disk_state 0 if the disk has room, 1 if it is low, 2 if clients' records are refused.
# TYPE millrace_disk_state gauge
millrace_disk_state{dir="`+b.options.DataDir+`"} `+c.state+`
`), "millrace_disk_state")
		if err != nil {
			t.Error(err)
		}
		if err := ballast.Close(); err != nil {
			t.Fatal(err)
		}
		if err := files.Remove("/ballast"); err != nil {
			t.Fatal(err)
		}
	}
}

// A full disk is one line for all partitions, when it begins; any other failure is one line for each.
func TestMaintenanceThatFailsIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		files := disk.NewFaults(disk.NewMem())
		b, dial, logged := brokerOnSmallDisk(t, files, map[string]string{"log.retention.check.interval.ms": "60000"})
		topicWith(t, b, "t", 3, map[string]string{"retention.ms": "60000", "message.timestamp.type": "LogAppendTime"})
		for index := range int32(3) {
			produceTo(t, dial(), "t", index, "v")
		}
		for _, c := range []struct {
			err     error
			message string
			want    int
		}{{syscall.ENOSPC, "old segments cannot be deleted in order", 1}, {syscall.EIO, "could not be maintained", 3}} {
			files.SetRules(disk.Rule{Kinds: []disk.Kind{disk.OpCreate}, Pattern: "millrace.checkpoint*", Err: c.err})
			time.Sleep(10 * time.Minute)
			synctest.Wait()
			if got := strings.Count(logged.String(), c.message); got != c.want {
				t.Errorf("%v: %q %d times, want %d:\n%s", c.err, c.message, got, c.want, logged)
			}
		}
		files.SetRules()
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if got := strings.Count(logged.String(), "maintained again"); got != 3 {
			t.Errorf("%d partitions are maintained again:\n%s", got, logged)
		}
		if o := b.partitions.lookup("t", 0).Offsets(); o.LogStart != 1 {
			t.Errorf("with room again nothing was deleted: %+v", o)
		}
	})
}
