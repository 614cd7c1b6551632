package jsonstyle

import (
	"encoding/json"
	"regexp"
	"testing"

	"pgregory.net/rapid"
)

func TestColoursMarkTheParts(t *testing.T) {
	got := string(Style{Color: true}.Append([]byte(">"), []byte(`{"k\"":["v:",-1.5e3,null]}`)))
	want := ">{" + colorKey + `"k\""` + colorEnd + ":[" + colorString + `"v:"` + colorEnd + "," + colorNumber + "-1.5e3" + colorEnd + "," + colorWord + "null" + colorEnd + "]}"
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := string(Style{Indent: true}.Append(nil, []byte(`{"a":[1]}`))); got != "{\n  \"a\": [\n    1\n  ]\n}" {
		t.Errorf("indented %q", got)
	}
}

// Without its colours it is the same JSON, whatever it holds.
func TestColoursChangeNothingElse(t *testing.T) {
	colors := regexp.MustCompile(`\x1b\[[0-9;]*m`)
	rapid.Check(t, func(t *rapid.T) {
		text, err := json.Marshal(rapid.MapOf(rapid.String(), rapid.SliceOf(rapid.String())).Draw(t, "value"))
		if err != nil {
			t.Fatal(err)
		}
		if got := colors.ReplaceAll(Style{Color: true}.Append(nil, text), nil); string(got) != string(text) {
			t.Fatalf("got %q, want %q", got, text)
		}
	})
}
