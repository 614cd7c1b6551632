package broker

import (
	"reflect"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// eachErrorCode calls count with every error code that is not 0 in a response, however deep.
func eachErrorCode(response kmsg.Response, count func(code int16)) {
	switch r := response.(type) {
	case *kmsg.ProduceResponse: // the one that there are most of
		for i := range r.Topics {
			for j := range r.Topics[i].Partitions {
				if code := r.Topics[i].Partitions[j].ErrorCode; code != 0 {
					count(code)
				}
			}
		}
	case *kmsg.HeartbeatResponse:
		if r.ErrorCode != 0 {
			count(r.ErrorCode)
		}
	default:
		v := reflect.ValueOf(response).Elem()
		errorFieldsOf(v.Type()).each(v, count)
	}
}

// errorFields says where in a struct error codes are.
type errorFields struct {
	code   int // index of the field ErrorCode; -1: none
	nested []nestedErrors
}

// nestedErrors is a slice of structs that have error codes.
type nestedErrors struct {
	field    int
	elements *errorFields
}

var errorFieldsByType sync.Map // of reflect.Type to *errorFields

func errorFieldsOf(t reflect.Type) *errorFields {
	if known, ok := errorFieldsByType.Load(t); ok {
		return known.(*errorFields)
	}
	f := &errorFields{code: -1}
	for i := range t.NumField() {
		field := t.Field(i)
		switch {
		case field.Name == "ErrorCode" && field.Type.Kind() == reflect.Int16:
			f.code = i
		case field.Type.Kind() == reflect.Slice && field.Type.Elem().Kind() == reflect.Struct:
			if elements := errorFieldsOf(field.Type.Elem()); elements.any() {
				f.nested = append(f.nested, nestedErrors{i, elements})
			}
		}
	}
	errorFieldsByType.Store(t, f)
	return f
}

func (f *errorFields) any() bool { return f.code >= 0 || len(f.nested) > 0 }

func (f *errorFields) each(v reflect.Value, count func(code int16)) {
	if f.code >= 0 {
		if code := v.Field(f.code).Int(); code != 0 {
			count(int16(code))
		}
	}
	for _, n := range f.nested {
		elements := v.Field(n.field)
		for i := range elements.Len() {
			n.elements.each(elements.Index(i), count)
		}
	}
}
