package serde

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Int32 is a number as 4 bytes, big endian, as Kafka's IntegerSerializer writes it.
var Int32 Serde[int32] = integer32{}

// Int64 is a number as 8 bytes, big endian, as Kafka's LongSerializer writes it. As a key in a store, negative numbers come
// after the others in the order of its ranges.
var Int64 Serde[int64] = integer64{}

// Float64 is a number as the 8 bytes of IEEE 754, big endian, as Kafka's DoubleSerializer writes it. NaN keeps its bits.
var Float64 Serde[float64] = double{}

// Bool is one byte, 0 or 1, as Kafka's BooleanSerializer writes it. Other bytes do not decode.
var Bool Serde[bool] = boolean{}

type integer32 struct{}

func (integer32) Name() string { return "int32" }

func (integer32) Append(dst []byte, value int32) ([]byte, error) {
	return binary.BigEndian.AppendUint32(dst, uint32(value)), nil
}

func (integer32) Decode(data []byte) (int32, error) {
	if err := checkLength("int32", data, 4); err != nil {
		return 0, err
	}
	return int32(binary.BigEndian.Uint32(data)), nil
}

type integer64 struct{}

func (integer64) Name() string { return "int64" }

func (integer64) Append(dst []byte, value int64) ([]byte, error) {
	return binary.BigEndian.AppendUint64(dst, uint64(value)), nil
}

func (integer64) Decode(data []byte) (int64, error) {
	if err := checkLength("int64", data, 8); err != nil {
		return 0, err
	}
	return int64(binary.BigEndian.Uint64(data)), nil
}

type double struct{}

func (double) Name() string { return "float64" }

func (double) Append(dst []byte, value float64) ([]byte, error) {
	return binary.BigEndian.AppendUint64(dst, math.Float64bits(value)), nil
}

func (double) Decode(data []byte) (float64, error) {
	if err := checkLength("float64", data, 8); err != nil {
		return 0, err
	}
	return math.Float64frombits(binary.BigEndian.Uint64(data)), nil
}

type boolean struct{}

func (boolean) Name() string { return "bool" }

func (boolean) Append(dst []byte, value bool) ([]byte, error) {
	if value {
		return append(dst, 1), nil
	}
	return append(dst, 0), nil
}

func (boolean) Decode(data []byte) (bool, error) {
	if err := checkLength("bool", data, 1); err != nil {
		return false, err
	}
	if data[0] > 1 {
		return false, fmt.Errorf("serde: decode bool: byte %d, want 0 or 1", data[0])
	}
	return data[0] == 1, nil
}
