package e2e

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/freeport"
)

// TestStreamsOnApacheKafkaKillsChangeNoResult runs the very program of TestStreamsKillsChangeNoResult on Apache Kafka. Only its
// processes are killed: a single broker of 4.3.1 that is killed between the decision of a transaction and its markers may, when it is
// back, take it for complete without having written them. What was committed is then aborted with the producer's next transaction.
func TestStreamsOnApacheKafkaKillsChangeNoResult(t *testing.T) {
	t.Parallel()
	rounds := recountRoundsOfASmoke * 2 / 3
	if long() {
		rounds = recountRoundsOfALongRun / 4
	}
	newRecounting(t, startKafka(t).addr, nil).run(rounds)
}

// kafkaServer is Apache Kafka's own broker, one node, from the jars of setup.sh.
type kafkaServer struct {
	t       *testing.T
	addr    string
	dir     string
	command *exec.Cmd
	output  *lockedBuffer
	exited  chan struct{}
}

func startKafka(t *testing.T) *kafkaServer {
	t.Helper()
	k := &kafkaServer{t: t, addr: freeport.Address(t), dir: t.TempDir(), output: &lockedBuffer{}}
	if err := os.WriteFile(k.settings(), []byte(k.properties(freeport.Address(t))), 0o600); err != nil {
		t.Fatal(err)
	}
	format := k.java("kafka.tools.StorageTool", "format", "-t", "AAAAAAAAAAAAAAAAAAAAAg", "-c", k.settings())
	format.Stdout, format.Stderr = k.output, k.output
	if err := format.Run(); err != nil {
		t.Fatalf("format Kafka's directory: %v\n%s", err, k.output.tail())
	}
	t.Cleanup(func() {
		if k.command != nil {
			k.kill()
		}
		if t.Failed() {
			t.Logf("what Kafka said:\n%s", k.output.tail())
		}
	})
	k.start()
	return k
}

func (k *kafkaServer) settings() string { return filepath.Join(k.dir, "server.properties") }

// properties are Kafka's defaults but for what one node on the loopback and short waits need.
func (k *kafkaServer) properties(controller string) string {
	return strings.Join([]string{
		"process.roles=broker,controller",
		"node.id=1",
		"controller.quorum.voters=1@" + controller,
		fmt.Sprintf("listeners=PLAINTEXT://%s,CONTROLLER://%s", k.addr, controller),
		"advertised.listeners=PLAINTEXT://" + k.addr,
		"controller.listener.names=CONTROLLER",
		"listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
		"log.dirs=" + filepath.Join(k.dir, "data"),
		"offsets.topic.replication.factor=1",
		"offsets.topic.num.partitions=4",
		"transaction.state.log.replication.factor=1",
		"transaction.state.log.min.isr=1",
		"transaction.state.log.num.partitions=4",
		"share.coordinator.state.topic.replication.factor=1",
		"share.coordinator.state.topic.min.isr=1",
		"group.initial.rebalance.delay.ms=0",
		"group.min.session.timeout.ms=1000",
	}, "\n")
}

// java runs a class of Kafka's; the test is skipped where that is not possible, except in CI.
func (k *kafkaServer) java(class string, arguments ...string) *exec.Cmd {
	k.t.Helper()
	program := func() (*exec.Cmd, error) {
		c, err := javaCommand("", append([]string{class}, arguments...)...)
		if err != nil {
			return nil, errors.Join(errors.New("no Apache Kafka here"), err)
		}
		return c, nil
	}
	return foreign{name: "kafka", program: program}.command(k.t)
}

func (k *kafkaServer) start() {
	k.t.Helper()
	k.command = k.java("kafka.Kafka", k.settings())
	k.command.Stdout, k.command.Stderr = k.output, k.output
	if err := k.command.Start(); err != nil {
		k.t.Fatal(err)
	}
	command, exited := k.command, make(chan struct{})
	k.exited = exited
	go func() {
		defer close(exited)
		_ = command.Wait()
	}()
	eventually(k.t, "Kafka accepts connections", func() bool {
		select {
		case <-exited:
			k.t.Fatalf("Kafka ended while starting:\n%s", k.output.tail())
		default:
		}
		c, err := net.DialTimeout("tcp", k.addr, time.Second)
		if err != nil {
			return false
		}
		_ = c.Close()
		return true
	})
}

func (k *kafkaServer) kill() {
	_ = k.command.Process.Kill() // it fails only if the process has ended
	<-k.exited
}
