package usage

import "testing"

func TestNearestFindsTheMeantName(t *testing.T) {
	names := []string{"list", "create", "describe", "alter", "delete", "add-partitions"}
	for word, want := range map[string]string{
		"lst":       "list",
		"lsit":      "list",
		"craete":    "create",
		"CREATE":    "create",
		"desc":      "describe", // begins exactly one name
		"add":       "add-partitions",
		"de":        "", // begins two names
		"xyzzy":     "",
		"":          "",
		"partition": "",
	} {
		if got := Nearest(word, names); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", word, got, want)
		}
	}
}

func TestNearestCountsASwapAsOneDifference(t *testing.T) {
	if got := distance("retenti no", "retention"); got != 2 {
		t.Errorf("distance = %d, want 2", got)
	}
	if got := distance("ab", "ba"); got != 1 {
		t.Errorf("distance of a swap = %d, want 1", got)
	}
}

func TestUnknownNamesTheNearestOrAll(t *testing.T) {
	names := []string{"gzip", "lz4", "none", "snappy", "zstd"}
	if got, want := Unknown("codec", "gzp", names).Error(), `unknown codec "gzp", did you mean "gzip"?`; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := Unknown("codec", "brotli", names).Error(), `unknown codec "brotli" (one of: gzip, lz4, none, snappy, zstd)`; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
