package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

func TestTheClusterTellsWhatItIs(t *testing.T) {
	_, address := serve(t, "--in-memory", "--topic", "clicks:3")
	ok(t, "a\nb\n", "produce", "clicks", "-p", "1")
	var info clusterInfo
	decode(t, &info, "cluster", "info")
	if info.ClusterID == "" || info.Topics != 1 || info.Partitions != 3 || info.Offline != 0 || len(info.Brokers) != 1 {
		t.Errorf("cluster info: %+v", info)
	}
	if broker := info.Brokers[0]; broker.Host+":"+number(broker.Port) != address || !broker.Controller || broker.ID != info.Controller {
		t.Errorf("broker %+v at %s", broker, address)
	}
	var versions apiVersions
	decode(t, &versions, "cluster", "api-versions")
	if !slices.ContainsFunc(versions.Brokers[0].APIs, func(a apiRange) bool { return a.Name == "Metadata" && a.Key == 3 && a.MaxVersion >= 12 }) {
		t.Errorf("no Metadata in %+v", versions)
	}
	var dirs logDirs
	decode(t, &dirs, "cluster", "logdirs", "clicks")
	if len(dirs.LogDirs) != 1 || len(dirs.LogDirs[0].Partitions) != 3 {
		t.Fatalf("directories %+v", dirs)
	}
	for _, p := range dirs.LogDirs[0].Partitions {
		if (p.SizeBytes > 0) != (p.Partition == 1) || p.Topic != "clicks" {
			t.Errorf("partition %+v", p)
		}
	}
	if r := cli(t, "", "cluster", "logdirs", "clikcs"); r.code != 1 || !strings.Contains(r.stderr, `did you mean "clicks"?`) {
		t.Errorf("exit code %d, stderr %q", r.code, r.stderr)
	}
}

// decode runs a command line that must succeed with --format json and stores what it prints.
func decode(t *testing.T, document any, args ...string) {
	t.Helper()
	out := ok(t, "", append(args, "--format", "json")...)
	if err := json.Unmarshal([]byte(out), document); err != nil {
		t.Fatalf("millrace %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}
