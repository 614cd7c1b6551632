package whence

import (
	"slices"
	"testing"
)

func TestPartitionLists(t *testing.T) {
	for s, want := range map[string][]int32{
		"0":       {0},
		"3,1,3":   {1, 3},
		"0,3,5-7": {0, 3, 5, 6, 7},
		"2-2":     {2},
	} {
		if got, err := ParsePartitions(s); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s = %v, %v, want %v", s, got, err, want)
		}
	}
	for _, s := range []string{"", "a", "1,", "-1", "3-1", "1-", "0-2000000000", "4294967296"} {
		if got, err := ParsePartitions(s); err == nil {
			t.Errorf("%q = %v, want an error", s, got)
		}
	}
}
