package main

import (
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/disk"
	"github.com/millrace/millrace/internal/freeport"
)

// examined runs the doctor and returns its findings and exit code.
func examined(t *testing.T, args ...string) (lines []string, code int) {
	t.Helper()
	r := cli(t, "", append([]string{"doctor", "--no-headers"}, args...)...)
	if r.stderr != "" {
		t.Errorf("doctor %v: stderr %q", args, r.stderr)
	}
	return strings.Split(strings.TrimSpace(r.stdout), "\n"), r.code
}

// expectFinding fails unless one line has all of the parts.
func expectFinding(t *testing.T, lines []string, parts ...string) {
	t.Helper()
	if !slices.ContainsFunc(lines, func(line string) bool {
		return !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(line, part) })
	}) {
		t.Errorf("no finding with %q in\n%s", parts, strings.Join(lines, "\n"))
	}
}

func TestDoctorFindsNothingAtAHealthyBroker(t *testing.T) {
	dir, http := t.TempDir(), freeport.Address(t)
	_, address := serve(t, "--data-dir", dir, "--topic", "t:3", "--http", http)
	lines, code := examined(t, "--http", http)
	if code != 0 {
		t.Errorf("exit code %d", code)
	}
	expectFinding(t, lines, "ok", "broker", address+" answers, cluster ", "with 1 broker")
	expectFinding(t, lines, "ok", "advertised", "broker 1 tells clients "+address+", which answers")
	expectFinding(t, lines, "ok", "partitions", "3 partitions, all with a leader")
	expectFinding(t, lines, "ok", "ready", http)
	expectFinding(t, lines, "ok", "clock")
	lines, _ = examined(t, "--http", http, "--data-dir", dir)
	expectFinding(t, lines, "ok", "directory", "a broker is running on it")
	expectFinding(t, lines, "ok", "disk", "a sync takes")
	if entries, err := os.ReadDir(dir); err != nil || slices.ContainsFunc(entries, func(e os.DirEntry) bool { return e.Name() == examinedName }) {
		t.Errorf("the doctor left its file: %v, %v", entries, err)
	}
}

func TestDoctorFindsAnAdvertisedAddressThatNobodyReaches(t *testing.T) {
	nowhere := strings.Repeat("x", 64) + ".invalid" // no label is that long: nobody is asked for it
	closed := freeport.Address(t)
	for advertised, want := range map[string]string{
		nowhere + ":9092": "which does not resolve",
		closed:            "which cannot be reached from here: connection refused",
	} {
		_, address := serve(t, "--in-memory", "-X", "advertised.listeners=PLAINTEXT://"+advertised)
		lines, code := examined(t, "-b", address)
		if code != 1 {
			t.Errorf("%s: exit code %d", advertised, code)
		}
		expectFinding(t, lines, "ok", "broker", address)
		expectFinding(t, lines, "problem", "advertised", "broker 1 tells clients "+advertised, want, "set advertised.listeners")
	}
}

func TestDoctorFindsAnAddressOfAnotherCluster(t *testing.T) {
	_, other := serve(t, "--in-memory")
	_, address := serve(t, "--in-memory", "-X", "advertised.listeners=PLAINTEXT://"+other)
	lines, code := examined(t, "-b", address)
	if code != 1 {
		t.Errorf("exit code %d", code)
	}
	expectFinding(t, lines, "problem", "advertised", "where cluster ", "answers instead of")
	lines, _ = examined(t, "-b", address+","+other)
	expectFinding(t, lines, "problem", "broker", other, "name brokers of one cluster")
}

// Asked by an address that is not the loopback, as from another machine.
func TestDoctorFindsALoopbackThatOthersAreTold(t *testing.T) {
	own := ownAddress(t)
	_, address := serve(t, "--in-memory", "--listen", "0.0.0.0:0", "-X", "advertised.listeners=PLAINTEXT://localhost:0")
	_, port, _ := net.SplitHostPort(address)
	lines, code := examined(t, "-b", net.JoinHostPort(own, port))
	if code != 1 {
		t.Errorf("exit code %d", code)
	}
	expectFinding(t, lines, "problem", "advertised", "localhost:"+port, "on any other machine that is the machine itself")
}

// ownAddress is an address of this host that is not the loopback; without one, the test is skipped.
func ownAddress(t *testing.T) string {
	t.Helper()
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, address := range addresses {
		if ip, ok := address.(*net.IPNet); ok && ip.IP.IsGlobalUnicast() && ip.IP.To4() != nil {
			return ip.IP.String()
		}
	}
	t.Skip("this host has only the loopback")
	return ""
}

func TestDoctorSaysWhichBrokerDoesNotAnswer(t *testing.T) {
	closed := closedAddress(t)
	lines, code := examined(t, "-b", closed)
	if code != 1 {
		t.Errorf("exit code %d", code)
	}
	expectFinding(t, lines, "problem", "broker", closed+": connection refused", "millrace serve")
}

func TestDoctorComparesClocksAndReadiness(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat))
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write([]byte(`{"status":"not ready","checks":{"broker":"ok","disk":"full"}}`))
	}))
	defer server.Close()
	_, _ = serve(t, "--in-memory")
	lines, code := examined(t, "--http", strings.TrimPrefix(server.URL, "http://"))
	if code != 1 {
		t.Errorf("exit code %d", code)
	}
	expectFinding(t, lines, "problem", "clock", "differ by 1h0m", "NTP")
	expectFinding(t, lines, "problem", "ready", "disk: full")
	lines, _ = examined(t, "--http", closedAddress(t))
	expectFinding(t, lines, "problem", "ready", "connection refused")
}

func TestDoctorLooksAtSettingsAndPorts(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	file, dir := filepath.Join(t.TempDir(), "a.yaml"), t.TempDir()
	for text, want := range map[string][]string{
		"listeners: A://:9092,B://:9092\n":                  {"problem", "settings", "A and B both listen on port 9092", file + " line 1"},
		"num.partitons: 3\n":                                {"problem", "settings", `did you mean "num.partitions"?`},
		"listeners: A://" + taken.Addr().String() + "\n":    {"problem", "port", "listener A cannot listen on " + taken.Addr().String(), "address already in use"},
		"listeners: A://" + freeport.Address(t) + "\n":      {"ok", "port", "listener A can listen on"},
		"listeners: A://127.0.0.1:0,B://203.0.113.1:9092\n": {"problem", "port", "listener B cannot listen on 203.0.113.1:9092", "cannot assign"},
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		lines, code := examined(t, "-b", closedAddress(t), "-c", file, "--data-dir", dir)
		if code != 1 {
			t.Errorf("exit code %d", code)
		}
		expectFinding(t, lines, want...)
		expectFinding(t, lines, "directory", dir+": no broker is running on it")
	}
}

func TestDoctorLooksAtTheDirectory(t *testing.T) {
	files := disk.NewMem()
	if err := files.MkdirAll("/data"); err != nil {
		t.Fatal(err)
	}
	faults := disk.NewFaults(files, disk.Rule{Pattern: examinedName, Err: os.ErrPermission})
	for _, test := range []struct {
		dir  string
		want []string
	}{
		{"/absent", []string{statusUnknown, "directory", "the first start makes it"}},
		{"/data", []string{statusProblem, "disk", "let the user that runs the broker write there"}},
	} {
		var found diagnosis
		examineDirectory(&found, faults, test.dir)
		var lines []string
		for _, f := range found.Findings {
			lines = append(lines, strings.Join([]string{f.Status, f.Check, f.Text, f.Fix}, " "))
		}
		expectFinding(t, lines, test.want...)
	}
}

func TestDoctorAsJSON(t *testing.T) {
	_, _ = serve(t, "--in-memory")
	var found diagnosis
	decode(t, &found, "doctor")
	if len(found.Findings) < 3 || found.Findings[0].Check != "broker" || found.Findings[0].Status != statusOK {
		t.Errorf("findings %+v", found)
	}
	if r := cli(t, "", "doctor", "-b", ":x"); r.code != 2 {
		t.Errorf("exit code %d for a wrong address", r.code)
	}
}
