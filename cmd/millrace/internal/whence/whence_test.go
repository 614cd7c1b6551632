package whence

import (
	"strings"
	"testing"
	"time"
)

var now = time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)

// In a partition that holds [100, 200), where the first record at the asked time is 150.
func TestRangesResolve(t *testing.T) {
	const forever = -1
	for s, want := range map[string][2]int64{
		"start":                {100, forever},
		"end":                  {200, forever},
		"latest":               {200, forever},
		"120":                  {120, forever},
		"5":                    {5, forever}, // before the start: the reader begins at what is left
		"500":                  {500, forever},
		"+7":                   {107, forever},
		"+700":                 {200, forever},
		"-7":                   {193, forever},
		"-700":                 {100, forever},
		"@now":                 {150, forever},
		":end":                 {100, 200},
		"-10:end":              {190, 200},
		"120:130":              {120, 130},
		"120:":                 {120, forever},
		":130":                 {100, 130},
		"120:+30":              {120, 130},
		"@-1h:@-1m":            {150, 150},
		"@-1h:-1m":             {150, 150},
		"@-1h:end":             {150, 200},
		"9223372036854775807":  {9223372036854775807, forever},
		"-9223372036854775807": {100, forever},
		"+9223372036854775807": {200, forever},
	} {
		r, err := Parse(s, now)
		if err != nil {
			t.Errorf("%s: %v", s, err)
			continue
		}
		got := [2]int64{r.From.Resolve(100, 200, 150), forever}
		if r.Bounded {
			got[1] = r.To.Resolve(100, 200, 150)
		}
		if got != want {
			t.Errorf("%s = %v, want %v", s, got, want)
		}
	}
}

func TestATimeAfterTheEndIsTheEnd(t *testing.T) {
	r, err := Parse("@-1s", now)
	if err != nil {
		t.Fatal(err)
	}
	if got := r.From.Resolve(100, 200, 200); got != 200 {
		t.Errorf("got %d, want 200", got)
	}
}

func TestTimes(t *testing.T) {
	for s, want := range map[string][2]time.Time{
		"@2026-11-20":            {time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)},
		"@2026-11-20T10:30:00Z":  {time.Date(2026, 11, 20, 10, 30, 0, 0, time.UTC)},
		"@2026-11-20T10:30:00":   {time.Date(2026, 11, 20, 10, 30, 0, 0, time.UTC)},
		"@1760000000":            {time.Unix(1760000000, 0)},
		"@1760000000123":         {time.UnixMilli(1760000000123)},
		"@1760000000123000000":   {time.UnixMilli(1760000000123)},
		"@-90m":                  {now.Add(-90 * time.Minute)},
		"@-2d":                   {now.Add(-48 * time.Hour)},
		"@-1d12h:now":            {now.Add(-36 * time.Hour), now},
		"@1760000000:1760000001": {time.Unix(1760000000, 0), time.Unix(1760000001, 0)},
		"@2026-11-20T10:30:00Z:2026-11-20T11:30:00+01:00": {
			time.Date(2026, 11, 20, 10, 30, 0, 0, time.UTC), time.Date(2026, 11, 20, 10, 30, 0, 0, time.UTC)},
	} {
		r, err := Parse(s, now)
		if err != nil {
			t.Errorf("%s: %v", s, err)
			continue
		}
		if ms, ok := r.From.Time(); !ok || ms != want[0].UnixMilli() {
			t.Errorf("%s begins at %d, want %d", s, ms, want[0].UnixMilli())
		}
		if ms, ok := r.To.Time(); r.Bounded && (!ok || ms != want[1].UnixMilli()) || r.Bounded != !want[1].IsZero() {
			t.Errorf("%s ends at %d, want %d", s, ms, want[1].UnixMilli())
		}
	}
}

func TestWrongPositionsAreNamed(t *testing.T) {
	for s, want := range map[string]string{
		"strat":                `did you mean "start"?`,
		"edn":                  `did you mean "end"?`,
		"":                     "use start, end",
		":":                    "use start, end",
		"+":                    "use start, end",
		"1.5":                  "use start, end",
		"--5":                  "use start, end",
		"5:x":                  "use start, end",
		"@yesterday":           "is no time",
		"@12345":               "is no time",
		"@-1h:banana":          "is no time",
		"99999999999999999999": "use start, end",
	} {
		if _, err := Parse(s, now); err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "-o: ") {
			t.Errorf("%q: got %v, want %q", s, err, want)
		}
	}
}
