package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/cmd/millrace/internal/usage"
)

const (
	// readinessMax bounds one question to the HTTP port.
	readinessMax = 3 * time.Second
	// readinessBytesMax bounds the answer.
	readinessBytesMax = 64 << 10
)

// localHTTP is where the broker of this machine serves HTTP: what the flag, the environment or the default says, as it
// can be dialed.
func localHTTP(flag string) (string, error) {
	address, source := flag, "--http"
	if address == "" {
		address, source = os.Getenv("MILLRACE_HTTP"), "MILLRACE_HTTP"
	}
	if address == "" {
		address = defaultHTTP
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", usage.Errorf("%s: %q is not HOST:PORT", source, address)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port), nil
}

// lookAtReadiness asks /readyz.
func lookAtReadiness(ctx context.Context, address string) *clusterHealth {
	ctx, cancel := context.WithTimeout(ctx, readinessMax)
	defer cancel()
	answer, err := readiness(ctx, address)
	if err != nil {
		return healthOf([]string{oneLine(err)})
	}
	return healthOf(answer.problems)
}

// readyAnswer is what /readyz says.
type readyAnswer struct {
	problems []string      // the checks that do not hold
	skew     time.Duration // how far the broker's clock is ahead, to the second
}

// readiness asks /readyz.
func readiness(ctx context.Context, address string) (*readyAnswer, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/readyz", http.NoBody)
	if err != nil {
		return nil, err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("no answer from %s/readyz: %s", address, reason(err))
	}
	arrived := time.Now()
	defer response.Body.Close()
	var body struct {
		Status string            `json:"status"`
		Checks map[string]string `json:"checks"`
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, readinessBytesMax)).Decode(&body); err != nil {
		return nil, fmt.Errorf("%s/readyz is not millrace's: %s", address, response.Status)
	}
	answer := &readyAnswer{}
	for _, name := range slices.Sorted(maps.Keys(body.Checks)) {
		if response.StatusCode != http.StatusOK && !strings.HasPrefix(body.Checks[name], "ok") {
			answer.problems = append(answer.problems, name+": "+body.Checks[name])
		}
	}
	if len(answer.problems) == 0 && response.StatusCode != http.StatusOK {
		answer.problems = append(answer.problems, address+"/readyz: "+response.Status)
	}
	if date, err := http.ParseTime(response.Header.Get("Date")); err == nil {
		answer.skew = date.Sub(arrived)
	}
	return answer, nil
}
