package streams

import (
	"fmt"
	"reflect"

	"github.com/millrace/millrace/state"
)

// copier returns what copies a value so that changing one in place does not change the other. Types that hold nothing that can
// be changed behind their back are copied by assignment, all others by way of their codec.
func copier[T any](codec state.Codec[T]) func(T) (T, error) {
	if isPlain(reflect.TypeFor[T]()) {
		return func(value T) (T, error) { return value, nil }
	}
	return func(value T) (T, error) {
		data, err := codec.Append(nil, value)
		if err != nil {
			var none T
			return none, fmt.Errorf("copy a value: encode %s: %w", codec.Name(), err)
		}
		return codec.Decode(data)
	}
}

// isPlain says whether assignment copies all of a value.
func isPlain(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Array:
		return isPlain(t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			if !isPlain(t.Field(i).Type) {
				return false
			}
		}
		return true
	case reflect.String:
		return true
	default:
		return t.Kind() >= reflect.Bool && t.Kind() <= reflect.Complex128 && t.Kind() != reflect.Uintptr
	}
}
