package streams

import (
	"errors"
	"testing"
	"time"

	"github.com/millrace/millrace/streams/serde"
)

func TestACopySharesNothing(t *testing.T) {
	original := map[string][]int{"a": {1, 2}}
	copied, err := copier(serde.JSON[map[string][]int]())(original)
	if err != nil {
		t.Fatal(err)
	}
	original["a"][0], original["b"] = 100, nil
	if len(copied) != 1 || copied["a"][0] != 1 {
		t.Errorf("the copy has become %v", copied)
	}
}

// A codec that cannot encode shows which values are copied without one.
func TestPlainValuesAreCopiedByAssignment(t *testing.T) {
	type point struct {
		X, Y float64
		Name string
		IDs  [2]uint16
	}
	if got, err := copier(broken[point]())(point{X: 1, Name: "p"}); err != nil || got.X != 1 || got.Name != "p" {
		t.Errorf("got %+v and %v", got, err)
	}
	for name, err := range map[string]error{
		"pointer":           copyError[*point](),
		"slice":             copyError[[]byte](),
		"map":               copyError[map[string]int](),
		"interface":         copyError[any](),
		"pointer in struct": copyError[time.Time](),
		"slice in array":    copyError[[1][]int](),
	} {
		if !errors.Is(err, errBroken) {
			t.Errorf("%s: was copied by assignment", name)
		}
	}
}

var errBroken = errors.New("broken codec")

func broken[T any]() serde.Serde[T] {
	return serde.Of("broken", func([]byte, T) ([]byte, error) { return nil, errBroken }, func([]byte) (value T, err error) { return value, errBroken })
}

func copyError[T any]() error {
	var value T
	_, err := copier(broken[T]())(value)
	return err
}
