package whence

import (
	"slices"
	"strconv"
	"strings"

	"github.com/millrace/millrace/cmd/millrace/internal/usage"
)

// partitionsMax bounds a list, so that a typo such as 0-2000000000 does not fill the memory.
const partitionsMax = 1 << 16

// ParsePartitions reads a list of partitions and ranges of them, both ends included: "0,3,5-7".
// The result is sorted and has no duplicates. An error is a *usage.Error.
func ParsePartitions(s string) ([]int32, error) {
	var list []int32
	for item := range strings.SplitSeq(s, ",") {
		low, high, isRange := strings.Cut(item, "-")
		from, err := strconv.ParseUint(low, 10, 31)
		to := from
		if isRange && err == nil {
			to, err = strconv.ParseUint(high, 10, 31)
		}
		if err != nil || to < from {
			return nil, usage.Errorf("-p: %q is no list of partitions (like 0,3,5-7)", s)
		}
		if to-from >= partitionsMax || len(list) >= partitionsMax {
			return nil, usage.Errorf("-p: %q names more than %d partitions", s, partitionsMax)
		}
		for p := from; p <= to; p++ {
			list = append(list, int32(p))
		}
	}
	slices.Sort(list)
	return slices.Compact(list), nil
}
