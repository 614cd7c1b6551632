package main

import (
	"strings"
	"syscall"
	"testing"

	"github.com/millrace/millrace/internal/freeport"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

func TestAHealthyClusterIsExitCode0(t *testing.T) {
	http := freeport.Address(t)
	p, _ := serve(t, "--in-memory", "--topic", "t:2", "--http", http)
	for _, args := range [][]string{{}, {"-w", "-e"}, {"--local", "--http", http}} {
		r := cli(t, "", append([]string{"cluster", "health", "--no-headers"}, args...)...)
		if r.code != 0 || r.stdout != "true  -\n" || r.stderr != "" {
			t.Errorf("%v: exit code %d, stdout %q, stderr %q", args, r.code, r.stdout, r.stderr)
		}
	}
	t.Setenv("MILLRACE_HTTP", strings.Replace(http, "127.0.0.1", "0.0.0.0", 1))
	if r := cli(t, "", "cluster", "health", "--local"); r.code != 0 {
		t.Errorf("with the variable of the container: exit code %d, %s", r.code, r.stdout)
	}
	p.signal(syscall.SIGTERM)
	p.exit()
	for _, args := range [][]string{{}, {"--local"}} {
		r := cli(t, "", append([]string{"cluster", "health", "--no-headers"}, args...)...)
		if r.code != 1 || !strings.HasPrefix(r.stdout, "false  ") || !strings.Contains(r.stdout, "connection refused") {
			t.Errorf("after the end, %v: exit code %d, stdout %q", args, r.code, r.stdout)
		}
	}
}

func TestWatchGoesOnUntilTheClusterIsHealthy(t *testing.T) {
	address := freeport.Address(t)
	watch := start(t, "cluster", "health", "-b", address, "-w", "-e", "--no-headers")
	eventually(t, "the watch says that nobody answers", func() bool { return strings.Contains(watch.stdout.String(), "false") })
	_, _ = serve(t, "--in-memory", "--listen", address)
	if code := watch.exit(); code != 0 || !strings.HasSuffix(watch.stdout.String(), "true  -\n") {
		t.Errorf("exit code %d, stdout %q", code, watch.stdout.String())
	}
}

func TestHealthUsage(t *testing.T) {
	t.Setenv("MILLRACE_HTTP", "none")
	for want, args := range map[string][]string{
		"-e needs -w":                                  {"-e"},
		"--http needs --local":                         {"--http", "127.0.0.1:1"},
		`MILLRACE_HTTP: "none" is not HOST:PORT`:       {"--local"},
		`--http: "x" is not HOST:PORT`:                 {"--local", "--http", "x"},
		"cluster health: unknown flag --locl, did you": {"--locl"},
	} {
		if r := cli(t, "", append([]string{"cluster", "health"}, args...)...); r.code != 2 || !strings.Contains(r.stderr, want) {
			t.Errorf("%v: exit code %d, stderr %q, want %q", args, r.code, r.stderr, want)
		}
	}
}

func TestProblemsOfACluster(t *testing.T) {
	partition := func(change func(*kadm.PartitionDetail)) kadm.Metadata {
		p := kadm.PartitionDetail{Topic: "t", Leader: 1, Replicas: []int32{1, 2}, ISR: []int32{1, 2}}
		change(&p)
		return kadm.Metadata{
			Brokers: kadm.BrokerDetails{{NodeID: 1}},
			Topics:  kadm.TopicDetails{"t": {Topic: "t", Partitions: kadm.PartitionDetails{0: p}}},
		}
	}
	for _, test := range []struct {
		metadata kadm.Metadata
		want     string
	}{
		{partition(func(*kadm.PartitionDetail) {}), ""},
		{kadm.Metadata{}, "no broker is known"},
		{partition(func(p *kadm.PartitionDetail) { p.Leader = -1 }), "partition t-0 has no leader"},
		{partition(func(p *kadm.PartitionDetail) { p.OfflineReplicas = []int32{1} }), "partition t-0 is offline, the broker's log says why"},
		{partition(func(p *kadm.PartitionDetail) { p.ISR = p.ISR[:1] }), "partition t-0 has 1 of 2 replicas in sync"},
		{partition(func(p *kadm.PartitionDetail) { p.Err = kerr.KafkaStorageError }), "KAFKA_STORAGE_ERROR"},
	} {
		if got := strings.Join(clusterProblems(test.metadata), "; "); (got == "") != (test.want == "") || !strings.Contains(got, test.want) {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}
