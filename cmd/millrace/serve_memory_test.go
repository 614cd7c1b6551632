package main

import (
	"testing"
	"testing/fstest"
)

func TestTheContainersMemoryIsTheLowestLimitOnTheWayUp(t *testing.T) {
	for name, test := range map[string]struct {
		files map[string]string
		want  int64 // 0: none
	}{
		"no control groups": {map[string]string{}, 0},
		"its own namespace": {map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "536870912\n"}, 536870912},
		"unlimited":         {map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "max\n"}, 0},
		"a slice above it": {map[string]string{
			"proc/self/cgroup": "0::/system.slice/millrace.service\n",
			"sys/fs/cgroup/system.slice/millrace.service/memory.max": "max\n",
			"sys/fs/cgroup/system.slice/memory.max":                  "1000000\n",
		}, 1000000},
		"version 1": {map[string]string{
			"proc/self/cgroup": "5:cpu,cpuacct:/\n4:memory:/docker/x\n",
			"sys/fs/cgroup/memory/docker/x/memory.limit_in_bytes": "2000000\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes":          "9223372036854771712\n",
		}, 2000000},
		"version 1 unlimited": {map[string]string{
			"proc/self/cgroup": "4:memory:/\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
		}, 0},
	} {
		root := fstest.MapFS{}
		for file, text := range test.files {
			root[file] = &fstest.MapFile{Data: []byte(text)}
		}
		got, ok := containerMemory(root)
		if ok != (test.want > 0) || ok && got != test.want {
			t.Errorf("%s: %d, %v, want %d", name, got, ok, test.want)
		}
	}
}
