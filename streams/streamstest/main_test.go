package streamstest

import (
	"flag"
	"os"
	"testing"
)

// checksDefault is how many courses of events each topology gets; -rapid.checks says otherwise.
const checksDefault = "30"

func TestMain(m *testing.M) {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "rapid.checks" })
	if !given {
		if err := flag.Set("rapid.checks", checksDefault); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}
