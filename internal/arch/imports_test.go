package arch

import (
	"fmt"
	"path"
	"strings"
)

const (
	franz      = "github.com/twmb/franz-go"
	kmsg       = franz + "/pkg/kmsg"
	kerr       = franz + "/pkg/kerr"
	prometheus = "github.com/prometheus"
	compress   = "github.com/klauspost/compress"
	lz4        = "github.com/pierrec/lz4"
	pebble     = "github.com/cockroachdb/pebble/v2"
	cobra      = "github.com/spf13"
	yaml       = "go.yaml.in/yaml"
	gojq       = "github.com/itchyny/gojq"
	histograms = "github.com/HdrHistogram/hdrhistogram-go"
	extended   = "golang.org/x"
	records    = module + "/log/record"
	disk       = module + "/internal/disk"
	memnet     = module + "/internal/memnet"
	clickData  = module + "/internal/clicks"
	invariants = module + "/internal/invariant"
)

// layer is a row of the import table: what the packages of a directory may import besides the standard library and
// packages below the same directory.
type layer struct {
	directory string   // "x/..." is x and everything below; the longest that fits a package counts
	may       []string // import paths, each with everything below it unless it ends in "$"
}

// layers is the import table. Tests are free in what they import.
var layers = []layer{
	{"windows", nil},
	{"log/record", []string{compress, lz4}},
	{"log", []string{records, disk, invariants}},
	{"state/...", []string{pebble, module + "/internal"}},
	{"consumer/...", []string{franz}},
	{"streams/...", []string{module + "/consumer", module + "/state", module + "/windows", disk, franz, prometheus}},
	{"streams/streamstest/...", []string{module + "/state", module + "/streams", franz, pebble + "/vfs"}},
	{"broker/...", []string{module + "/log", kmsg, kerr, prometheus, extended + "/sys", extended + "/sync", disk, invariants}},
	{"broker/internal/config", nil},
	{"broker/internal/group", []string{kmsg, records, invariants}},
	{"broker/internal/txn", []string{kmsg, records, invariants}},
	{"broker/internal/metadata", []string{kmsg, records, invariants, module + "/broker/internal/config", module + "/broker/internal/quota"}},
	{"broker/internal/quota", nil},
	{"cmd/...", []string{module + "/broker$", module + "/log", module + "/consumer", module + "/streams",
		module + "/windows", module + "/state", module + "/docs/deploy", disk, clickData, franz, cobra, yaml, gojq, histograms, prometheus}},
	{"docs/deploy", nil},
	{"internal/...", nil},
	{"examples/...", []string{module + "/broker$", module + "/consumer", module + "/streams", module + "/windows",
		module + "/state", clickData, franz}},
	{"e2e/...", []string{module, franz}},
	{"bench/...", []string{module, franz, compress}},
}

func layerOf(directory string) (layer, bool) {
	var best layer
	found := false
	for _, l := range layers {
		if inside(l.directory, directory) && (!found || len(l.directory) > len(best.directory)) {
			best, found = l, true
		}
	}
	return best, found
}

// inside says whether a directory belongs to pattern, which is one directory or, ending in "/...", all below it too.
func inside(pattern, directory string) bool {
	if above, deep := strings.CutSuffix(pattern, "/..."); deep {
		return directory == above || strings.HasPrefix(directory, above+"/")
	}
	return directory == pattern
}

func (l layer) allows(imported string) bool {
	own := path.Join(module, strings.TrimSuffix(l.directory, "/..."))
	deep := strings.HasSuffix(l.directory, "/...")
	if isStandard(imported) || deep && below(own, imported) {
		return true
	}
	for _, allowed := range l.may {
		exact, only := strings.CutSuffix(allowed, "$")
		if only && imported == exact || !only && below(allowed, imported) {
			return true
		}
	}
	return false
}

func below(above, imported string) bool {
	return imported == above || strings.HasPrefix(imported, above+"/")
}

// isStandard says whether a package belongs to the standard library: only there the first element has no dot.
func isStandard(imported string) bool {
	first, _, _ := strings.Cut(imported, "/")
	return !strings.Contains(first, ".")
}

func checkImports(sources []source) (violations []string) {
	for _, s := range sources {
		if s.isTest {
			continue
		}
		l, known := layerOf(s.directory())
		if !known {
			violations = append(violations, fmt.Sprintf("%s: the import table has no row for its directory", s.name))
			continue
		}
		for _, imported := range s.imports {
			if !l.allows(imported) {
				violations = append(violations, fmt.Sprintf("%s: %s may not import %s", s.name, s.directory(), imported))
			}
		}
	}
	return violations
}

// checkStandardLog keeps the standard library's log out, tests included: logging is log/slog, and log is the commit log.
func checkStandardLog(sources []source) (violations []string) {
	for _, s := range sources {
		for _, imported := range s.imports {
			if imported == "log" {
				violations = append(violations, fmt.Sprintf("%s: imports the standard library's log", s.name))
			}
		}
	}
	return violations
}
