package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/bench/internal/rep"
	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams"
	"github.com/millrace/millrace/streams/serde"
)

// What a child prints.
const (
	lineAll = "all" // the whole input is processed and committed
	lineNew = "new" // a record that came later is processed
)

const newKey = "new" // of records that are produced before a restart

// restarting builds a store of keys x size bytes, then kills the application and starts it again, with its disk and without.
func restarting() {
	app := fmt.Sprintf("restart-%d", time.Now().UnixNano())
	fill(app, *keys, func(i int) (string, []byte) { return key(i), []byte("x") })
	stateDir := filepath.Join(*dir, app)
	defer os.RemoveAll(stateDir)
	defer remove(app, app)

	c := startChild(app, stateDir)
	c.await(lineAll)
	fmt.Printf("# %d keys of %d bytes: %.1f GB of state on disk\n", *keys, *size, float64(diskBytes(stateDir))/1e9)
	var with, without []float64
	for range *runs {
		c.kill()
		produceNew(app)
		c = startChild(app, stateDir)
		with = append(with, c.await(lineNew).Seconds())
	}
	rep.Row("kill -9 to processing again, with the disk", "s", with)
	c.end() // an orderly one: without its disk, nobody could take over at once what a killed process left open
	rep.Must(os.RemoveAll(stateDir))
	produceNew(app)
	c = startChild(app, stateDir)
	without = append(without, c.await(lineNew).Seconds())
	c.kill()
	rep.Row("the same without the disk: restored from zero", "s", without)
	rep.Row("  restored", "records/s", []float64{float64(*keys) / without[0]})
	rep.Row("  restored", "MB/s", []float64{float64(*keys) * float64(*size+keyBytes) / 1e6 / without[0]})
}

func produceNew(topic string) {
	client, err := kgo.NewClient(kgo.SeedBrokers(*broker))
	rep.Must(err)
	defer client.Close()
	rep.Must(client.ProduceSync(context.Background(), &kgo.Record{Topic: topic, Key: []byte(newKey), Value: []byte("x")}).FirstErr())
}

// process is the application in a process of its own.
type process struct {
	command *exec.Cmd
	lines   *bufio.Scanner
	started time.Time
}

func startChild(app, stateDir string) *process {
	c := exec.Command(os.Args[0], "-child", app, "-broker", *broker, "-dir", stateDir, "-keys", fmt.Sprint(*keys), "-size", fmt.Sprint(*size),
		"-commit", commit.String())
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	rep.Must(err)
	p := &process{command: c, lines: bufio.NewScanner(out), started: time.Now()}
	rep.Must(c.Start())
	return p
}

// await returns how long after the start the process printed a line.
func (p *process) await(line string) time.Duration {
	for p.lines.Scan() {
		if p.lines.Text() == line {
			return time.Since(p.started)
		}
	}
	rep.Must(fmt.Errorf("the application ended before it said %q", line))
	return 0
}

func (p *process) kill() {
	rep.Must(p.command.Process.Signal(syscall.SIGKILL))
	_ = p.command.Wait()
}

func (p *process) end() {
	rep.Must(p.command.Process.Signal(syscall.SIGTERM))
	rep.Must(p.command.Wait())
}

// runChild keeps, for each key, a value that cannot be compressed.
func runChild(app string) {
	topology := streams.NewTopology()
	input := streams.From(topology, streams.NewTopic(app, serde.String, serde.Bytes))
	streams.Process(input, "keep", func() streams.Processor[string, []byte, string, []byte] { return &keep{} },
		streams.ProcessOptions{Stores: []state.Store{kept}})
	a, err := streams.New(topology, streams.Config{
		App: app, Brokers: []string{*broker}, StateDir: *dir, CommitInterval: *commit, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	rep.Must(err)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	rep.Must(a.Run(ctx))
}

var kept = state.NewKV("kept", serde.String, serde.Bytes)

// keep puts records into its store, and says when it has all, and some commits have been since.
type keep struct {
	store *state.KVStore[string, []byte]
	seen  int
}

func (k *keep) Init(ctx *streams.Context[string, []byte]) (err error) {
	k.store, err = streams.KVStore(ctx, kept)
	ctx.Schedule(streams.WallClock, time.Second, func(*streams.Context[string, []byte], time.Time) error {
		if k.seen >= *keys {
			fmt.Println(lineAll)
		}
		return nil
	})
	return err
}

func (k *keep) Process(_ *streams.Context[string, []byte], r streams.Record[string, []byte]) error {
	k.seen++
	if r.Key == newKey {
		fmt.Println(lineNew)
	}
	return k.store.Put(r.Key, noise(r.Key))
}

// noise is the same for each key.
func noise(key string) []byte {
	hash := fnv.New64()
	_, _ = io.WriteString(hash, key)
	source := rand.New(rand.NewPCG(hash.Sum64(), 1))
	value := make([]byte, 0, *size+8)
	for len(value) < *size {
		value = binary.LittleEndian.AppendUint64(value, source.Uint64())
	}
	return value[:*size]
}

func diskBytes(dir string) (total int64) {
	_ = filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && !strings.HasSuffix(path, ".log") {
			if info, err := entry.Info(); err == nil {
				total += info.Size()
			}
		}
		return nil
	})
	return total
}
