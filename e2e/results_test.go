package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
)

// resultsFile is what every client did when `make matrix` ran them all. docs/KAFKA.md has its table from there, and each
// run of a client is held against it: a feature that a client had once is not lost unnoticed.
const resultsFile = "results.json"

// survivesKills is the feature that the load verb proves.
const survivesKills = "survives-kills"

type clientResults struct {
	Client   string          `json:"client"`
	Version  string          `json:"version"`
	Features []featureResult `json:"features"`
}

type featureResult struct {
	Feature string `json:"feature"`
	Result  string `json:"result"` // "ok" or "skip"
	Why     string `json:"why,omitempty"`
}

// parseResults reads what a program's features verb printed. What is no result is returned as complaints.
func parseResults(client, out string) (found clientResults, complaints []string) {
	found.Client = client
	for line := range strings.Lines(out) {
		line = strings.TrimSpace(line)
		word, rest, _ := strings.Cut(line, " ")
		switch word {
		case "version":
			found.Version = rest
		case "ok":
			found.Features = append(found.Features, featureResult{Feature: rest, Result: "ok"})
		case "skip":
			feature, why, _ := strings.Cut(rest, ": ")
			found.Features = append(found.Features, featureResult{feature, "skip", why})
		default:
			complaints = append(complaints, line)
		}
	}
	return found, complaints
}

// matrix is the new content of resultsFile, if E2E_MATRIX is set.
var matrix struct {
	sync.Mutex
	clients []clientResults
}

func readResults() ([]clientResults, error) {
	text, err := os.ReadFile(resultsFile)
	if err != nil {
		return nil, err
	}
	var all []clientResults
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, fmt.Errorf("%s: %w", resultsFile, err)
	}
	return all, nil
}

// hold compares what a client did with what it did before, or notes it for the new file.
func hold(t *testing.T, found clientResults) {
	t.Helper()
	if os.Getenv("E2E_MATRIX") != "" {
		matrix.Lock()
		defer matrix.Unlock()
		matrix.clients = merge(matrix.clients, found)
		return
	}
	all, err := readResults()
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(all, func(c clientResults) bool { return c.Client == found.Client })
	if i < 0 {
		t.Fatalf("%s has nothing on %s: run `make matrix`", resultsFile, found.Client)
	}
	if found.Version != "" && found.Version != all[i].Version {
		t.Errorf("%s is %s, in %s %s: run `make matrix`", found.Client, found.Version, resultsFile, all[i].Version)
	}
	for _, f := range found.Features {
		if !slices.Contains(all[i].Features, f) {
			t.Errorf("%s: %+v is not in %s: run `make matrix`", found.Client, f, resultsFile)
		}
	}
	if found.Version == "" { // one verb's part
		return
	}
	for _, f := range all[i].Features {
		if f.Feature != survivesKills && f.Feature != exactlyOnce && !slices.Contains(found.Features, f) {
			t.Errorf("%s: %+v is in %s, and did not happen", found.Client, f, resultsFile)
		}
	}
}

// merge puts what was found over what is there of the client; a part without a version is only added.
func merge(all []clientResults, found clientResults) []clientResults {
	i := slices.IndexFunc(all, func(c clientResults) bool { return c.Client == found.Client })
	if i < 0 {
		return append(all, found)
	}
	if found.Version != "" {
		all[i].Version = found.Version
	}
	all[i].Features = slices.Concat(all[i].Features, found.Features)
	return all
}

// writeResults writes the new file. Clients that did not run stay as they were.
func writeResults() error {
	if os.Getenv("E2E_MATRIX") == "" {
		return nil
	}
	old, err := readResults()
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	for _, c := range old {
		if !slices.ContainsFunc(matrix.clients, func(n clientResults) bool { return n.Client == c.Client }) {
			matrix.clients = append(matrix.clients, c)
		}
	}
	for _, c := range matrix.clients {
		slices.SortFunc(c.Features, func(a, b featureResult) int { return strings.Compare(a.Feature, b.Feature) })
	}
	slices.SortFunc(matrix.clients, func(a, b clientResults) int { return strings.Compare(a.Client, b.Client) })
	text, err := json.MarshalIndent(matrix.clients, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(resultsFile, append(text, '\n'), 0o644)
}
