package broker

import (
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/internal/disk"
)

// slowScrub reads 64 KiB a second, begins each day, and nothing is ever deleted.
var slowScrub = map[string]string{"millrace.scrub.bytes.per.second": "65536", "millrace.scrub.interval.ms": "86400000"}

// sealedTopic makes a topic with about so many KiB in sealed segments of 32 KiB, one record of 1 KiB a batch.
func sealedTopic(t *testing.T, b *Broker, c *client, name string, kib int) {
	t.Helper()
	topicWith(t, b, name, 1, map[string]string{"segment.bytes": "32768", "retention.ms": "-1"})
	for range kib + 32 {
		produceTo(t, c, name, 0, strings.Repeat("x", 900))
	}
}

func sealedBytes(b *Broker, name string) uint64 {
	stats := b.partitions.lookup(name, 0).Stats()
	return uint64(stats.SizeBytes) / uint64(stats.Segments) * uint64(stats.Segments-1)
}

func TestScrubReadsEverythingSlowlyAndAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, dial, logged := brokerOnSmallDisk(t, disk.NewMem(), slowScrub)
		sealedTopic(t, b, dial(), "t", 1024)
		want := sealedBytes(b, "t")
		if age := b.scrubber.age(time.Now()); age >= 0 {
			t.Errorf("age %v before the first pass", age)
		}
		time.Sleep(firstScrub + 8*time.Second)
		synctest.Wait()
		if read := b.scrubber.bytes.Load(); read < 256<<10 || read > 768<<10 {
			t.Errorf("%d bytes in eight seconds, of 64 KiB each", read)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if read := b.scrubber.bytes.Load(); read < want || read > want+want/4 {
			t.Errorf("%d bytes were read, %d are sealed", read, want)
		}
		if age := b.scrubber.age(time.Now()); age <= 0 || age > time.Minute {
			t.Errorf("age %v after a pass", age)
		}
		time.Sleep(25 * time.Hour)
		synctest.Wait()
		if read := b.scrubber.bytes.Load(); read < 2*want || read > 3*want {
			t.Errorf("%d bytes were read in two passes, %d are sealed", read, want)
		}
		if text := logged.String(); strings.Contains(text, "level=WARN") || strings.Contains(text, "level=ERROR") {
			t.Errorf("logged:\n%s", text)
		}
	})
}

// A broker that is restarted before a pass has ended goes on where it was, and remembers when the last one ended.
func TestScrubSurvivesRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		files := disk.NewMem()
		b, dial, _ := brokerOnSmallDisk(t, files, slowScrub)
		sealedTopic(t, b, dial(), "a", 512)
		sealedTopic(t, b, dial(), "b", 512)
		want := sealedBytes(b, "a") + sealedBytes(b, "b")
		var read uint64
		restarts := 0
		for ; b.scrubber.age(time.Now()) < 0; restarts++ {
			if restarts > 20 {
				t.Fatal("no pass ever ends")
			}
			time.Sleep(firstScrub + 3*time.Second)
			synctest.Wait()
			read += b.scrubber.bytes.Load()
			if err := b.Close(); err != nil {
				t.Fatal(err)
			}
			b, _, _ = brokerOnSmallDisk(t, files, slowScrub)
		}
		if restarts < 3 || read < want || read > 2*want {
			t.Errorf("%d bytes were read in %d starts, %d are sealed", read, restarts, want)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if again := b.scrubber.bytes.Load(); again != 0 {
			t.Errorf("%d bytes were read long before the next pass", again)
		}
		if age := b.scrubber.age(time.Now()); age < time.Hour {
			t.Errorf("age %v", age)
		}
	})
}

// flip changes one byte of a file.
func flip(t *testing.T, files disk.FS, name string, position int64) {
	t.Helper()
	f, err := files.OpenWrite(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], position); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 0x40
	if _, err := f.WriteAt(b[:], position); err != nil {
		t.Fatal(err)
	}
}

// Damage in one batch costs that batch: it is told of, counted once, and refused; all other records are served, and new
// ones are taken.
func TestDamageThatTheScrubFinds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		files := disk.NewMem()
		b, dial, logged := brokerOnSmallDisk(t, files, slowScrub)
		c := dial()
		sealedTopic(t, b, c, "t", 64)
		const segment = "/data/t-0/00000000000000000000.log"
		flip(t, files, segment, 2500) // in the third record
		time.Sleep(firstScrub + time.Minute)
		synctest.Wait()
		for _, want := range []string{"segment is damaged", segment, "topic=t", "crc", "millrace log verify", "{From:2 To:3}"} {
			if !strings.Contains(logged.String(), want) {
				t.Errorf("log without %q:\n%s", want, logged)
			}
		}
		fetch := func(offset int64) kmsg.FetchResponseTopicPartition {
			return c.ask(fetchRequest("t", offset, 0)).(*kmsg.FetchResponse).Topics[0].Partitions[0]
		}
		wantCode(t, fetch(2).ErrorCode, kerr.CorruptMessage)
		if before := fetch(0); before.ErrorCode != 0 || len(before.RecordBatches) != 2*len(batchOf(t, strings.Repeat("x", 900))) {
			t.Errorf("before the damage: error %d, %d bytes", before.ErrorCode, len(before.RecordBatches))
		}
		if after := fetch(3); after.ErrorCode != 0 || len(after.RecordBatches) == 0 {
			t.Errorf("after the damage: error %d, %d bytes", after.ErrorCode, len(after.RecordBatches))
		}
		produceTo(t, c, "t", 0, "new")
		if found := listed(t, c, 7, "t", 0, -2); found.ErrorCode != 0 || found.Offset != 0 {
			t.Errorf("the earliest offset: %+v", found)
		}
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		if corrupt := b.scrubber.corrupt.Load(); corrupt != 1 {
			t.Errorf("counted %d times after two passes", corrupt)
		}
		c = dial() // the other one was idle for too long
		answer := c.ask(deleteRecordsRequest(2, "t", 0, 3)).(*kmsg.DeleteRecordsResponse).Topics[0].Partitions[0]
		wantCode(t, answer.ErrorCode, nil)
		wantCode(t, fetch(3).ErrorCode, nil)

		flip(t, files, segment, 2500) // back again
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		if found, _, err := b.partitions.lookup("t", 0).Scrub(0, func(int) error { return nil }); err != nil || len(found.Damaged) > 0 {
			t.Errorf("restored: %+v, %v", found, err)
		}
	})
}

func TestScrubCanBeTurnedOff(t *testing.T) {
	for _, setting := range []string{"millrace.scrub.bytes.per.second", "millrace.scrub.interval.ms"} {
		synctest.Test(t, func(t *testing.T) {
			b, dial, _ := brokerOnSmallDisk(t, disk.NewMem(), map[string]string{setting: "0"})
			sealedTopic(t, b, dial(), "t", 64)
			time.Sleep(8 * 24 * time.Hour)
			synctest.Wait()
			if read := b.scrubber.bytes.Load(); read != 0 {
				t.Errorf("%s=0: %d bytes", setting, read)
			}
		})
	}
}

// A topic that is deleted while it is read is no reason to say anything.
func TestScrubOfADeletedTopicEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, dial, logged := brokerOnSmallDisk(t, disk.NewMem(), slowScrub)
		sealedTopic(t, b, dial(), "t", 1024)
		sealedTopic(t, b, dial(), "u", 64)
		time.Sleep(firstScrub + 5*time.Second)
		deleteTopic(t, b, "t")
		time.Sleep(time.Minute)
		synctest.Wait()
		if age := b.scrubber.age(time.Now()); age < 0 {
			t.Error("the pass has not ended")
		}
		if text := logged.String(); strings.Contains(text, "level=WARN") || strings.Contains(text, "level=ERROR") {
			t.Errorf("logged:\n%s", text)
		}
	})
}

func TestScrubPositionThatCannotBeReadIsTheBeginning(t *testing.T) {
	for _, content := range []string{"", "{", `{"version":99,"completed_ms":5}`} {
		files := disk.NewMem()
		if err := files.MkdirAll("/data"); err != nil {
			t.Fatal(err)
		}
		if err := disk.WriteAtomic(files, filepath.Join("/data", scrubFile), []byte(content)); err != nil {
			t.Fatal(err)
		}
		got, err := readScrubPosition(files, "/data")
		if err == nil || got != (scrubPosition{Version: scrubVersion}) {
			t.Errorf("%q: %+v, %v", content, got, err)
		}
	}
	files := disk.NewMem()
	if err := files.MkdirAll("/data"); err != nil {
		t.Fatal(err)
	}
	want := scrubPosition{Version: scrubVersion, CompletedMs: 1, BegunMs: 2, UnderWay: true, Topic: "t", Partition: 3, Offset: 4}
	if err := want.write(files, "/data"); err != nil {
		t.Fatal(err)
	}
	if got, err := readScrubPosition(files, "/data"); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestScrubIsDueAfterItsInterval(t *testing.T) {
	for _, c := range []struct {
		position          scrubPosition
		nowMs, intervalMs int64
		want              int64
	}{
		{scrubPosition{}, 1000, 100, 1000},
		{scrubPosition{BegunMs: 900}, 950, 100, 1000},
		{scrubPosition{BegunMs: 500}, 950, 100, 600},
		{scrubPosition{BegunMs: 900, UnderWay: true}, 950, 100, 950},
		{scrubPosition{BegunMs: 5000}, 950, 100, 950}, // the clock was set back
		{scrubPosition{BegunMs: 900}, 950, 1<<63 - 1, 1<<63 - 1},
	} {
		if got := c.position.dueMs(c.nowMs, c.intervalMs); got != c.want {
			t.Errorf("%+v at %d: due at %d, want %d", c.position, c.nowMs, got, c.want)
		}
	}
}
