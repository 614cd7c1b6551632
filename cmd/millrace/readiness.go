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
	problems, err := readiness(ctx, address)
	if err != nil {
		problems = []string{oneLine(err)}
	}
	return healthOf(problems)
}

// readiness returns the checks of /readyz that do not hold.
func readiness(ctx context.Context, address string) ([]string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/readyz", http.NoBody)
	if err != nil {
		return nil, err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("no answer from %s/readyz: %s", address, reason(err))
	}
	defer response.Body.Close()
	var answer struct {
		Status string            `json:"status"`
		Checks map[string]string `json:"checks"`
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, readinessBytesMax)).Decode(&answer); err != nil {
		return nil, fmt.Errorf("%s/readyz is not millrace's: %s", address, response.Status)
	}
	var problems []string
	for _, name := range slices.Sorted(maps.Keys(answer.Checks)) {
		if answer.Checks[name] != "ok" {
			problems = append(problems, name+": "+answer.Checks[name])
		}
	}
	if len(problems) == 0 && response.StatusCode != http.StatusOK {
		problems = append(problems, address+"/readyz: "+response.Status)
	}
	return problems, nil
}
